"""The verifier blocks inside ComfyUI: what they list and refuse, and scoring under its memory management."""

import gc
import weakref

import pytest
import torch
from safetensors.torch import save_file

from noise_search.harness import find, small_clips
from noise_search.verifiers import ImageStatistic, Verifier, VerifierError

from .in_process import verifiers_loaded
from .model_folders import private

CPU = torch.device("cpu")


def verifier_nodes():
    from noise_search.nodes import judges, learned_verifiers, matching, population, verifiers

    return verifiers.NODES + learned_verifiers.NODES + matching.NODES + population.NODES + judges.NODES


@pytest.fixture(scope="module")
def host(stock_comfy):
    """ComfyUI with the verifier blocks."""
    for node in verifier_nodes():
        stock_comfy.nodes[node.GET_SCHEMA().node_id] = node
    return stock_comfy


@pytest.fixture(scope="module")
def clips(host, tmp_path_factory):
    """An open_clip folder, a transformers folder, and files that are no whole CLIP, where users put them."""
    with private(tmp_path_factory.mktemp("models")) as folders:
        vision, text = folders["clip_vision"], folders["text_encoders"]
        small_clips.open_clip_folder(vision / "open")
        small_clips.transformers_folder(vision / "hf")
        state = small_clips.open_clip_model().state_dict()
        save_file(state, text / "whole.safetensors")
        save_file({k: v for k, v in state.items() if k.startswith("visual.")}, vision / "image_half.safetensors")
        (vision / "broken.safetensors").write_bytes(b"\xff" * 100)
        yield vision


@pytest.fixture
def score(host):
    from noise_search.nodes.host.scoring import score

    return score


def test_every_node_has_a_category_tooltips_and_one_output(host):
    for node in verifier_nodes():
        schema = node.GET_SCHEMA()
        assert schema.category in ("noise search/verifiers", "noise search/demo")
        assert [o.io_type for o in schema.outputs] == ["NS_VERIFIER"] and schema.description
        assert all(i.tooltip for i in schema.inputs)
        assert (find.ROOT / "web" / "docs" / f"{schema.node_id}.md").is_file()


def test_models_are_listed_by_folder_and_only_whole_ones(clips):
    from noise_search.nodes.host.model_files import CLIP

    assert CLIP.names() == ["clip_vision/hf", "clip_vision/open", "text_encoders/whole.safetensors"]
    assert CLIP.path("clip_vision/open") == clips / "open"


def test_extra_model_paths_count(clips, tmp_path, monkeypatch):
    import folder_paths

    from noise_search.nodes.host.model_files import CLIP

    small_clips.open_clip_folder(tmp_path / "elsewhere")
    paths, extensions = folder_paths.folder_names_and_paths["noise_search"]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "noise_search", ([*paths, str(tmp_path)], extensions))
    assert "noise_search/elsewhere" in CLIP.names()
    assert CLIP.path("noise_search/elsewhere") == tmp_path / "elsewhere"


OTHERS = ["clip_vision/../../secret", "/etc/passwd", "clip_vision/image_half.safetensors"]


@pytest.mark.parametrize("name", OTHERS)
def test_only_listed_names_can_be_opened(clips, name):
    from noise_search.nodes.host.model_files import CLIP

    with pytest.raises(VerifierError, match="put an open_clip .safetensors file"):
        CLIP.path(name)


def test_without_a_model_the_list_says_so_and_the_graph_is_refused(host, monkeypatch):
    from noise_search.nodes.host.model_files import Models

    monkeypatch.setattr(Models, "installed", lambda self: {})
    options = host.nodes["NS_CLIPScore"].INPUT_TYPES()["required"]["model"]
    assert "no CLIP model installed" in str(options)
    answer = host.nodes["NS_CLIPScore"].validate_inputs(model="no CLIP model installed")
    assert "No CLIP model is installed: put" in answer and "clip_vision" in answer
    inputs = {"model": "no CLIP model installed", "architecture": "auto", "form": "raw cosine"}
    graph = {"1": {"class_type": "NS_CLIPScore", "inputs": {**inputs, "half_precision": False}}}
    with pytest.raises(AssertionError, match="No CLIP model is installed: put"):
        host.run(graph, ("1", 0))


