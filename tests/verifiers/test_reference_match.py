"""Likeness to a reference against transformers' features and a histogram written out."""

import pytest
import torch
import transformers

from noise_search.harness import small_clips
from noise_search.verifiers import ColourMatch, ReferenceMatch, Verifier, VerifierError

from .test_clip_score import pil, pil_processor


def score(measure, images):
    return Verifier.of(measure).measure(images, [""] * len(images))[:, 0]


def cosines(features, reference):
    unit = torch.nn.functional.normalize
    return (unit(features, dim=1) @ unit(reference, dim=1).T).amax(1)


def test_clip_equals_transformers(tmp_path):
    folder = small_clips.transformers_folder(tmp_path / "clip")
    images, reference = small_clips.images(70, 101, n=3), small_clips.images(40, 60, n=2, seed=4)
    model, processor = transformers.CLIPModel.from_pretrained(folder).eval(), pil_processor(folder)
    with torch.no_grad():
        features, wanted = (
            model.visual_projection(model.vision_model(**processor(images=pil(i), return_tensors="pt")).pooler_output)
            for i in (images, reference)
        )
    truth = cosines(features, wanted)
    torch.testing.assert_close(score(ReferenceMatch(folder, reference), images), truth, atol=1e-4, rtol=0)
    assert truth.std() > 1e-4


def test_dinov2_is_its_class_token_and_the_same_image_is_one(tmp_path):
    folder = small_clips.dinov2_classifier_folder(tmp_path / "dinov2")
    images, reference = small_clips.images(70, 101, n=3), small_clips.images(40, 60, n=2, seed=4)
    model = transformers.Dinov2ForImageClassification.from_pretrained(folder).eval().dinov2
    processor = pil_processor(folder)
    with torch.no_grad():
        features, wanted = (
            model(**processor(images=pil(i), return_tensors="pt")).last_hidden_state[:, 0] for i in (images, reference)
        )
    truth = cosines(features, wanted)
    torch.testing.assert_close(score(ReferenceMatch(folder, reference), images), truth, atol=1e-4, rtol=0)
    same = score(ReferenceMatch(folder, images[1:2]), images)
    assert same[1] == pytest.approx(1, abs=1e-5) and same.argmax() == 1
    assert ReferenceMatch(folder, images).key != ReferenceMatch(folder, reference).key


def test_a_model_without_features_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(VerifierError, match="is no CLIP model"):
        ReferenceMatch(tmp_path, torch.zeros(1, 8, 8, 3))


def test_colours_are_the_shared_histogram():
    images, reference = small_clips.images(20, 30, n=3), small_clips.images(15, 15, n=2, seed=3)

    def shares(image):
        found = {}
        for pixel in (image * 255).round().int().reshape(-1, 3).tolist():
            bin_ = tuple(value // 32 for value in pixel)
            found[bin_] = found.get(bin_, 0) + 1 / (image.numel() // 3)
        return found

    truth = []
    for a in map(shares, images):
        truth.append(max(sum(min(a[k], b.get(k, 0)) for k in a) for b in map(shares, reference)))
    torch.testing.assert_close(score(ColourMatch(reference), images), torch.tensor(truth), atol=1e-6, rtol=0)
    assert score(ColourMatch(images), images).tolist() == [1, 1, 1]
