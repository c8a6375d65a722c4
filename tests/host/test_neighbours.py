"""The search among other nodes: before it, after it, beside it; conditioning of every kind passes untouched."""

import pytest
import torch

from .searching import ALGORITHMS, Level, Searching, account, close, counted, wrap


@pytest.fixture(scope="module")
def lab(comfy, tiny):
    return Searching(comfy, tiny)


@pytest.fixture(scope="module")
def flow(comfy, sd3):
    return Searching(comfy, sd3)


def leaves(options, path=""):
    """Every value in a MODEL's options, by its place: dicts and lists by content, all else by identity."""
    if isinstance(options, dict):
        return {k: v for key, value in options.items() for k, v in leaves(value, f"{path}/{key}").items()} | {
            path: len(options)
        }
    if isinstance(options, list):
        return {k: v for n, value in enumerate(options) for k, v in leaves(value, f"{path}/{n}").items()} | {
            path: len(options)
        }
    return {path: id(options)}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_model_that_went_in_is_unchanged(lab, algorithm):
    base, count = counted(lab.tiny.model)
    before, weights, patches = leaves(base.model_options), base.patches_uuid, len(base.patches)
    model, _ = lab.searched(lab.search(algorithm), Level().verifier, base)
    inside = leaves(model.model_options)
    lab.ksampler(model)
    assert leaves(base.model_options) == before and leaves(model.model_options) == inside
    assert (base.patches_uuid, len(base.patches)) == (weights, patches)
    count.evaluations = 0
    assert torch.equal(lab.ksampler(base), lab.ksampler()) and count.evaluations == 3


def test_a_lora_after_the_search(lab):
    model, run = lab.searched(lab.search("random", {"images": 4}), Level().verifier)
    lora = {"lora_name": lab.tiny.lora, "strength_model": 1.0}
    (patched,) = lab.call("LoraLoaderModelOnly", model=model, **lora)
    best = lab.ksampler(patched)
    (plain,) = lab.call("LoraLoaderModelOnly", model=lab.tiny.model, **lora)
    seed = int(account(run).best().recipe.seed)
    assert close(best, lab.ksampler(plain, seed=seed)) and not close(best, lab.ksampler(seed=seed))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_model_sampling_node_after_the_search(lab, algorithm):
    shift = ("ModelSamplingSD3", {"shift": 5.0})
    node, settings = shift if lab.tiny.name == "sd3" else ("ModelSamplingDiscrete", {"sampling": "eps", "zsnr": True})
    (plain,) = lab.call(node, model=lab.tiny.model, **settings)
    model, run = lab.searched(lab.search(algorithm, {"images": 7}), Level().verifier)
    (shifted,) = lab.call(node, model=model, **settings)
    best = lab.ksampler(shifted, steps=4)
    found = account(run)
    assert found.spent == found.estimate or algorithm == "paths"
    one, _ = lab.searched(lab.search(algorithm, {"images": 1}), Level().verifier)
    assert torch.equal(lab.ksampler(lab.call(node, model=one, **settings)[0], steps=4), lab.ksampler(plain, steps=4))
    if algorithm == "random":
        assert close(best, lab.ksampler(plain, steps=4, seed=int(found.best().recipe.seed)))


@pytest.mark.parametrize("first", [True, False])
def test_wrappers_of_other_packs(lab, first):
    """One that watches whole calls and one that changes what the sampler is given, before and after the search."""
    from comfy.patcher_extension import WrappersMP

    calls = []

    def outer(executor, noise, *args, **kwargs):
        calls.append(noise.shape[0])
        return executor(noise, *args, **kwargs)

    def sampler(executor, guider, sigmas, *args, **kwargs):
        return executor(guider, sigmas * 0.9, *args, **kwargs)

    def theirs(model):
        wrap(model, WrappersMP.OUTER_SAMPLE, outer, "theirs")
        wrap(model, WrappersMP.SAMPLER_SAMPLE, sampler, "theirs")
        return model

    base = theirs(lab.tiny.model.clone()) if first else lab.tiny.model
    model, run = lab.searched(lab.search("random", {"images": 4}), Level().verifier, base, batch=2)
    best = lab.ksampler(model if first else theirs(model))
    assert calls == ([1] if first else [2, 2])
    seed = int(account(run).best().recipe.seed)
    assert close(best, lab.ksampler(theirs(lab.tiny.model.clone()), seed=seed))


def test_two_samplers_on_one_searched_model(lab):
    model, run = lab.searched(lab.search("random", {"images": 3}), Level().verifier)
    lab.ksampler(model)
    lab.ksampler(model, seed=100)
    assert account(run).seed == "100"


def test_only_the_first_call_is_searched(flow):
    base, count = counted(flow.tiny.model)
    model, _ = flow.searched(flow.search("random", {"images": 4}), Level().verifier, base, calls="first call only")
    flow.ksampler(model)
    assert count.evaluations == 12
    assert torch.equal(flow.ksampler(model), flow.ksampler()) and count.evaluations == 15


