"""The blocks of learned verifiers inside ComfyUI: what they list, what they say is missing, what they score."""

import pytest
import torch

from noise_search.harness import small_clips, small_rewards

from .model_folders import private
from .test_verifier_nodes import host  # noqa: F401  a fixture


@pytest.fixture(scope="module")
def installed(host, tmp_path_factory):  # noqa: F811
    """Every model that the blocks open, small, under its published name, in models/clip_vision."""
    with private(tmp_path_factory.mktemp("models")) as folders:
        yield fill(folders["clip_vision"])


def fill(folder):
    small_clips.transformers_folder(folder / "PickScore_v1")
    torch.save({"state_dict": small_clips.open_clip_model().state_dict()}, folder / "HPS_v2.1_compressed.pt")
    small_rewards.folder(folder / "ImageReward")
    small_clips.dinov2_classifier_folder(folder / "dinov2-base-imagenet1k-1-layer")
    small_clips.aesthetic_head(folder / "sac+logos+ava1-l14-linearMSE.pth", 32)
    return folder


BLOCKS = {
    "NS_PickScore": {"model": "clip_vision/PickScore_v1"},
    "NS_Aesthetic": {"head": "clip_vision/sac+logos+ava1-l14-linearMSE.pth", "model": "clip_vision/PickScore_v1"},
    "NS_ClassProbability": {"model": "clip_vision/dinov2-base-imagenet1k-1-layer", "target": "red fox"},
    "NS_ImageReward": {"model": "clip_vision/ImageReward"},
    "NS_ReferenceMatch": {
        "model": "clip_vision/dinov2-base-imagenet1k-1-layer",
        "reference": small_clips.images(60, 50, n=2, seed=9),
    },
}
MISSING = {
    "NS_PickScore": ("model", "huggingface.co/yuvalkirstain/PickScore_v1", "MIT", "clip_vision/PickScore_v1"),
    "NS_Aesthetic": ("head", "improved-aesthetic-predictor", "Apache-2.0", "AGPL-3.0", "clip_vision"),
    "NS_ClassProbability": ("model", "facebook/dinov2-base-imagenet1k-1-layer", "Apache-2.0", "clip_vision"),
    "NS_ImageReward": ("model", "zai-org/ImageReward", "Apache-2.0", "med_config.json", "clip_vision/ImageReward"),
    "NS_ReferenceMatch": ("model", "huggingface.co/facebook/dinov2-base", "Apache-2.0", "clip_vision"),
    "NS_SelfConsistency": ("model", "huggingface.co/facebook/dinov2-base", "Apache-2.0", "clip_vision"),
    "NS_PopulationOracle": ("model", "pt_inception-2015-12-05-6726825d.pth", "facebook/dinov2-base", "Apache-2.0"),
    "NS_HPSv2": ("model", "huggingface.co/xswu/HPSv2", "Apache-2.0", "HPS_v2.1_compressed.pt"),
}


@pytest.mark.parametrize("node", MISSING)
def test_a_missing_model_is_one_sentence_with_source_folder_and_licence(host, node, monkeypatch):  # noqa: F811
    from noise_search.nodes.host.model_files import Models

    monkeypatch.setattr(Models, "installed", lambda self: {})
    name, *words = MISSING[node]
    inputs = host.nodes[node].INPUT_TYPES()
    assert " installed" in str((inputs["required"] | inputs["optional"])[name])
    message = host.nodes[node].validate_inputs(**{name: "not there"})
    assert all(word in message for word in words)
    assert message.endswith("press R, or choose it in this block's download input.")


@pytest.mark.parametrize("node", BLOCKS)
def test_scores_are_those_of_the_verifier_alone(host, installed, node):  # noqa: F811
    from noise_search.nodes.host.scoring import score

    (verifier,) = host.call(node, **BLOCKS[node])
    names = {k: v for k, v in BLOCKS[node].items() if k in ("model", "head")}
    assert host.nodes[node].validate_inputs(**names) is True
    images, prompts = small_clips.images(70, 101, n=3), small_clips.SENTENCES
    with torch.inference_mode():
        rows = score(verifier, images, prompts)
    torch.testing.assert_close(rows, verifier.measure(images, prompts), atol=1e-6, rtol=0)


def test_each_block_lists_its_own_models_only(installed):
    from noise_search.nodes.host.model_files import AESTHETIC_HEAD, CLIP, HPS, PICKSCORE

    assert PICKSCORE.names() == ["clip_vision/PickScore_v1"]
    assert AESTHETIC_HEAD.names() == ["clip_vision/sac+logos+ava1-l14-linearMSE.pth"]
    assert CLIP.names() == ["clip_vision/HPS_v2.1_compressed.pt", "clip_vision/PickScore_v1"]
    assert HPS.names() == ["clip_vision/HPS_v2.1_compressed.pt"]


def test_class_probability_takes_a_clip_too(host, installed):  # noqa: F811
    inputs = {"model": "clip_vision/PickScore_v1", "target": "cat", "others": "dog\n\n bird "}
    (verifier,) = host.call("NS_ClassProbability", **inputs)
    (measure,) = verifier.measures
    assert measure.others == ["dog", "bird"] and len(measure.templates) == 7


def test_reference_colours_need_no_model(host):  # noqa: F811
    images = small_clips.images(20, 30, n=2)
    (verifier,) = host.call("NS_ReferenceMatch", reference=images[:1])
    assert host.nodes["NS_ReferenceMatch"].validate_inputs(model="colours (no model)") is True
    assert verifier.measure(images, ["", ""])[0].item() == 1


def test_region_is_the_mask_where_there_is_one(host):  # noqa: F811
    (inner,) = host.call("NS_ImageStatistics", statistic="exposure")
    images = torch.zeros(1, 8, 8, 3)
    images[:, :4, :4] = 1
    mask = torch.zeros(1, 16, 16)
    mask[:, :8, :8] = 1
    (by_mask,) = host.call("NS_RegionVerifier", verifier=inner, mask=mask)
    (by_box,) = host.call("NS_RegionVerifier", verifier=inner, left=0.5, top=0.0, right=1.0, bottom=1.0)
    assert by_mask.measure(images, [""]).item() == pytest.approx(1)
    assert by_box.measure(images, [""]).item() == 0
