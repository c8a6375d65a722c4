"""Top Candidates: the best, or good ones that differ, in pixels or in the eyes of a model."""

import shutil
from pathlib import Path

import pytest
import torch

from noise_search.harness import small_clips
from noise_search.search.diversity import mmr

from .in_process import ExecutionError
from .test_results import graph, verifier  # noqa: F401  fixtures


@pytest.fixture(scope="module")
def models(comfy):
    """A CLIP and a DINOv2 where users put them."""
    import folder_paths

    folder = Path(folder_paths.get_folder_paths("clip_vision")[0])
    folder.mkdir(parents=True, exist_ok=True)
    small_clips.transformers_folder(folder / "features-clip")
    small_clips.dinov2_classifier_folder(folder / "features-dino")
    folder_paths.filename_list_cache.clear()
    yield ["clip_vision/features-clip", "clip_vision/features-dino"]
    shutil.rmtree(folder / "features-clip")
    shutil.rmtree(folder / "features-dino")
    folder_paths.filename_list_cache.clear()


def spread(images):
    """Mean over pairs of the root mean square difference of 32 x 32 means."""
    small = torch.nn.functional.adaptive_avg_pool2d(images.movedim(-1, 1), 32).flatten(1).double()
    pairs = [(a - b).square().mean().sqrt().item() for n, a in enumerate(small) for b in small[n + 1 :]]
    return sum(pairs) / len(pairs)


def test_without_diversity_the_best_come_out_and_how_much_they_differ(comfy, graph):  # noqa: F811
    g, latent, _, run = graph(images=9)
    top = g.add("NS_TopCandidates", run=run, after=latent, k=3)
    latents, images, apart, run = comfy.run(g, *top.out(3), run)
    run = run.choose("after")
    assert torch.equal(latents["samples"], torch.cat([run.latent(0, line) for line in run.kept()[:3]]))
    assert apart == pytest.approx(spread(images), rel=1e-5)
    said = f"The best 3 of {len(run.kept())} kept: mean distance {apart:.3g} in pixels."
    assert comfy.shown[top.id]["text"] == [said]


def test_diversity_chooses_by_maximal_marginal_relevance_among_all_that_is_kept(comfy, graph):  # noqa: F811
    g, latent, _, run = graph(images=9)
    best, varied, most = (g.add("NS_TopCandidates", run=run, after=latent, k=3, diversity=d) for d in (0.0, 0.5, 1.0))
    outs = comfy.run(g, *best.out(3), *varied.out(3), *most.out(3), run)
    run = outs.pop().choose("after")
    kept = run.kept()
    assert len(kept) > 3
    with torch.inference_mode():
        images = run.images(0, kept)
    small = torch.nn.functional.adaptive_avg_pool2d(images.movedim(-1, 1), 32).flatten(1).double()
    between = torch.cdist(small, small) / small.shape[1] ** 0.5
    places = mmr(torch.tensor([line.value for line in kept]), between, 3, 0.5)
    wanted = torch.cat([run.latent(0, kept[n]) for n in places])
    assert torch.equal(outs[3]["samples"], wanted) and torch.equal(outs[0]["samples"][0], outs[3]["samples"][0])
    assert outs[2] <= outs[8] and outs[5] == pytest.approx(spread(outs[4]), rel=1e-4)
    text = comfy.shown[varied.id]["text"][0]
    assert text.startswith(f"3 of {len(kept)} kept, at diversity 0.5: mean distance {outs[5]:.3g} in pixels;")
    assert text.endswith(f"the plain best 3: {outs[2]:.3g}.")


@pytest.mark.parametrize("model", [0, 1])
def test_a_model_can_tell_images_apart(comfy, graph, models, model):  # noqa: F811
    from noise_search.verifiers.features import feature_model

    g, latent, _, run = graph(images=9)
    top = g.add("NS_TopCandidates", run=run, after=latent, k=3, diversity=0.7, features=models[model])
    images, apart, run = comfy.run(g, top.at(1), top.at(2), run)
    assert len(images) == 3 and models[model] in comfy.shown[top.id]["text"][0]
    from noise_search.nodes.host.model_files import FEATURES

    vectors = feature_model(FEATURES.path(models[model])).embed_images(images, torch.device("cpu"))
    pairs = [1 - (vectors[a] @ vectors[b]).item() for a, b in ((0, 1), (0, 2), (1, 2))]
    assert apart == pytest.approx(sum(pairs) / 3, abs=1e-5)


def test_models_are_offered_and_a_missing_one_is_named(comfy, models):
    node = comfy.nodes["NS_TopCandidates"]
    options = node.INPUT_TYPES()["optional"]["features"][1]["options"]
    assert options[0] == "pixels" and set(models) <= set(options)
    assert node.validate_inputs(features="pixels") is True and node.validate_inputs(features=models[0]) is True
    assert "put a CLIP model" in node.validate_inputs(features="clip_vision/gone")


def test_fewer_than_k_are_all_given_whatever_the_diversity(comfy, graph):  # noqa: F811
    g, latent, _, run = graph(images=3)
    plain, varied = (g.add("NS_TopCandidates", run=run, after=latent, k=9, diversity=d) for d in (0.0, 1.0))
    a, b = comfy.run(g, plain, varied)
    assert len(a["samples"]) == 3 and torch.equal(a["samples"], b["samples"])


def test_diversity_without_a_vae_says_what_to_connect(comfy, graph):  # noqa: F811
    g, latent, _, run = graph(vae=False)
    g.add("PreviewAny", source=g.add("NS_TopCandidates", run=run, after=latent, k=2, diversity=0.5))
    with pytest.raises(ExecutionError, match="connect one to its vae input, or set diversity to 0"):
        comfy.run(g)
