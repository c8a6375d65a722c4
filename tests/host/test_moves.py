"""What scoring loads and moves: weights once a session, models once a generation, whatever the memory."""

from collections import Counter

import pytest
import torch

from noise_search.harness import small_clips, small_rewards

from .model_folders import private
from .searching import Searching, account

GPU = torch.device("cpu:0")  # to ComfyUI another device than "cpu", with a memory of its own


@pytest.fixture(scope="module")
def lab(comfy, sd3):
    assert sd3.model.load_device == sd3.vae.patcher.load_device == torch.device("cpu")  # not where the verifiers are
    return Searching(comfy, sd3)


@pytest.fixture(scope="module")
def verifier(lab, tmp_path_factory):
    """CLIPScore, a DINOv2 class and ImageReward by mean rank: three models."""
    with private(tmp_path_factory.mktemp("models")) as folders:
        vision, call = folders["clip_vision"], lab.comfy.call
        small_clips.transformers_folder(vision / "clip")
        small_clips.dinov2_classifier_folder(vision / "classifier")
        small_rewards.folder(vision / "reward")
        (clip,) = call("NS_CLIPScore", model="clip_vision/clip")
        (sort,) = call("NS_ClassProbability", model="clip_vision/classifier", target="red fox")
        (reward,) = call("NS_ImageReward", model="clip_vision/reward")
        (combined,) = call("NS_CombineVerifiers", verifier_1=clip, verifier_2=sort, verifier_3=reward)
        yield combined


@pytest.fixture
def counts(verifier, monkeypatch):
    """Moves to the device by module, generations, and calls of the verifiers' measures."""
    from comfy.model_patcher import ModelPatcher

    from noise_search.nodes.host.evaluator import HostEvaluator
    from noise_search.nodes.host.scorer import Scorer

    counts = {"moves": Counter(), "generations": 0, "scorings": 0}
    load, evaluate, scoring = ModelPatcher.load, HostEvaluator.evaluate, Scorer._numbers

    def counted_load(self, *more, **named):
        if type(self.model).__name__ == "VerifierModel":
            counts["moves"][id(self.model.module)] += 1
        return load(self, *more, **named)

    def counted_evaluate(self, *more):
        counts["generations"] += 1
        return evaluate(self, *more)

    def counted_scoring(self, *more):
        counts["scorings"] += 1
        return scoring(self, *more)

    monkeypatch.setattr(ModelPatcher, "load", counted_load)
    monkeypatch.setattr(HostEvaluator, "evaluate", counted_evaluate)
    monkeypatch.setattr(Scorer, "_numbers", counted_scoring)
    return counts


@pytest.fixture
def gpu(verifier, monkeypatch):
    """set_memory(models): a device that holds that many of the verifiers' largest model, and what computing needs."""
    import comfy.model_management as mm

    mm.unload_all_models()
    modules = [module for measure in verifier.measures for module in measure.modules()]
    largest = max(mm.module_size(module) for module in modules)

    def set_memory(models):
        needed = 2 * mm.minimum_inference_memory()  # what ComfyUI keeps free, and the images
        capacity = needed + int(1.15 * models * largest)

        def free(device=None, torch_free_too=False):
            used = sum(m.model_loaded_memory() for m in mm.current_loaded_models if m.device == GPU)
            return (capacity - used, capacity - used) if torch_free_too else capacity - used

        monkeypatch.setattr(mm, "get_free_memory", free)
        monkeypatch.setattr(mm, "minimum_inference_memory", lambda: needed)

    for module in modules:
        vars(module).pop("_noise_search_patcher", None)  # made for another device
    monkeypatch.setattr(mm, "get_torch_device", lambda: GPU)
    yield set_memory
    mm.free_memory(1e30, GPU)
    for module in modules:
        vars(module).pop("_noise_search_patcher", None)


def search(lab, verifier, seed):
    """Four generations: the plain image, then three of four neighbours, two candidates a call."""
    algorithm = lab.search("zero-order", {"images": 13}, neighbours=4)
    model, run = lab.searched(algorithm, verifier, batch=2, vae=lab.tiny.vae, prompt="a red fox")
    lab.ksampler(model, lab.latent(), seed=seed)
    return account(run)


def test_where_all_fit_each_model_is_moved_once_and_batches_are_scored_as_they_come(lab, verifier, counts, gpu):
    gpu(models=20)
    search(lab, verifier, seed=1)
    search(lab, verifier, seed=2)
    assert len(counts["moves"]) == 3 and set(counts["moves"].values()) == {1}
    assert counts["scorings"] > counts["generations"] >= 8


def test_where_they_do_not_fit_each_is_moved_once_a_generation(lab, verifier, counts, gpu):
    gpu(models=1)
    found = search(lab, verifier, seed=3)
    assert len(found.lanes[0]) == 13 and counts["generations"] >= 4
    assert len(counts["moves"]) == 3 and max(counts["moves"].values()) > 1
    assert max(counts["moves"].values()) <= counts["generations"]


def test_memory_changes_no_score(lab, verifier, gpu):
    gpu(models=20)
    plenty = search(lab, verifier, seed=4)
    gpu(models=1)
    little = search(lab, verifier, seed=4)
    rows = [torch.tensor([line.row for line in found.lanes[0]]) for found in (plenty, little)]
    assert rows[0].shape == (13, 3)
    torch.testing.assert_close(*rows, atol=1e-4, rtol=0)


def test_a_second_search_reads_no_weights_again(lab, verifier, monkeypatch):
    """Not with another seed, nor with other settings of the same verifiers."""
    import transformers

    from noise_search.nodes.host.model_files import IMAGE_REWARD
    from noise_search.verifiers import ImageReward, image_reward

    search(lab, verifier, seed=6)  # after which all are read
    read = Counter()

    def counted(owner, name):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, **k: read.update([name]) or original(*a, **k))

    for auto in (transformers.AutoModel, transformers.AutoModelForImageClassification):
        counted(auto, "from_pretrained")
    counted(image_reward, "reward_network")
    call, folder = lab.comfy.call, "clip_vision/"
    (clip,) = call("NS_CLIPScore", model=folder + "clip", form="2.5 · max(cosine, 0)")
    (sort,) = call("NS_ClassProbability", model=folder + "classifier", target="tench", form="logit")
    (reward,) = call("NS_ImageReward", model=folder + "reward", half_precision=True)
    (other,) = call("NS_CombineVerifiers", verifier_1=clip, verifier_2=sort, verifier_3=reward, rule="minimum")
    assert other.key != verifier.key
    search(lab, other, seed=7)
    assert read == {}
    anew = ImageReward(IMAGE_REWARD.path("clip_vision/reward"))
    anew.model.__dict__.pop("network")
    anew.modules()
    assert read == {"reward_network": 1}  # it would have been counted
