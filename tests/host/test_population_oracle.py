"""Population Oracle inside ComfyUI: its files, searches by it, what is stored and told again, the set it chooses."""

import pytest
import torch

from noise_search.harness import small_clips, small_inception
from noise_search.verifiers import VerifierError, population_model
from noise_search.verifiers.reference_statistics import of_images, read, write

from .model_folders import private
from .searching import ALGORITHMS, Queued, Searching, account, close
from .test_family import FAMILY
from .test_self_consistency import Window

DINOV2 = {"model": "clip_vision/set-dinov2", "statistics": "noise_search/set-photos.npz"}
INCEPTION = "noise_search/pt_inception-2015-12-05-6726825d.pth"


@pytest.fixture(scope="module")
def installed(comfy, tmp_path_factory):
    """A DINOv2, an Inception, statistics of both, and an .npz that is none, where users put them; the folder."""
    root = tmp_path_factory.mktemp("models")
    with private(root):
        small_clips.dinov2_classifier_folder(root / DINOV2["model"])
        torch.save({name: t.half() for name, t in small_inception.state_dict().items()}, root / INCEPTION)
        photos = small_clips.images(48, 48, n=8, seed=8)
        for name, model, n in (("set-photos", DINOV2["model"], 8), ("set-inception", INCEPTION, 3)):
            statistics = of_images([photos[:n]], population_model(root / model, classify=False))
            write(statistics, root / "noise_search" / f"{name}.npz")
        (root / "noise_search" / "set-other.npz").write_bytes(b"PK nonsense")
        yield root


@pytest.fixture(scope="module")
def lab(comfy, sd3):
    return Searching(comfy, sd3)


def oracle(lab, **inputs):
    return lab.call("NS_PopulationOracle", **DINOV2 | inputs)[0]


def test_files_are_listed_by_what_is_in_them(installed):
    from noise_search.nodes.host.model_files import CLIP, POPULATION, STATISTICS

    assert STATISTICS.names() == ["noise_search/set-inception.npz", "noise_search/set-photos.npz"]
    assert POPULATION.names() == ["clip_vision/set-dinov2", INCEPTION]
    assert CLIP.names() == ["no CLIP model installed"]
    elsewhere = str(installed / "noise_search" / "set-photos.npz")
    for name in ("noise_search/../noise_search/set-photos.npz", "noise_search/set-other.npz", elsewhere):
        with pytest.raises(VerifierError, match="python run.py statistics"):
            STATISTICS.path(name)


def test_what_is_missing_is_said_before_anything_runs(comfy, installed, monkeypatch):
    from noise_search.nodes.host.model_files import Models

    node = comfy.nodes["NS_PopulationOracle"]
    distance, score = ({"score": name, **DINOV2} for name in ("Fréchet distance", "Inception Score"))
    assert node.validate_inputs(**distance) is True
    assert "put an .npz with mu and sigma" in node.validate_inputs(**distance | {"statistics": "no statistics file"})
    assert node.validate_inputs(**score | {"statistics": "no statistics file installed"}) is True
    monkeypatch.setattr(Models, "installed", lambda self: {})
    assert node.validate_inputs(**score | {"download": "dinov2-base-imagenet1k-1-layer"}) is True


@pytest.mark.parametrize("score", ["Fréchet distance", "Inception Score"])
def test_inception_scores_images(lab, installed, score):
    verifier = oracle(lab, score=score, model=INCEPTION, statistics="noise_search/set-inception.npz")
    images = small_clips.images(60, 60, n=3)
    mean, best, index, table, _ = lab.call("NS_ScoreImages", images=images, verifier=verifier)
    own = verifier.measure(images, [""] * 3)[:, 0] * verifier.measures[0].sign
    assert index == int(own.argmax()) and torch.equal(best, images[index : index + 1])
    assert mean == -2 and len(table.splitlines()) == 4 and len(table.splitlines()[0]) < 60


def test_statistics_of_another_model_are_refused(lab, installed):
    with pytest.raises(VerifierError, match="statistics are of inception-fid"):
        oracle(lab, statistics="noise_search/set-inception.npz")


