"""Class probability against transformers' own classifier, and zero-shot classes against the written-out formula."""

import json
import re

import pytest
import torch
import transformers

from noise_search.harness import small_clips
from noise_search.verifiers import ClassProbability, Verifier, VerifierError, ZeroShotClass

from .test_clip_score import layout, pil, pil_processor

# From the header of the published file; N is a layer.
DINOV2_KEYS = """
classifier.weight classifier.bias dinov2.embeddings.cls_token dinov2.embeddings.mask_token
dinov2.embeddings.position_embeddings dinov2.embeddings.patch_embeddings.projection.weight
dinov2.embeddings.patch_embeddings.projection.bias dinov2.layernorm.weight dinov2.layernorm.bias
dinov2.encoder.layer.N.norm1.weight dinov2.encoder.layer.N.norm1.bias
dinov2.encoder.layer.N.norm2.weight dinov2.encoder.layer.N.norm2.bias
dinov2.encoder.layer.N.attention.attention.query.weight dinov2.encoder.layer.N.attention.attention.query.bias
dinov2.encoder.layer.N.attention.attention.key.weight dinov2.encoder.layer.N.attention.attention.key.bias
dinov2.encoder.layer.N.attention.attention.value.weight dinov2.encoder.layer.N.attention.attention.value.bias
dinov2.encoder.layer.N.attention.output.dense.weight dinov2.encoder.layer.N.attention.output.dense.bias
dinov2.encoder.layer.N.layer_scale1.lambda1 dinov2.encoder.layer.N.layer_scale2.lambda1
dinov2.encoder.layer.N.mlp.fc1.weight dinov2.encoder.layer.N.mlp.fc1.bias
dinov2.encoder.layer.N.mlp.fc2.weight dinov2.encoder.layer.N.mlp.fc2.bias
"""


def score(measure, images, prompts=None):
    return Verifier.of(measure).measure(images, prompts or [""] * len(images))[:, 0]


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    return small_clips.dinov2_classifier_folder(tmp_path_factory.mktemp("models") / "dinov2-base-imagenet1k-1-layer")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return small_clips.transformers_folder(tmp_path_factory.mktemp("clip") / "hf")


def test_classifier_equals_transformers_and_the_formula(dinov2):
    images = small_clips.images(70, 101, n=4)
    model = transformers.Dinov2ForImageClassification.from_pretrained(dinov2).eval()
    pixels = pil_processor(dinov2)(images=pil(images), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        logits = model(pixels).logits
        tokens = model.dinov2(pixels).last_hidden_state
        formula = model.classifier(torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=1))
    torch.testing.assert_close(formula, logits, atol=1e-4, rtol=0)
    assert ClassProbability(dinov2).needs_prompt and not ClassProbability(dinov2, "red fox").needs_prompt
    fox, fox_logit = (ClassProbability(dinov2, "red fox", form) for form in ("probability", "logit"))
    torch.testing.assert_close(score(fox, images), logits.softmax(1)[:, 4], atol=1e-4, rtol=0)
    torch.testing.assert_close(score(fox_logit, images), logits[:, 4], atol=1e-4, rtol=0)
    by_prompt = score(ClassProbability(dinov2), images, ["goldfish", "0", "Tinca Tinca", "red fox"])
    truth = logits.softmax(1)[torch.arange(4), [1, 0, 0, 4]]
    torch.testing.assert_close(by_prompt, truth, atol=1e-4, rtol=0)
    assert truth.std() > 1e-3


def test_recorded_names_are_those_that_transformers_saves(dinov2):
    header = (dinov2 / "model.safetensors").read_bytes()
    names = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    # transformers' layers inside the library have other names in some versions; the file's stay.
    assert layout(names.keys() - {"__metadata__"}) == {re.sub(r"\s", "", key) for key in DINOV2_KEYS.split()}


def test_zero_shot_equals_the_formula(clip_folder):
    images = small_clips.images(70, 101, n=3)
    templates, classes = ["a photo of a {}.", "art of the {}."], ["cat", "dog", "bird"]
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(clip_folder)
    pixels = pil_processor(clip_folder)(images=pil(images), return_tensors="pt")["pixel_values"]
    texts = []
    with torch.no_grad():
        for name in classes:
            tokens = tokenizer([t.format(name) for t in templates], padding=True, return_tensors="pt")
            out = model(pixel_values=pixels, **tokens)
            mean = out.text_embeds.mean(0)
            texts.append(mean / mean.norm())
        logits = model.logit_scale.exp() * out.image_embeds @ torch.stack(texts).T
    cat = ZeroShotClass(clip_folder, "cat", ["dog", "bird"], templates)
    torch.testing.assert_close(score(cat, images), logits.softmax(1)[:, 0], atol=1e-4, rtol=0)
    dog = ZeroShotClass(clip_folder, "dog", classes, templates, "logit")
    torch.testing.assert_close(score(dog, images), logits[:, 1], atol=1e-4, rtol=0)
    by_prompt = score(ZeroShotClass(clip_folder, "", classes, templates), images, ["bird", "cat", "bird"])
    torch.testing.assert_close(by_prompt, logits.softmax(1)[range(3), [2, 0, 2]], atol=1e-4, rtol=0)


def test_a_class_that_is_not_there_or_not_clear(dinov2, clip_folder):
    for target, message in {
        "goldfihs": "has no class 'goldfihs': did you mean goldfish",
        "crane": "could be number 2 or 3: give the number",
        "99": "give a label or a number below 5",
    }.items():
        with pytest.raises(VerifierError, match=message):
            ClassProbability(dinov2, target)
    with pytest.raises(VerifierError, match="write other classes, one a line"):
        ZeroShotClass(clip_folder, "cat", ["cat"])
    with pytest.raises(VerifierError, match="templates: write one a line"):
        ZeroShotClass(clip_folder, "cat", ["dog"], ["no place"])


def test_missing_files_and_packages(dinov2, tmp_path, monkeypatch):
    with pytest.raises(VerifierError, match="lacks its config.json"):
        ClassProbability(tmp_path, "cat")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VerifierError, match="pip install transformers"):
        ClassProbability(dinov2, "red fox")
