"""Every algorithm on flow, ε and v models; with a mask, with image to image, and with both."""

import pytest
import torch

from .searching import Level, Searching, account, close, counted
from .test_family import FAMILY
from .test_plain_image import half_mask, picture

EVERY = FAMILY | {
    "NS_RandomSearch": {},
    "NS_ZeroOrderSearch": {"neighbours": 2},
    "NS_RolloverSearch, converted": {"noises": 3, "legs": 2, "quota": 2, "conversion": "strong variance preserving"},
    "NS_EvolutionarySearch, on the way": {"mid_path": "0.25, 0.5", "diversity": 0.5, "elites": 2},
}
MODELS = {
    "flow": ("sd3", None),
    "ε": ("sd15", None),
    "v": ("sd15", {"sampling": "v_prediction", "zsnr": False}),
    "v from pure noise": ("sd15", {"sampling": "v_prediction", "zsnr": True}),
}
LATENTS = {
    "image to image": (picture, {"denoise": 0.7}),
    "inpainting": (half_mask, {}),
    "inpainting, stochastic": (half_mask, {"sampler_name": "euler_ancestral", "denoise": 0.7}),
}


@pytest.fixture(scope="module", params=MODELS)
def lab(request, comfy):
    """A lab whose model is of one family."""
    name, sampling = MODELS[request.param]
    lab = Searching(comfy, request.getfixturevalue(name))
    lab.model, lab.number = lab.tiny.model, list(MODELS).index(request.param)
    if sampling:
        (lab.model,) = lab.call("ModelSamplingDiscrete", model=lab.tiny.model, **sampling)
    return lab


@pytest.mark.parametrize("name", EVERY)
def test_the_winner_is_the_best_that_was_seen_and_the_rest_of_the_image_stays(lab, name):
    """The cases in turn, so that each meets each model."""
    given, settings = list(LATENTS.values())[(list(EVERY).index(name) + lab.number) % len(LATENTS)]
    latent, settings, level = given(lab), {"steps": 5} | settings, Level(part=slice(40, 47))
    plain = lab.ksampler(lab.model, latent, **settings)
    model, count = counted(lab.model)
    (budget,) = lab.call("NS_SearchBudget", images=12)
    (search,) = lab.call(name.split(",")[0], **EVERY[name], budget=budget)
    model, run = lab.searched(search, level.verifier, model=model)
    best = lab.ksampler(model, latent, **settings)
    done = account(run)
    assert done.spent == count.evaluations <= 12 * 5
    lines = [line for line in done.lanes[0] if line.complete]
    assert len(lines) > 2 and not lines[0].recipe.moves
    assert best.isfinite().all()
    scores = [line.row[0] for line in lines]
    assert level.numbers(best).item() == pytest.approx(max(scores), 1e-4)
    assert level.numbers(plain).item() == pytest.approx(scores[0], 1e-4)
    assert torch.unique(torch.tensor(scores)).numel() > 2  # other noises, and children, are other images
    noise, _ = lab.call("NS_WinnerNoise", run=run, after="x")
    inputs = lab.custom_inputs(model=lab.model, noise=noise, latent=latent, **settings)
    again = lab.call(
        "NS_SearchSampler", **inputs, search=lab.search(budget={"images": 1}), verifier=level.verifier
    )[0]["samples"]
    assert close(again, best)
    if "noise_mask" in latent:
        assert close(best[..., :2], plain[..., :2])