def test_many_calls_are_said_to_cost(flow):
    model, run = flow.searched(flow.search("random", {"images": 2}), Level().verifier)
    for _ in range(2):
        flow.ksampler(model)
    assert any("first call only" in note for note in account(run).notes)


def test_two_passes(lab):
    """Leftover noise is scored on x̂0; the second pass, without noise of its own, goes on from the winner."""
    level = Level()
    model, run = lab.searched(lab.search("random", {"images": 4}), level.verifier)
    base = lab.advanced(model, end_at_step=2, return_with_leftover_noise="enable")
    seed = int(account(run).best().recipe.seed)
    plain = lab.advanced(noise_seed=seed, end_at_step=2, return_with_leftover_noise="enable")
    assert close(base, plain)
    settings = {"start_at_step": 2, "add_noise": "disable"}
    assert close(
        lab.advanced(model, {"samples": base}, **settings), lab.advanced(None, {"samples": plain}, **settings), 1e-3
    )


def test_leftover_noise_is_scored_without_the_noise(lab):
    level, seen = Level(), []
    level.numbers = lambda latents: seen.append(latents.clone()) or latents.flatten(1).mean(1)
    inputs = lab.custom_inputs(steps=4)
    inputs["sigmas"], _ = lab.call("SplitSigmas", sigmas=inputs["sigmas"], step=2)
    _, x0 = lab.call("SamplerCustomAdvanced", **inputs)
    lab.call("NS_SearchSampler", **inputs, search=lab.search("random", {"images": 1}), verifier=level.verifier)
    assert close(seen[0], x0["samples"])


def per_row(lab, positive, rows=2, **search):
    """Whether every row of a searched batch is what its seed gives in the same plain batch."""
    model, run = lab.searched(lab.search("random", {"images": 4}), Level().verifier, batch=4, **search)
    latent = lab.latent(rows)

    def sample(model, seed):
        (out,) = lab.call(
            "KSampler", model=model, positive=positive, negative=lab.negative, latent_image=latent, seed=seed, steps=2,
            cfg=2.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        )  # fmt: skip
        return out["samples"]

    best = sample(model, 7)
    seeds = [int(account(run).best(row).recipe.seed) for row in range(rows)]
    assert set(seeds) != {7}
    return all(close(best[row], sample(lab.tiny.model, seed)[row]) for row, seed in enumerate(seeds))


def several(lab, count):
    """One conditioning with a tensor for each of `count` prompts."""
    texts = [lab.tiny.encode(f"prompt {n}")[0] for n in range(count)]
    return [[torch.cat([t[0] for t in texts]), {"pooled_output": torch.cat([t[1]["pooled_output"] for t in texts])}]]


@pytest.mark.parametrize(("prompts", "rows"), [(2, 2), (2, 3), (3, 2), (2, 4)])
def test_prompts_in_a_batch_stay_with_their_rows(lab, prompts, rows):
    assert per_row(lab, several(lab, prompts), rows)


def test_areas_and_masks(lab):
    other = lab.tiny.encode("a dog")
    (area,) = lab.call("ConditioningSetArea", conditioning=other, width=16, height=32, x=16, y=0, strength=1.0)
    (both,) = lab.call("ConditioningCombine", conditioning_1=lab.positive, conditioning_2=area)
    assert per_row(lab, both)
    mask = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(1))
    (masked,) = lab.call("ConditioningSetMask", conditioning=other, mask=mask, strength=1.0, set_cond_area="default")
    (both,) = lab.call("ConditioningCombine", conditioning_1=lab.positive, conditioning_2=masked)
    assert per_row(lab, both)


def test_time_ranges(lab):
    (late,) = lab.call("ConditioningSetTimestepRange", conditioning=lab.tiny.encode("a dog"), start=0.4, end=1.0)
    (early,) = lab.call("ConditioningSetTimestepRange", conditioning=lab.positive, start=0.0, end=0.4)
    (both,) = lab.call("ConditioningCombine", conditioning_1=early, conditioning_2=late)
    assert per_row(lab, both)


@pytest.fixture
def control_net(comfy):
    """ComfyUI's own control base with a residual made straight from the hint."""
    from comfy.controlnet import ControlBase, broadcast_image_to

    class Brightness(ControlBase):
        def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
            hint = broadcast_image_to(self.cond_hint_original, x_noisy.shape[0], batched_number)
            small = torch.nn.functional.interpolate(hint.mean(1, keepdim=True), x_noisy.shape[-2:])
            return {"input": [], "middle": [small.to(x_noisy).expand(-1, 320, -1, -1) * self.strength], "output": []}

        def copy(self):
            other = Brightness()
            self.copy_to(other)
            return other

    return Brightness()


@pytest.mark.parametrize(("hints", "rows"), [(1, 2), (2, 2), (3, 2), (2, 3)])
def test_control_nets(comfy, sd15, control_net, hints, rows):
    lab = Searching(comfy, sd15)
    image = torch.rand(hints, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    positive, _ = lab.call(
        "ControlNetApplyAdvanced", positive=lab.positive, negative=lab.negative, control_net=control_net, image=image,
        strength=5.0, start_percent=0.0, end_percent=1.0,
    )  # fmt: skip
    assert per_row(lab, positive, rows)
