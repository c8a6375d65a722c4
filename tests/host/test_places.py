"""Paths that pass between two steps of the sampler's schedule, in the real host: flow, then ε."""

import pytest
import torch

from noise_search.demo.evaluator import WorldTrajectory
from noise_search.demo.world import load_world
from noise_search.search import NoiseSpace, Recipe
from noise_search.search.space import seeded_noise
from noise_search.search.trajectory import Path

from .searching import Level, Searching, account, close, counted
from .test_plain_image import half_mask, picture
from .test_shapes_world import PROMPT, Shapes


@pytest.fixture(scope="module")
def lab(comfy, tiny):
    return Searching(comfy, tiny)


@pytest.fixture(scope="module")
def shapes(comfy):
    return Shapes(comfy)


class Falling(Level):
    """Whoever comes later is worse: no child is taken at once."""

    def numbers(self, inputs):
        return -torch.arange(len(self.seen) - len(inputs), len(self.seen)).float()


def test_it_is_what_stock_nodes_give_on_those_sigmas(lab):
    """Two steps; raised to 0.4 of a step above the second; the rest of the way."""
    from noise_search.nodes.host.noise import RecipeNoise

    model = lab.tiny.model
    sampling, latents = model.get_model_object("model_sampling"), model.get_model_object("latent_format")
    flow = hasattr(sampling, "shift")
    inputs = lab.custom_inputs(steps=4)
    sigmas = inputs["sigmas"]
    shares = [σ if flow else σ / (1 + σ) for σ in sigmas.tolist()]
    share = shares[1] + 0.6 * (shares[2] - shares[1])
    σ, σ_up = sigmas[2], sigmas.new_tensor(share if flow else share / (1 - share))

    def solved(noise, sigmas, x=None):
        """The sampler's raw state at the last of these sigmas."""
        if x is not None:
            x = sampling.inverse_noise_scaling(sigmas[0], x)
        latent = lab.latent() if x is None else {"samples": latents.process_out(x)}
        out = lab.call("SamplerCustomAdvanced", **inputs | {"noise": noise, "sigmas": sigmas, "latent_image": latent})
        x = latents.process_in(out[0]["samples"])
        return (1 - sigmas[-1]) * x if flow else x

    (seed, nothing) = lab.call("RandomNoise", noise_seed=7)[0], lab.call("DisableNoise")[0]
    like = lab.call("SamplerCustomAdvanced", **inputs)[0]["samples"]
    x, ε = solved(seed, sigmas[:3]), seeded_noise(like, 5)
    if flow:
        a = (1 - σ_up) / (1 - σ)
        x = a * x + (σ_up**2 - (a * σ) ** 2).sqrt() * ε
    else:
        x = x + (σ_up**2 - σ**2).sqrt() * ε
    expected = latents.process_out(solved(nothing, torch.stack([σ_up, *sigmas[3:]]), x))

    recipe = Recipe("seed", "7").then(("advance", 0, 2), ("renoise", 2, 1.6, "5"), ("advance", 1.6, 4))
    noise = RecipeNoise(seeded_noise(like, 7), (recipe,), (), "7")
    noise = RecipeNoise.from_metadata(noise.to_metadata())
    replayed = lab.call(
        "NS_SearchSampler", **inputs | {"noise": noise}, search=lab.search(budget={"images": 1}),
        verifier=Level().verifier,
    )  # fmt: skip
    assert close(replayed[0]["samples"], expected)
    assert not close(replayed[0]["samples"], like)


def test_shapes_world_goes_the_same_way_with_and_without_comfyui(shapes):
    from noise_search.nodes.host.noise import RecipeNoise

    call, positive = shapes.host.call, shapes.encode(PROMPT)
    moves = ("advance", 0, 3), ("renoise", 3, 1.3, "5"), ("advance", 1.3, 4), ("renoise", 4, 3.8, "6")
    recipe = Recipe("seed", "7").then(*moves, ("advance", 3.8, 6))
    start = seeded_noise(torch.zeros(1, 3, 32, 32), 7)
    path, space = Path(), NoiseSpace(start, 7)
    with torch.inference_mode():
        path.solve(WorldTrajectory(load_world(), [PROMPT], 6, 1.0), space, [[recipe]], 1)
    (budget,) = call("NS_SearchBudget", images=1)
    replayed = call(
        "NS_SearchSampler", noise=RecipeNoise(start, (recipe,), (), "7"), latent_image=shapes.empty(),
        guider=call("CFGGuider", model=shapes.model, positive=positive, negative=positive, cfg=1.0)[0],
        sampler=call("KSamplerSelect", sampler_name="euler")[0], verifier=Level().verifier,
        sigmas=call("BasicScheduler", model=shapes.model, scheduler="simple", steps=6, denoise=1.0)[0],
        search=call("NS_RandomSearch", budget=budget)[0],
    )  # fmt: skip
    assert close(replayed[0]["samples"], path.gather([[recipe]]))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sampler_name", ["euler", "euler_ancestral", "dpmpp_2m_sde", "dpmpp_sde", "sa_solver", "ddim"])
def test_a_noise_solved_in_one_leg_is_its_plain_image(lab, sampler_name, masked, rows):
    """Stochastic samplers too: children of the plain image come from that image, and from no other of its noise."""
    from noise_search.nodes.host.noise import RecipeNoise

    latent = half_mask(lab, rows) if masked else lab.latent(rows)
    settings = {"latent": latent, "sampler_name": sampler_name, "steps": 4}
    plain = lab.custom(**settings)[0]
    recipes = (Recipe("seed", "7").then(("advance", 0, 4)),) * rows
    noise = RecipeNoise(seeded_noise(plain, 7), recipes, (), "7")
    replayed = lab.call(
        "NS_SearchSampler", **lab.custom_inputs(noise=noise, **settings), search=lab.search(budget={"images": 1}),
        verifier=Level().verifier,
    )  # fmt: skip
    assert close(replayed[0]["samples"], plain)


CASES = {
    "image to image": (picture, {"denoise": 0.6}),
    "inpainting": (half_mask, {}),
    "a batch, stochastic": (lambda lab: lab.latent(2), {"sampler_name": "euler_ancestral"}),
    "a batch, two calls a step": (lambda lab: lab.latent(2), {"sampler_name": "heun"}),
    "image to image, Brownian": (picture, {"sampler_name": "dpmpp_sde", "denoise": 0.6}),
    "inpainting, multistep": (half_mask, {"sampler_name": "dpmpp_2m"}),
}


STRONG = "strong variance preserving"


@pytest.mark.parametrize(
    ("case", "conversion"), [("inpainting", "variance preserving"), *((case, STRONG) for case in CASES)]
)
def test_a_converted_search_keeps_to_its_budget(lab, case, conversion):
    latent, settings = CASES[case]
    model, count = counted(lab.tiny.model)
    (budget,) = lab.call("NS_SearchBudget", images=8)
    (search,) = lab.call("NS_RolloverSearch", noises=3, legs=2, quota=2, conversion=conversion, budget=budget)
    model, run = lab.searched(search, Falling().verifier, model=model)
    latent = latent(lab)
    best = lab.ksampler(model, latent, steps=5, **settings)
    done = account(run)
    assert done.spent == count.evaluations <= done.estimate
    recipes = [line.recipe for lane in done.lanes for line in lane]
    places = {move[2] for recipe in recipes for move in recipe.moves if move[0] == "renoise"}
    assert any(place != int(place) for place in places)
    assert best.isfinite().all()
    if "noise_mask" in latent:
        plain = lab.ksampler(None, latent, steps=5, **settings)
        assert close(best[..., :2], plain[..., :2])
