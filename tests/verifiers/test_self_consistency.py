"""Self-consistency against the cosine of the libraries' own features."""

import pytest
import torch
import transformers

from noise_search.harness import small_clips
from noise_search.verifiers import Box, ImageStatistic, SelfConsistency, Verifier, VerifierError, combine, region

from .test_clip_score import pil, pil_processor


def clip_features(folder, pixels):
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    return model.visual_projection(model.vision_model(**pixels).pooler_output)


def dinov2_features(folder, pixels):
    model = transformers.Dinov2ForImageClassification.from_pretrained(folder).eval().dinov2
    return model(**pixels).last_hidden_state[:, 0]


def siglip_features(folder, pixels):
    return transformers.SiglipModel.from_pretrained(folder).eval().vision_model(**pixels).pooler_output


MODELS = {
    "clip": (small_clips.transformers_folder, clip_features),
    "dinov2": (small_clips.dinov2_classifier_folder, dinov2_features),
    "siglip": (small_clips.siglip_folder, siglip_features),
}
THEN, NOW = small_clips.images(70, 101, n=3, seed=1), small_clips.images(70, 101, n=3, seed=2)


def score(verifier, earlier):
    return verifier.measure(NOW, [""] * 3, earlier=earlier)[:, 0]


@pytest.mark.parametrize("kind", MODELS)
def test_it_is_the_cosine_of_the_features_of_then_and_now(tmp_path, kind):
    make, features = MODELS[kind]
    folder = make(tmp_path / kind)
    processor = pil_processor(folder)
    with torch.no_grad():
        then, now = (features(folder, processor(images=pil(i), return_tensors="pt")) for i in (THEN, NOW))
    truth = torch.nn.functional.cosine_similarity(then, now)
    verifier = Verifier.of(SelfConsistency(folder))
    torch.testing.assert_close(score(verifier, {0.4: THEN}), truth, atol=1e-5, rtol=0)
    torch.testing.assert_close(score(verifier, {0.4: NOW}), torch.ones(3), atol=1e-5, rtol=0)
    assert truth.std() > 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_clips.dinov2_classifier_folder(tmp_path_factory.mktemp("models") / "dinov2")


def test_each_measure_sees_its_own_level(folder):
    early, late = (Verifier.of(SelfConsistency(folder, level)) for level in (0.7, 0.3))
    both = combine([early, Verifier.of(ImageStatistic("exposure")), late])
    assert both.levels == (0.3, 0.7) and Verifier.of(ImageStatistic("exposure")).levels == ()
    rows = both.measure(NOW, [""] * 3, earlier={0.7: THEN, 0.3: NOW})
    torch.testing.assert_close(rows[:, 0], score(early, {0.7: THEN}))
    torch.testing.assert_close(rows[:, 2], torch.ones(3), atol=1e-5, rtol=0)
    assert len({SelfConsistency(folder, level).key for level in (0.3, 0.4)}) == 2


def test_a_region_is_cut_from_both(folder):
    verifier = Verifier.of(SelfConsistency(folder))
    cut = region(verifier, Box(0.5, 0, 1, 1)).measure(NOW, [""] * 3, earlier={0.4: THEN})
    truth = verifier.measure(NOW[:, :, 50:], [""] * 3, earlier={0.4: THEN[:, :, 50:]})
    torch.testing.assert_close(cut, truth)


def test_bad_input_is_one_sentence(folder):
    for level in (0, 1):
        with pytest.raises(VerifierError, match=f"noise level is {level}: give one above 0 and below 1"):
            SelfConsistency(folder, level)
    with pytest.raises(VerifierError, match="SelfConsistency compares the image with what it was on the way"):
        Verifier.of(SelfConsistency(folder)).measure(NOW, [""] * 3)


def test_what_is_not_finite_has_no_number(folder):
    broken = THEN.clone()
    broken[1, 0, 0, 0] = torch.nan
    found = score(Verifier.of(SelfConsistency(folder)), {0.4: broken})
    assert found.isnan().tolist() == [False, True, False]