def test_a_replaced_file_is_another_model(clips, host):
    node = host.nodes["NS_CLIPScore"]
    before = node.fingerprint_inputs(model="clip_vision/open", form="raw cosine")
    assert before == node.fingerprint_inputs(model="clip_vision/open", form="raw cosine")
    save_file(small_clips.open_clip_model(1).state_dict(), clips / "open" / "open_clip_model.safetensors")
    assert node.fingerprint_inputs(model="clip_vision/open", form="raw cosine") != before


@pytest.mark.parametrize("model", ["clip_vision/open", "clip_vision/hf"])
def test_scores_are_those_of_the_verifier_alone(clips, host, score, model):
    (verifier,) = host.call("NS_CLIPScore", model=model)
    images, prompts = small_clips.images(70, 101, n=3), small_clips.SENTENCES
    with torch.inference_mode():
        rows = score(verifier, images, prompts)
    assert rows.shape == (3, 1) and rows.dtype == torch.float32 and rows.device == CPU
    torch.testing.assert_close(rows, verifier.measure(images, prompts), atol=1e-6, rtol=0)


def test_a_second_search_loads_nothing_again(clips, host, score):
    (verifier,) = host.call("NS_CLIPScore", model="clip_vision/hf")
    images, prompts = small_clips.images(48, 48, n=2), ["a", "b"]
    score(verifier, images, prompts)
    loaded = verifiers_loaded()
    (again,) = host.call("NS_CLIPScore", model="clip_vision/hf", form="2.5 · max(cosine, 0)")
    score(again, images, prompts)
    assert again.measures[0].modules()[0] is verifier.measures[0].modules()[0]
    assert loaded and verifiers_loaded() == loaded


def test_comfyui_can_unload_the_model_and_it_comes_back(clips, host, score):
    import comfy.model_management as mm

    (verifier,) = host.call("NS_CLIPScore", model="clip_vision/open")
    images, prompts = small_clips.images(48, 48, n=2), ["a", "b"]
    before = score(verifier, images, prompts)
    mm.unload_all_models()
    torch.testing.assert_close(score(verifier, images, prompts), before)


def test_the_model_goes_when_no_verifier_holds_it(clips, host, score):
    import comfy.model_management as mm

    mm.unload_all_models()
    (verifier,) = host.call("NS_CLIPScore", model="clip_vision/open")
    score(verifier, small_clips.images(48, 48, n=1), ["a"])
    (loaded,), module = verifiers_loaded(), weakref.ref(verifier.measures[0].modules()[0])
    assert loaded.model.module is module()
    del verifier, loaded
    gc.collect()
    mm.cleanup_models()
    assert verifiers_loaded() == [] and module() is None


class Given:
    """A measure that counts its batches and fails as told."""

    name, key, reads, sign, notes = "given", "given", "images", 1, ()

    def __init__(self, fail=lambda n: None):
        self.fail, self.batches = fail, []

    def modules(self):
        return []

    def measure(self, images, prompts, device):
        self.batches.append(len(images))
        self.fail(len(images))
        return images.flatten(1).mean(1)


def test_batches_are_halved_when_memory_runs_out(score):
    import comfy.model_management as mm

    def full(n):
        if n > 2:
            raise mm.OOM_EXCEPTION("full")

    images = small_clips.images(4, 4, n=9)
    measure = Given(full)
    rows = score(Verifier.of(measure), images, [""] * 9)
    torch.testing.assert_close(rows[:, 0], images.flatten(1).mean(1))
    assert measure.batches == [9, 4, 2, 2, 2, 2, 1]


def test_memory_too_small_for_one_image_is_comfyuis_own_error(score):
    import comfy.model_management as mm

    def full(n):
        raise mm.OOM_EXCEPTION("full")

    with pytest.raises(mm.OOM_EXCEPTION):
        score(Verifier.of(Given(full)), small_clips.images(4, 4, n=3), [""] * 3)


