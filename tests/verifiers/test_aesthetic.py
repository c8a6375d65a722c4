"""Aesthetic against the published networks, written out with torch, on transformers' embeddings."""

import gc

import pytest
import torch
import transformers
from torch import nn

from noise_search.harness import small_clips
from noise_search.verifiers import Aesthetic, CLIPScore, Verifier, VerifierError, aesthetic

from .test_clip_score import pil, pil_processor


class LaionV2(nn.Module):
    """The published module: its names are those of the file."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, 1024),
            nn.Dropout(0.2),
            nn.Linear(1024, 128),
            nn.Dropout(0.2),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.Linear(64, 16),
            nn.Linear(16, 1),
        )


class V25(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scoring_head = nn.Sequential(
            nn.Linear(width, 1024),
            nn.Dropout(0.5),
            nn.Linear(1024, 128),
            nn.Dropout(0.5),
            nn.Linear(128, 64),
            nn.Dropout(0.5),
            nn.Linear(64, 16),
            nn.Dropout(0.2),
            nn.Linear(16, 1),
        )


def score(measure, images):
    return Verifier.of(measure).measure(images, [""] * len(images))[:, 0]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return small_clips.transformers_folder(tmp_path_factory.mktemp("clip") / "clip-vit-large-patch14")


def test_laion_v2_equals_its_own_pipeline(clip_folder, tmp_path):
    images = small_clips.images(70, 101, n=4)
    file = small_clips.aesthetic_head(tmp_path / "linearMSE.pth", 32)
    published = LaionV2(32).eval()
    published.load_state_dict(torch.load(file, weights_only=True))
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    with torch.no_grad():
        pixels = pil_processor(clip_folder)(images=pil(images), return_tensors="pt")["pixel_values"]
        embeds = model.visual_projection(model.vision_model(pixels).pooler_output)
        truth = published.layers(embeds / embeds.norm(dim=-1, keepdim=True))[:, 0]
    torch.testing.assert_close(score(Aesthetic(clip_folder, file), images), truth, atol=1e-4, rtol=0)
    assert truth.std() > 1e-3


def test_v25_equals_its_own_pipeline(tmp_path):
    images = small_clips.images(70, 101, n=4)
    folder = small_clips.siglip_folder(tmp_path / "siglip-so400m-patch14-384")
    numbers = (0, 2, 4, 6, 8)
    file = small_clips.aesthetic_head(tmp_path / "aesthetic_predictor_v2_5.pth", 64, "scoring_head", numbers)
    published = V25(64).eval()
    published.load_state_dict(torch.load(file, weights_only=True))
    model = transformers.SiglipVisionModel.from_pretrained(folder).eval()
    with torch.no_grad():
        pooled = model(**pil_processor(folder)(images=pil(images), return_tensors="pt")).pooler_output
        truth = published.scoring_head(pooled / pooled.norm(dim=-1, keepdim=True))[:, 0]
    torch.testing.assert_close(score(Aesthetic(folder, file), images), truth, atol=1e-4, rtol=0)


def test_clip_score_and_aesthetic_share_one_model_and_one_encoding(clip_folder, tmp_path, monkeypatch):
    measure = Aesthetic(clip_folder, small_clips.aesthetic_head(tmp_path / "linearMSE.pth", 32))
    clip_score = CLIPScore(clip_folder)
    assert measure.modules()[0] is clip_score.modules()[0]
    encoded = []
    image = measure.clip.parts.image
    counting = lambda pixels: encoded.append(len(pixels)) or image(pixels)  # noqa: E731
    monkeypatch.setitem(measure.clip.parts.__dict__, "image", counting)
    images = small_clips.images(48, 48, n=3, seed=8)
    score(measure, images)
    score(clip_score, images)
    assert encoded == [3]


def test_one_head_in_memory_and_a_replaced_one_is_another(clip_folder, tmp_path):
    file = small_clips.aesthetic_head(tmp_path / "linearMSE.pth", 32)
    first = Aesthetic(clip_folder, file)
    assert Aesthetic(clip_folder, file, half=True).head is first.head
    key = first.key
    small_clips.aesthetic_head(file, 32, seed=1)
    assert Aesthetic(clip_folder, file).key != key
    del first
    gc.collect()
    assert not aesthetic._open


def test_bad_heads(clip_folder, tmp_path):
    wide = small_clips.aesthetic_head(tmp_path / "wide.pth", 40)
    with pytest.raises(VerifierError, match="head reads 40 numbers and clip-vit-large-patch14 gives 32: choose CLIP"):
        score(Aesthetic(clip_folder, wide), small_clips.images(48, 48, n=1))
    state = torch.load(wide, weights_only=True)
    torch.save({**state, "layers.9.running_mean": torch.zeros(1)}, tmp_path / "other.pth")
    torch.save({k: v for k, v in state.items() if ".2." not in k}, tmp_path / "gap.pth")
    (tmp_path / "code.pth").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for name, message in {
        "other": "is no aesthetic head",
        "gap": "is no aesthetic head: its layers do not lead to one number",
        "code": "plain weights",
    }.items():
        with pytest.raises(VerifierError, match=message):
            Aesthetic(clip_folder, tmp_path / f"{name}.pth")
