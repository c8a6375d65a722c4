"""The search loop around real samplers, its results, and Apply Noise."""

import re

import pytest
import torch

from noise_search.harness.graph import Graph

from .in_process import ExecutionError
from .looping import Looped
from .searching import Give, Level, Searching, account, close, counted

EULER = {"steps": 3, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal"}


@pytest.fixture
def s(comfy, tiny):
    return Searching(comfy, tiny)


@pytest.mark.parametrize("sampler_name", ["euler", "euler_ancestral", "dpmpp_2m_sde"])
def test_apply_noise_makes_a_ksampler_begin_from_any_noise(s, sampler_name):
    (noise,) = s.call("RandomNoise", noise_seed=99)
    (model,) = s.call("NS_ApplyNoise", model=s.tiny.model, noise=noise)
    here = s.ksampler(model=model, seed=5, sampler_name=sampler_name)
    there, _ = s.custom(noise=noise, sampler_name=sampler_name)
    assert torch.equal(here, there) and torch.equal(here, s.ksampler(seed=99, sampler_name=sampler_name))
    assert not torch.equal(here, s.ksampler(seed=5, sampler_name=sampler_name))


def test_apply_noise_on_rows_of_a_larger_batch(s):
    latent = {**s.latent(2), "batch_index": [3, 1]}
    (model,) = s.call("NS_ApplyNoise", model=s.tiny.model, noise=s.call("RandomNoise", noise_seed=99)[0])
    assert torch.equal(s.ksampler(model=model, latent=latent), s.ksampler(latent=latent, seed=99))


def test_apply_noise_leaves_a_sampler_that_adds_none(s):
    (model,) = s.call("NS_ApplyNoise", model=s.tiny.model, noise=s.call("RandomNoise", noise_seed=99)[0])
    latent = {"samples": torch.randn(s.latent()["samples"].shape, generator=torch.Generator().manual_seed(1))}
    plain = {"latent": latent, "add_noise": "disable", "start_at_step": 2}
    assert torch.equal(s.advanced(model=model, **plain), s.advanced(**plain))


def test_of_two_noises_the_last_counts_and_the_model_is_not_changed(s):
    first, last = (s.call("RandomNoise", noise_seed=n)[0] for n in (98, 99))
    (model,) = s.call("NS_ApplyNoise", model=s.tiny.model, noise=first)
    (both,) = s.call("NS_ApplyNoise", model=model, noise=last)
    assert torch.equal(s.ksampler(model=both), s.ksampler(seed=99))
    assert torch.equal(s.ksampler(model=model), s.ksampler(seed=98))


def test_apply_noise_beside_a_search(s):
    (noise,) = s.call("RandomNoise", noise_seed=99)
    level = Level()
    searched, _ = s.searched(s.search(budget={"images": 1}), level.verifier)
    with pytest.raises(ValueError, match="carries a search.*put Apply Noise before"):
        s.call("NS_ApplyNoise", model=searched, noise=noise)
    (model,) = s.call("NS_ApplyNoise", model=s.tiny.model, noise=noise)
    searched, run = s.searched(s.search(budget={"images": 4}), level.verifier, model=model)
    best = s.ksampler(model=searched)
    lines = account(run).lanes[0]
    assert [line.recipe.seed for line in lines] == ["99", "100", "101", "102"]
    assert close(best, s.ksampler(seed=int(account(run).best().recipe.seed)))


class Sampled:
    """A loop around a stock KSampler and Score Images, as a graph; the same settings searched on the model."""

    def __init__(self, comfy, tiny, images=5, seed=7):
        comfy.nodes["Give"] = Give
        self.comfy, self.graph, self.level = comfy, Graph(), Level(reads="images")
        g = self.graph
        self.model, self.clip, self.vae, self.latent, self.verifier = (
            self.given(name, value)
            for name, value in [("model", tiny.model), ("clip", tiny.clip), ("vae", tiny.vae),
                                ("latent", tiny.latent(1, size=4)), ("verifier", self.level.verifier)]
        )  # fmt: skip
        self.positive, self.negative = (g.add("CLIPTextEncode", clip=self.clip, text=t) for t in ("a cat", ""))
        self.budget = g.add("NS_SearchBudget", images=images)
        self.search = g.add("NS_RandomSearch", budget=self.budget)
        self.start = g.add("NS_SearchLoopStart", search=self.search, latent=self.latent, seed=seed)
        self.end = None

    def given(self, name, value):
        Give.held[f"{name} {id(self)}"] = value
        return self.graph.add("Give", key=f"{name} {id(self)}")

    def sample(self, model, latent, seed, denoise=1.0, **settings):
        return self.graph.add("KSampler", model=model, positive=self.positive, negative=self.negative, seed=seed,
                              latent_image=latent, denoise=denoise, **EULER | settings)  # fmt: skip

    def close(self, latent, batch=1):
        image = self.graph.add("VAEDecode", samples=latent, vae=self.vae)
        scored = self.graph.add("NS_ScoreImages", images=image, verifier=self.verifier)
        self.graph.set(self.start, batch=batch)
        score = scored.at(4) if batch > 1 else scored
        self.end = self.graph.add("NS_SearchLoopEnd", loop=self.start, score=score, value=latent)
        return self.end


@pytest.fixture
def sampled(comfy, sd3):
    def made(**settings):
        return Sampled(comfy, sd3, **settings)

    return made


def test_a_loop_finds_what_the_search_on_the_model_finds(sampled, comfy):
    loop = sampled(images=6)
    end = loop.close(loop.sample(loop.model, loop.start.at(3), loop.start.at(2)))
    block = loop.graph.add("NS_SearchWithKSampler", model=loop.model, search=loop.search, verifier=loop.verifier,
                           vae=loop.vae, batch=1)  # fmt: skip
    searched = loop.sample(block, loop.latent, 7)
    best, run, same, beside = comfy.run(loop.graph, end, end.at(3), searched, block.at(1))
    assert torch.equal(best["samples"], same["samples"])
    told = [[(line.recipe, line.value) for line in account(r).lanes[0]] for r in (run, beside)]
    assert told[0] == told[1] and len(told[0]) == 6


def test_two_passes_with_an_upscale_between(sampled, comfy):
    """The noise goes to the first pass through Apply Noise, the seed to the second."""
    loop = sampled(images=4)
    g = loop.graph

    def two(model, latent, seed):
        first = loop.sample(model, latent, 0)
        larger = g.add("LatentUpscale", samples=first, upscale_method="nearest-exact", width=64, height=64,
                       crop="disabled")  # fmt: skip
        return loop.sample(loop.model, larger, seed, denoise=0.5)

    model = g.add("NS_ApplyNoise", model=loop.model, noise=loop.start.at(1))
    end = loop.close(two(model, loop.start.at(3), loop.start.at(2)))
    best, noise, seed = comfy.run(g, end, end.at(1), end.at(2))
    assert best["samples"].shape[-1] == 8
    again = two(g.add("NS_ApplyNoise", model=loop.model, noise=loop.given("noise", noise)), loop.latent, seed)
    assert torch.equal(comfy.run(g, again)["samples"], best["samples"])


def test_one_noise_in_samplers_of_two_sizes(sampled, comfy):
    loop = sampled(images=3)
    g = loop.graph
    model = g.add("NS_ApplyNoise", model=loop.model, noise=loop.start.at(1))
    first = loop.sample(model, loop.start.at(3), 0)
    larger = g.add("LatentUpscale", samples=first, upscale_method="nearest-exact", width=64, height=64, crop="disabled")
    end = loop.close(loop.sample(model, larger, 0, denoise=0.5))
    best, seed = comfy.run(g, end, end.at(2))
    first = loop.sample(loop.model, loop.latent, seed)
    larger = g.add("LatentUpscale", samples=first, upscale_method="nearest-exact", width=64, height=64, crop="disabled")
    assert torch.equal(comfy.run(g, loop.sample(loop.model, larger, seed, denoise=0.5))["samples"], best["samples"])


def test_zero_order_around_a_custom_sampler(sampled, comfy):
    loop = sampled(images=6)
    g = loop.graph
    g.set(loop.start, search=g.add("NS_ZeroOrderSearch", budget=loop.budget, neighbours=2))
    guider = g.add("CFGGuider", model=loop.model, positive=loop.positive, negative=loop.negative, cfg=2.0)
    sigmas = g.add("BasicScheduler", model=loop.model, scheduler="normal", steps=3, denoise=1.0)
    euler = g.add("KSamplerSelect", sampler_name="euler")
    settings = {"guider": guider, "sampler": euler, "latent_image": loop.latent, "sigmas": sigmas}
    end = loop.close(g.add("SamplerCustomAdvanced", noise=loop.start.at(1), **settings))
    best, noise = comfy.run(g, end, end.at(1))
    again = g.add("SamplerCustomAdvanced", noise=loop.given("noise", noise), **settings)
    assert torch.equal(comfy.run(g, again)["samples"], best["samples"])


def test_a_search_on_the_model_inside_a_loop(sampled, comfy):
    loop = sampled(images=3)
    inner = loop.graph.add("NS_RandomSearch", budget=loop.graph.add("NS_SearchBudget", images=2))
    searched = {"model": loop.model, "search": inner, "verifier": loop.verifier, "vae": loop.vae}
    block = loop.graph.add("NS_SearchWithKSampler", **searched)
    latent = loop.sample(block, loop.start.at(3), loop.start.at(2))
    end = loop.close(latent)
    loop.graph.set(loop.start, seed=20)
    best, run = comfy.run(loop.graph, end, end.at(3))
    assert [line.recipe.seed for line in account(run).lanes[0]] == ["20", "21", "22"]
    assert loop.level.numbers(comfy.run(loop.graph, loop.graph.add("VAEDecode", samples=end, vae=loop.vae))).item() == (
        pytest.approx(account(run).best().value)
    )


# Several candidates in a batch.


def same_search(one, other):
    """The same candidates, with the same scores but for rounding."""
    told = [[(line.recipe, line.value) for line in account(run).lanes[0]] for run in (one, other)]
    assert [recipe for recipe, _ in told[0]] == [recipe for recipe, _ in told[1]]
    assert [value for _, value in told[0]] == pytest.approx([value for _, value in told[1]], abs=1e-4)


@pytest.mark.parametrize("sampler_name", ["euler", "euler_ancestral", "dpmpp_2m_sde"])
def test_each_of_a_batch_is_sampled_as_it_is_alone(comfy, tiny, sampler_name):
    """By two passes from the loop's noise, that draw noise on their way, and a third from a seed of its own, inside a
    mask."""
    found = []
    mask = torch.linspace(0, 1, 32).expand(1, 32, 32)
    for batch in (1, 4):
        loop = Sampled(comfy, tiny, images=6)
        g, (counting, count) = loop.graph, counted(tiny.model)
        loop.model = loop.given("counting", counting)
        g.set(loop.start, latent=g.add("SetLatentNoiseMask", samples=loop.latent, mask=loop.given("mask", mask)))
        model = g.add("NS_ApplyNoise", model=loop.model, noise=loop.start.at(1))
        first = loop.sample(model, loop.start.at(3), 0, sampler_name=sampler_name)
        larger = g.add("LatentUpscale", samples=first, upscale_method="nearest-exact", width=64, height=64,
                       crop="disabled")  # fmt: skip
        second = loop.sample(model, larger, 0, denoise=0.5, sampler_name=sampler_name)
        end = loop.close(loop.sample(loop.model, second, 3, denoise=0.5), batch)
        found.append((loop, count, *comfy.run(g, end, end.at(2), end.at(3))))
    (_, count, best, seed, run), (_, batches, same, same_seed, beside) = found
    assert set(count.batches) == {1} and set(batches.batches) == {4, 2} and count.evaluations == batches.evaluations
    same_search(run, beside)
    assert seed == same_seed and close(best["samples"], same["samples"]) and best.keys() == same.keys()


def test_a_batch_of_noises_around_a_custom_sampler(comfy, tiny):
    found = []
    for batch in (1, 3):
        loop = Sampled(comfy, tiny, images=7)
        g = loop.graph
        g.set(loop.start, search=g.add("NS_ZeroOrderSearch", budget=loop.budget, neighbours=3))
        guider = g.add("CFGGuider", model=loop.model, positive=loop.positive, negative=loop.negative, cfg=2.0)
        sigmas = g.add("BasicScheduler", model=loop.model, scheduler="normal", steps=3, denoise=1.0)
        euler = g.add("KSamplerSelect", sampler_name="euler")
        latent = g.add("SamplerCustomAdvanced", noise=loop.start.at(1), guider=guider, sampler=euler, sigmas=sigmas,
                       latent_image=loop.start.at(3))  # fmt: skip
        end = loop.close(latent, batch)
        found.append((loop, *comfy.run(g, end, end.at(1), end.at(3))))
    (_, best, noise, run), (_, same, same_noise, beside) = found
    same_search(run, beside)
    assert torch.equal(noise.tensor, same_noise.tensor) and close(best["samples"], same["samples"])


@pytest.mark.parametrize("sampler_name", ["dpm_adaptive", "ddim"])
def test_a_sampler_that_mixes_the_rows_of_a_batch(sampled, comfy, sampler_name):
    """dpm_adaptive chooses its steps for all rows; ddim draws what is outside a mask from the seed."""
    loop = sampled()
    g, mask = loop.graph, torch.linspace(0, 1, 32).expand(1, 32, 32)
    g.set(loop.start, latent=g.add("SetLatentNoiseMask", samples=loop.latent, mask=loop.given("mask", mask)))
    model = g.add("NS_ApplyNoise", model=loop.model, noise=loop.start.at(1))
    loop.close(loop.sample(model, loop.start.at(3), 0, sampler_name=sampler_name), batch=2)
    with pytest.raises(ExecutionError, match="does not keep the rows of a batch apart.*or set batch .* to 1"):
        comfy.run(g, loop.end)


# Results of a loop.


def test_the_results_of_a_loop_over_latents(comfy):
    loop = Looped(comfy, images=7, value="latent")
    g = loop.graph
    top = g.add("NS_TopCandidates", run=loop.end.at(3), k=3)
    winner = g.add("NS_WinnerNoise", run=loop.end.at(3))
    report = g.add("NS_SearchReport", run=loop.end.at(3))
    latents, noise, seed, table, value = loop.run(top, winner, winner.at(1), report.at(2), loop.end)
    assert latents["samples"].shape[0] == 3 and torch.equal(latents["samples"][:1], value["samples"])
    assert torch.equal(noise.generate_noise(value), value["samples"]) and noise.seed == seed
    assert re.search(r"images +7 announced, 7 spent", table) and "loop over       Draw, Mean, seed 7" in table
    assert "evaluations" not in table and "forward" not in table
    _, images, _ = comfy.call("NS_TopCandidates", run=loop.run(loop.end.at(3)))
    assert re.search("value is no IMAGE.*connect an IMAGE", images.message)  # said by ComfyUI where they are wanted


def test_the_results_of_a_loop_over_images(comfy):
    loop = Looped(comfy, images=7, value="image")
    top = loop.graph.add("NS_TopCandidates", run=loop.end.at(3), k=3)
    gallery = loop.graph.add("NS_SearchReport", run=loop.end.at(3)).at(1)
    images, value, shown = loop.run(top.at(1), loop.end, gallery)
    assert images.shape[0] == 3 and torch.equal(images[:1], value) and shown.shape[2] == 1024
    latents, *_ = comfy.call("NS_TopCandidates", run=loop.run(loop.end.at(3)))
    assert re.search("value is no LATENT.*connect the sampler's LATENT", latents.message)


def test_the_results_of_a_loop_without_a_value(comfy):
    loop = Looped(comfy, images=4, value=None)
    g = loop.graph
    path = g.add("NS_ExportHistory", run=loop.end.at(3), format="CSV")
    table, _ = loop.run(g.add("NS_SearchReport", run=loop.end.at(3)).at(2), path)
    assert "4 spent" in table
    with pytest.raises(ExecutionError, match="no candidate was kept; connect something to the value"):
        loop.run(g.add("NS_TopCandidates", run=loop.end.at(3)))


def test_a_loops_noise_is_saved_and_loaded(comfy, base):
    loop = Looped(comfy, images=9, by="noise", algorithm="NS_ZeroOrderSearch")
    saved = loop.graph.add("NS_SaveNoise", noise=loop.end.at(1), name=f"loop {loop.name}")
    value, _ = loop.run(loop.end, loop.end.at(1))
    assert comfy.shown[saved.id]["text"]
    loaded = comfy.call("NS_LoadNoise", name=f"loop {loop.name}.safetensors [output]")[0]
    assert torch.equal(loaded.generate_noise(value), value["samples"])
