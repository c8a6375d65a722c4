"""PickScore, HPSv2 and CLIP-IQA against transformers, open_clip and the written-out formulae."""

import json

import open_clip
import pytest
import torch
import transformers
from torchvision import transforms

from noise_search.harness import small_clips
from noise_search.verifiers import CLIPIQA, HPSv2, PickScore, Verifier, clip_architecture

from .test_clip_score import layout, pil, pil_processor

# From the headers of the published files; N is a layer.
HPS_KEYS = """
positional_embedding text_projection logit_scale token_embedding.weight ln_final.weight ln_final.bias
visual.class_embedding visual.positional_embedding visual.proj visual.conv1.weight visual.ln_pre.weight
visual.ln_pre.bias visual.ln_post.weight visual.ln_post.bias
{}transformer.resblocks.N.ln_1.weight {}transformer.resblocks.N.ln_1.bias
{}transformer.resblocks.N.attn.in_proj_weight {}transformer.resblocks.N.attn.in_proj_bias
{}transformer.resblocks.N.attn.out_proj.weight {}transformer.resblocks.N.attn.out_proj.bias
{}transformer.resblocks.N.ln_2.weight {}transformer.resblocks.N.ln_2.bias
{}transformer.resblocks.N.mlp.c_fc.weight {}transformer.resblocks.N.mlp.c_fc.bias
{}transformer.resblocks.N.mlp.c_proj.weight {}transformer.resblocks.N.mlp.c_proj.bias
"""
PICKSCORE_KEYS = """
logit_scale text_projection.weight visual_projection.weight text_model.embeddings.position_embedding.weight
text_model.embeddings.token_embedding.weight text_model.final_layer_norm.weight text_model.final_layer_norm.bias
vision_model.embeddings.class_embedding vision_model.embeddings.patch_embedding.weight
vision_model.embeddings.position_embedding.weight vision_model.pre_layrnorm.weight vision_model.pre_layrnorm.bias
vision_model.post_layernorm.weight vision_model.post_layernorm.bias
{}_model.encoder.layers.N.layer_norm1.weight {}_model.encoder.layers.N.layer_norm1.bias
{}_model.encoder.layers.N.layer_norm2.weight {}_model.encoder.layers.N.layer_norm2.bias
{}_model.encoder.layers.N.mlp.fc1.weight {}_model.encoder.layers.N.mlp.fc1.bias
{}_model.encoder.layers.N.mlp.fc2.weight {}_model.encoder.layers.N.mlp.fc2.bias
{}_model.encoder.layers.N.self_attn.k_proj.weight {}_model.encoder.layers.N.self_attn.k_proj.bias
{}_model.encoder.layers.N.self_attn.q_proj.weight {}_model.encoder.layers.N.self_attn.q_proj.bias
{}_model.encoder.layers.N.self_attn.v_proj.weight {}_model.encoder.layers.N.self_attn.v_proj.bias
{}_model.encoder.layers.N.self_attn.out_proj.weight {}_model.encoder.layers.N.self_attn.out_proj.bias
"""


def recorded(keys, halves):
    return {key.format(half) for key in keys.split() for half in halves}


def score(measure, images, prompts):
    return Verifier.of(measure).measure(images, prompts)[:, 0]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return small_clips.transformers_folder(tmp_path_factory.mktemp("clip") / "PickScore_v1")


@pytest.fixture(scope="module")
def hps_file(tmp_path_factory):
    """The published layout: a training checkpoint with its weights under `state_dict`."""
    file = tmp_path_factory.mktemp("clip") / "HPS_v2.1_compressed.pt"
    torch.save({"epoch": 9, "name": "run", "state_dict": small_clips.open_clip_model(3).state_dict()}, file)
    return file


@pytest.fixture
def small_h(tmp_path, monkeypatch):
    """A small architecture under the name that HPSv2 has."""
    (tmp_path / "ViT-H-small.json").write_text(json.dumps(small_clips.OPEN_CLIP))
    open_clip.add_model_config(tmp_path)
    monkeypatch.setattr(clip_architecture, "configs", lambda: tmp_path)
    return "ViT-H-small"


@pytest.mark.parametrize("size", [(70, 101), (48, 48)])
def test_pick_score_equals_its_own_pipeline(clip_folder, size):
    images, prompts = small_clips.images(*size), [*small_clips.SENTENCES[:2], "cat " * 90]
    model = transformers.AutoModel.from_pretrained(clip_folder).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(clip_folder)
    tokens = tokenizer(prompts, padding=True, truncation=True, max_length=77, return_tensors="pt")
    pixels = pil_processor(clip_folder)(images=pil(images), return_tensors="pt")
    with torch.no_grad():
        truth = model(**pixels, **tokens).logits_per_image.diagonal()
    torch.testing.assert_close(score(PickScore(clip_folder), images, prompts), truth, atol=1e-4, rtol=0)
    assert truth.std() > 1e-2
    assert layout(model.state_dict()) == recorded(PICKSCORE_KEYS, ("text", "vision"))


@pytest.mark.parametrize("size", [(70, 101), (101, 48), (48, 48), (512, 512)])
def test_hps_equals_open_clip_behind_its_own_preprocessing(hps_file, small_h, size):
    images, prompts = small_clips.images(*size), small_clips.SENTENCES
    model = open_clip.create_model(small_h, pretrained=str(hps_file)).eval()
    height, width = size
    inner = [round(side * small_clips.SIZE / max(size)) for side in (height, width)]
    left, top = [(small_clips.SIZE - side) // 2 for side in (inner[1], inner[0])]
    right, bottom = small_clips.SIZE - inner[1] - left, small_clips.SIZE - inner[0] - top
    preprocess = transforms.Compose(
        [
            transforms.ToTensor(),
            transforms.Resize(inner, transforms.InterpolationMode.BICUBIC, antialias=True),
            transforms.Pad((left, top, right, bottom), fill=0),
            transforms.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ]
    )
    with torch.no_grad():
        image = model.encode_image(torch.stack([preprocess(i) for i in pil(images)]), normalize=True)
        text = model.encode_text(open_clip.get_tokenizer(small_h)(prompts), normalize=True)
    truth = (image @ text.T).diagonal()
    measure = HPSv2(hps_file, architecture=small_h)
    torch.testing.assert_close(score(measure, images, prompts), truth, atol=1e-5, rtol=0)
    assert truth.std() > 1e-3 and measure.notes == []


def test_hps_file_has_the_published_names(hps_file):
    saved = torch.load(hps_file, weights_only=True)["state_dict"]
    assert layout(saved) == recorded(HPS_KEYS, ("", "visual."))
    assert HPSv2.__init__.__defaults__[-1] == "ViT-H-14"


def test_clip_iqa_equals_its_formula(clip_folder):
    images = small_clips.images(70, 101)
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    tokens = transformers.CLIPTokenizer.from_pretrained(clip_folder)(
        ["Good photo.", "Bad photo."], padding=True, return_tensors="pt"
    )
    pixels = pil_processor(clip_folder)(images=pil(images), return_tensors="pt")
    with torch.no_grad():
        out = model(**pixels, **tokens)
    truth = (100 * out.image_embeds @ out.text_embeds.T).softmax(1)[:, 0]
    measured = score(CLIPIQA(clip_folder), images, ["the prompt", "plays", "no part"])
    torch.testing.assert_close(measured, truth, atol=1e-4, rtol=0)
    assert truth.min() > 0 and truth.max() < 1 and truth.std() > 1e-4
