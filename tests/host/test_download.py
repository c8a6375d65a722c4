"""A block's `download` input, by the real huggingface_hub from a stand-in hub: whole, resumed, wrong, offline."""

import hashlib

import pytest

from noise_search.harness import small_clips, small_rewards
from noise_search.harness.fake_hub import fake_hub
from noise_search.verifiers import VerifierError

from .model_folders import private
from .test_verifier_nodes import host  # noqa: F401  a fixture

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(range(256)) * 4096 * 24  # 25 MB: more than the ten that huggingface_hub reads at once


@pytest.fixture
def own(host, tmp_path):  # noqa: F811
    """models/noise_search, empty."""
    with private(tmp_path / "models") as folders:
        yield folders["noise_search"]


@pytest.fixture
def hub(monkeypatch):
    with fake_hub({"some/model": {"config.json": b"{}", "model.safetensors": WEIGHTS, "README.md": b"hello"}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def model(sha256=None, name="model"):
    from noise_search.nodes.host.published import Published, Source

    known = {"model.safetensors": sha256} if sha256 else {}
    return Published(name, 0.03, (Source("some/model", COMMIT, ("*.json", "model.safetensors"), "MIT", known),))


def fetch(*of):
    from noise_search.nodes.host.download import fetch

    return fetch(*of)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def waiting(folder):
    return sorted(path.name for path in folder.glob(".incomplete/*/*"))


def test_a_whole_download_is_what_was_asked_for_and_nothing_else(own, hub):
    place = fetch(model(), own)
    assert place == own / "model" and (place / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(path.name for path in place.iterdir()) == ["config.json", "model.safetensors"]
    assert {path for _, path, _ in hub.asked} == {
        f"/api/models/some/model/revision/{COMMIT}",
        f"/some/model/resolve/{COMMIT}/config.json",
        f"/some/model/resolve/{COMMIT}/model.safetensors",
    }
    hub.asked.clear()
    assert fetch(model(), own) == place and hub.asked == []


def test_a_broken_connection_goes_on_where_it_was(own, hub):
    hub.repositories["some/model"].pop("config.json")
    hub.cut = 12_000_000
    place = fetch(model(), own)
    assert (place / "model.safetensors").read_bytes() == WEIGHTS
    first, second = hub.ranges("model.safetensors")
    assert first is None and 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 12_000_000


def test_a_cancel_leaves_nothing_in_place_and_the_next_time_goes_on(own, hub, monkeypatch):
    import comfy.model_management as mm

    from noise_search.nodes.host import download
    from noise_search.nodes.host.model_files import CLIP

    calls = []

    class Bar:
        def __init__(self, total):
            self.total = total

        def update_absolute(self, done, total):
            calls.append((done, total))
            if done > 2:
                mm.interrupt_current_processing()

    monkeypatch.setattr(download.comfy.utils, "ProgressBar", Bar)
    monkeypatch.setattr(download, "EVERY", 0.0)
    with pytest.raises(mm.InterruptProcessingException):
        fetch(model(), own)
    assert not (own / "model").exists()
    part = next(own.glob(".incomplete/model-01234567/model.safetensors.part"))
    begun = part.stat().st_size
    assert 0 < begun < len(WEIGHTS) and CLIP.installed() == {}
    monkeypatch.undo()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert (fetch(model(), own) / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.ranges("model.safetensors")[-1] == f"bytes={begun}-"
    assert all(total == len(WEIGHTS) + 2 for _, total in calls)


def test_the_bar_ends_at_the_whole_size(own, hub, monkeypatch):
    import comfy.utils

    seen = []
    monkeypatch.setattr(
        comfy.utils, "PROGRESS_BAR_HOOK", lambda value, total, *more, **named: seen.append((value, total))
    )
    fetch(model(), own)
    values = [value for value, _ in seen]
    assert values == sorted(values) and seen[-1] == (len(WEIGHTS) + 2, len(WEIGHTS) + 2) and len(seen) >= 2


def test_a_file_that_is_not_the_pinned_one_is_refused_and_deleted(own, hub):
    wanted = "0" * 64
    with pytest.raises(VerifierError, match="model.safetensors from https://huggingface.co/some/model/tree/") as why:
        fetch(model(wanted), own)
    assert sha256(WEIGHTS) in str(why.value) and wanted in str(why.value)
    assert not (own / "model").exists() and waiting(own) == ["config.json"]


def test_what_the_hub_itself_says_of_a_large_file_is_checked_too(own, hub, monkeypatch):
    listing = hub.listing

    def lying(*about):
        found = listing(*about)
        found["siblings"][1]["lfs"]["sha256"] = "f" * 64
        return found

    monkeypatch.setattr(hub, "listing", lying)
    with pytest.raises(VerifierError, match="is not the file that was expected"):
        fetch(model(), own)
    assert not (own / "model").exists()


def test_names_that_lead_elsewhere_are_left_alone(own, hub):
    files = hub.repositories["some/model"]
    files |= dict.fromkeys(("../evil.json", "sub/evil.json", "..\\evil.json", "C:evil.json", "/evil.json"), b"evil")
    place = fetch(model(), own)
    assert sorted(path.name for path in place.iterdir()) == ["config.json", "model.safetensors"]
    assert not list(own.parent.parent.rglob("*evil*"))


def by_hand(own, message):
    return all(word in message for word in ("model.safetensors", "some/model", COMMIT, "MIT", str(own / "model")))


def test_offline_says_what_to_put_where(own, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(VerifierError, match="could not be downloaded: go online and queue again, or put") as why:
        fetch(model(), own)
    assert by_hand(own, str(why.value)) and "\n" not in str(why.value)
    assert not (own / "model").exists()


def test_what_the_hub_does_not_have_is_said(own, hub):
    del hub.repositories["some/model"]["model.safetensors"]
    with pytest.raises(VerifierError, match="no model.safetensors in https") as why:
        fetch(model(), own)
    assert by_hand(own, str(why.value))


def test_no_room_on_the_disk_is_known_before(own, hub, monkeypatch):
    from noise_search.nodes.host import download

    full = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: full)
    with pytest.raises(VerifierError, match="has 0.0 GB left, and the download needs 0.0 GB: make room"):
        fetch(model(), own)
    assert hub.ranges("model.safetensors") == []


def test_every_offered_model_is_pinned_and_has_a_licence():
    import re

    from noise_search.nodes.host import model_files

    lists = [v for v in vars(model_files).values() if isinstance(v, model_files.Models)]
    offered = {model.name: model for models in lists for model in models.offered}
    assert len(lists) >= 8 and len(offered) >= 10
    for source in (source for model in offered.values() for source in model.sources):
        assert re.fullmatch("[0-9a-f]{40}", source.revision) and source.licence and source.files
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in source.sha256.values())


def test_a_branch_is_no_pin():
    from noise_search.nodes.host.published import Source

    with pytest.raises(ValueError, match="some/model: 'main' is no commit"):
        Source("some/model", "main", ("*",), "MIT")


def published(folder):
    """What a folder holds, as the hub has it."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_block_downloads_when_told_and_never_otherwise(host, own, tmp_path, monkeypatch):  # noqa: F811
    reward = published(small_rewards.folder(tmp_path / "reward"))
    files = {"zai-org/ImageReward": reward, "google-bert/bert-base-uncased": {"vocab.txt": reward.pop("vocab.txt")}}
    node = host.nodes["NS_ImageReward"]
    with fake_hub(files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        none = node.INPUT_TYPES()["required"]["model"][1]["default"]
        assert "or choose it in this block's download input" in node.validate_inputs(model=none, download="no")
        assert node.validate_inputs(model=none, download="ImageReward") is True
        assert node.fingerprint_inputs(model=none, download="ImageReward") == "ImageReward, to be downloaded"
        with pytest.raises(VerifierError, match="No ImageReward model is installed"):
            host.call("NS_ImageReward", model=none)
        assert hub.asked == []
        (verifier,) = host.call("NS_ImageReward", model=none, download="ImageReward")
        asked = len(hub.asked)
        (again,) = host.call("NS_ImageReward", model=none, download="ImageReward")
        assert len(hub.asked) == asked  # it is there
    images = small_clips.images(60, 60, n=2)
    assert verifier.measure(images, ["a red circle"] * 2).isfinite().all() and again.key == verifier.key
    assert "noise_search/ImageReward" in str(node.INPUT_TYPES()["required"]["model"])


def test_a_head_comes_with_what_it_reads(host, own, tmp_path, monkeypatch):  # noqa: F811
    from noise_search.nodes.host import published as table

    head = small_clips.aesthetic_head(tmp_path / "head.pth", 32).read_bytes()
    clip = published(small_clips.transformers_folder(tmp_path / "clip"))
    monkeypatch.setitem(table.LAION_V2.sources[0].sha256, "aesthetic-model.pth", sha256(head))
    monkeypatch.setitem(table.CLIP_L14.sources[0].sha256, "model.safetensors", sha256(clip["model.safetensors"]))
    files = {"trl-lib/ddpo-aesthetic-predictor": {"aesthetic-model.pth": head}, "openai/clip-vit-large-patch14": clip}
    with fake_hub(files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        name = table.LAION_V2.name
        assert host.nodes["NS_Aesthetic"].validate_inputs(head="none", model="none", download=name) is True
        (verifier,) = host.call("NS_Aesthetic", head="none", model="none", download=name)
    assert (own / name).read_bytes() == head and (own / "clip-vit-large-patch14").is_dir()
    assert verifier.measure(small_clips.images(60, 60, n=2), ["", ""]).isfinite().all()


def test_a_download_that_is_not_offered_is_refused(host, own):  # noqa: F811
    node = host.nodes["NS_PickScore"]
    for name in ("../../evil", "someone/else", "ImageReward"):
        assert "choose one of no, PickScore_v1" in node.validate_inputs(model="x", download=name)
        with pytest.raises(VerifierError, match="choose one of no, PickScore_v1"):
            host.call("NS_PickScore", model="x", download=name)