def test_cancelling_is_not_swallowed(score):
    import comfy.model_management as mm

    measure = Given()
    mm.interrupt_current_processing()
    with pytest.raises(mm.InterruptProcessingException):
        score(Verifier.of(measure), small_clips.images(4, 4, n=3), [""] * 3)
    assert measure.batches == []

    def cancelled(n):
        raise mm.InterruptProcessingException

    with pytest.raises(mm.InterruptProcessingException):
        score(Verifier.of(Given(cancelled)), small_clips.images(4, 4, n=3), [""] * 3)


def test_the_same_measure_twice_is_measured_once(host, score):
    measure = Given()
    verifier = Verifier.of(measure)
    (watching,) = host.call("NS_WatchVerifier", verifier=verifier, watched=verifier)
    rows = score(watching, small_clips.images(4, 4, n=2), [""] * 2)
    assert rows.shape == (2, 2) and measure.batches == [2]


def test_latents_go_to_those_who_read_them(score):
    measure = Given()
    measure.reads = "latents"
    latents = torch.rand(2, 4, 8, 8)
    rows = score(Verifier.of(measure), None, ["", ""], latents)
    torch.testing.assert_close(rows[:, 0], latents.flatten(1).mean(1))
    with pytest.raises(VerifierError, match="sharpness reads images: connect a VAE"):
        score(Verifier.of(ImageStatistic("sharpness")), None, ["", ""], latents)


def test_combining_uses_the_connected_slots_and_their_weights(host):
    one = Verifier.of(ImageStatistic("contrast"))
    two = Verifier.of(ImageStatistic("exposure"))
    (verifier,) = host.call("NS_CombineVerifiers", verifier_1=one, verifier_4=two, weight_2=9.0, weight_4=0.0)
    assert verifier.names == ["contrast", "exposure"] and verifier.searched == (True, False)


def test_graph_through_the_executor(host):
    graph = {
        "1": {"class_type": "NS_ImageStatistics",
              "inputs": {"statistic": "exposure", "better": "nearest to the target", "target": 0.5}},
        "2": {"class_type": "NS_ImageStatistics",
              "inputs": {"statistic": "sharpness", "better": "higher", "target": 0.5}},
        "3": {"class_type": "NS_CombineVerifiers",
              "inputs": {"verifier_1": ["1", 0], "verifier_2": ["2", 0], "rule": "mean rank",
                         **{f"weight_{i}": 1.0 for i in range(1, 6)}, "threshold": 0.25}},
    }  # fmt: skip
    verifier = host.run(graph, ("3", 0))
    assert verifier.names == ["exposure off 0.5", "sharpness"] and verifier.relative


def test_clip_score_is_made_again_when_its_file_changes(clips, host):
    def queue():
        inputs = {"model": "clip_vision/open", "architecture": "auto", "form": "raw cosine"}
        graph = {"1": {"class_type": "NS_CLIPScore", "inputs": {**inputs, "half_precision": False}}}
        return host.run(graph, ("1", 0))

    verifier = queue()
    assert queue() is verifier  # from ComfyUI's cache
    save_file(small_clips.open_clip_model(2).state_dict(), clips / "open" / "open_clip_model.safetensors")
    assert queue().key != verifier.key


def test_shapes_oracle_reads_what_was_drawn(host, score):
    import numpy as np

    from noise_search.demo import scenes

    prompts = ["a red circle left of a blue square", "two green triangles"]
    drawn = [scenes.scenes_of([scenes.parse(p)], np.random.default_rng(0)) for p in prompts]
    images = torch.cat([scenes.render(d) for d in drawn]).float()
    share, strict = (host.call("NS_ShapesOracle", all_or_nothing=on)[0] for on in (False, True))
    assert score(share, images, prompts)[:, 0].tolist() == [1, 1]
    assert score(strict, images, prompts[::-1])[:, 0].tolist() == [0, 0]
    with pytest.raises(VerifierError, match="Shapes Oracle cannot read the prompt"):
        score(share, images[:1], ["a spaceship over"])
    with pytest.raises(VerifierError, match="multiple of 32"):
        score(share, torch.rand(1, 40, 32, 3), prompts[:1])