def queued(comfy, sd3, images, **inputs):
    q = Queued(comfy, sd3, images=images)
    node = q.graph.add("NS_PopulationOracle", **{"score": "Fréchet distance", **DINOV2, **inputs})
    q.graph.set(q.block, verifier=node, keep=16)
    q.top = q.graph.add("NS_TopCandidates", run=q.run_, after=q.sampler, k=3)
    return q


@pytest.mark.parametrize("score", ["Fréchet distance", "Inception Score"])
def test_a_resumed_search_tells_the_features_that_were_stored(comfy, sd3, installed, score):
    q = queued(comfy, sd3, 4, score=score)
    q.run(q.sampler)
    assert q.evaluations == 12
    q.graph.set(q.budget, images=9)
    latent, run = q.run(q.sampler, q.run_)
    found = account(run)
    assert q.evaluations == 15 and found.recalled == 12
    straight = queued(comfy, sd3, 9, score=score)
    same, told = straight.run(straight.sampler, straight.run_)
    assert straight.evaluations == 27 and torch.equal(latent["samples"], same["samples"])
    lines, others = found.lanes[0], account(told).lanes[0]
    assert [(line.row, line.value) for line in lines] == [(line.row, line.value) for line in others]
    assert {len(line.row) for line in lines} == {1} and found.measures == [score]
    sign = found.signs[0]
    assert found.best().row[0] * sign == max(line.row[0] * sign for line in lines)


@torch.inference_mode()
def test_the_top_few_are_the_set_that_is_best_together(comfy, sd3, installed):
    q = queued(comfy, sd3, 9)
    run, latents = q.run(q.run_, q.top.at(0))
    verifier = q.run(q.graph.add("NS_PopulationOracle", score="Fréchet distance", **DINOV2))
    found = account(run)
    images = torch.cat([run.choose("x").images(0, [line]) for line in found.lanes[0]])
    rows = verifier.measure(images, [""] * 9).double()
    order = verifier.rule(rows).argsort(descending=True).tolist()
    ranked = [found.lanes[0].index(line) for line in found.ranked()]
    assert ranked[:3] == order[:3]
    assert close(latents["samples"], torch.cat([run.choose("x").latent(0, line) for line in found.ranked()[:3]]))


@pytest.mark.parametrize("node", [*(name for name, _ in ALGORITHMS.values()), *FAMILY])
def test_every_algorithm_searches_by_it(lab, installed, node):
    settings = {**dict(ALGORITHMS.values()), **FAMILY}[node]
    (budget,) = lab.call("NS_SearchBudget", images=8)
    (search,) = lab.call(node, **settings, budget=budget)
    verifier = oracle(lab, chosen=small_clips.images(32, 32, n=2, seed=4))
    model, run = lab.searched(search, verifier, vae=Window(), batch=4)
    out = lab.ksampler(model, lab.latent(2), steps=4)
    found = account(run)
    for lane in range(2):
        done = [line for line in found.lanes[lane] if line.complete]
        assert found.best(lane).row[0] == min(line.row[0] for line in done)
        image = Window().decode(out[lane : lane + 1])
        assert verifier.measure(image, [""])[0, 0].item() == pytest.approx(found.best(lane).row[0], rel=1e-3)


@pytest.mark.parametrize("over_frames", ["mean", "minimum"])
def test_frames_of_a_video(comfy, wan, installed, over_frames):
    lab = Searching(comfy, wan)
    model, run = lab.searched(
        lab.search("random", {"images": 3}), oracle(lab), vae=wan.vae, frames=2, over_frames=over_frames
    )
    lab.ksampler(model)
    assert sorted(line.value for line in account(run).lanes[0]) == [-3, -2, -1]


def test_a_target_score_has_no_meaning(lab, installed):
    search = lab.search("random", {"images": 4, "use_target": True, "target_score": 0.5})
    with pytest.raises(ValueError, match="target score needs a verifier whose score does not depend"):
        lab.searched(search, oracle(lab), vae=Window())


def test_statistics_stay_as_they_were_written(installed):
    assert read(installed / "noise_search" / "set-photos.npz").count == 8
