"""A budget of one image is the plain image, bit for bit."""

import pytest
import torch

from .searching import ALGORITHMS, Level, Searching, account, close, counted

ONE = {"images": 1}


@pytest.fixture(scope="module")
def lab(comfy, tiny):
    return Searching(comfy, tiny)


def one_image(lab, algorithm="random", **options):
    """The model with a search of one image on it."""
    return lab.searched(lab.search(algorithm, ONE), Level().verifier, **options)[0]


def picture(lab, batch=1):
    """A latent with something in it, as VAEEncode gives."""
    draw = torch.Generator().manual_seed(1)
    return {"samples": torch.randn(lab.latent(batch)["samples"].shape, generator=draw)}


def half_mask(lab, batch=1):
    mask = torch.zeros(batch, 8, 8)
    mask[:, :, 4:] = 1
    return lab.call("SetLatentNoiseMask", samples=picture(lab, batch), mask=mask)[0]


def from_a_batch(lab):
    return lab.call("LatentFromBatch", samples=lab.latent(4), batch_index=1, length=2)[0]


KSAMPLER = {
    "text to image": (lambda lab: None, {}),
    "without guidance": (lambda lab: None, {"cfg": 1.0}),
    "stochastic": (lambda lab: None, {"sampler_name": "euler_ancestral"}),
    "Brownian": (lambda lab: None, {"sampler_name": "dpmpp_sde"}),
    "image to image": (picture, {"denoise": 0.6}),
    "inpainting": (half_mask, {}),
    "inpainting, stochastic": (half_mask, {"sampler_name": "euler_ancestral", "denoise": 0.6}),
    "inpainting a batch": (lambda lab: half_mask(lab, 2), {}),
    "a batch of three": (lambda lab: lab.latent(3), {}),
    "a batch of three, stochastic": (lambda lab: lab.latent(3), {"sampler_name": "dpmpp_sde"}),
    "two rows of a batch of four": (from_a_batch, {}),
    "an empty latent of 4 channels": (lambda lab: {"samples": torch.zeros(1, 4, 4, 4)}, {}),
    "the largest seed": (lambda lab: None, {"seed": 2**64 - 1}),
}


@pytest.mark.parametrize("case", KSAMPLER)
def test_ksampler(lab, case):
    latent, settings = KSAMPLER[case][0](lab), KSAMPLER[case][1]
    assert torch.equal(lab.ksampler(one_image(lab), latent, **settings), lab.ksampler(None, latent, **settings))


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "random"])
def test_ksampler_by_every_algorithm(lab, algorithm):
    latent, settings = lab.latent(2), {"sampler_name": "euler_ancestral"}
    assert torch.equal(
        lab.ksampler(one_image(lab, algorithm), latent, **settings), lab.ksampler(None, latent, **settings)
    )


def test_two_prompts_in_one_batch(lab):
    texts = [lab.tiny.encode(text)[0] for text in ("a cat", "a dog")]
    both = [[torch.cat([t[0] for t in texts]), {"pooled_output": torch.cat([t[1]["pooled_output"] for t in texts])}]]
    plain, searched = (
        lab.call(
            "KSampler", model=model, positive=both, negative=lab.negative, latent_image=lab.latent(2), seed=7,
            steps=2, cfg=2.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        )[0]["samples"]
        for model in (lab.tiny.model, one_image(lab))
    )  # fmt: skip
    assert torch.equal(plain, searched) and not torch.equal(plain[0], plain[1])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"end_at_step": 2, "return_with_leftover_noise": "enable"},
        {"start_at_step": 1, "end_at_step": 3},
        {"start_at_step": 1, "sampler_name": "euler_ancestral"},
    ],
)
def test_ksampler_advanced(lab, settings):
    latent = picture(lab) if "start_at_step" in settings else None
    assert torch.equal(lab.advanced(one_image(lab), latent, **settings), lab.advanced(None, latent, **settings))


@pytest.mark.parametrize("sampler_name", ["euler", "dpmpp_2m_sde", "uni_pc"])
def test_both_outputs_of_sampler_custom_advanced(lab, sampler_name):
    plain = lab.custom(sampler_name=sampler_name)
    searched = lab.custom(model=one_image(lab), sampler_name=sampler_name)
    explicit = lab.call(
        "NS_SearchSampler", **lab.custom_inputs(sampler_name=sampler_name), search=lab.search("random", ONE),
        verifier=Level().verifier,
    )  # fmt: skip
    for k in range(2):
        assert torch.equal(plain[k], searched[k]) and torch.equal(plain[k], explicit[k]["samples"])


def test_another_packs_noise_comes_as_it_is(lab):
    class Tripled:
        seed = 7

        def generate_noise(self, latent):
            return torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(3)) * 1.1

    model, run = lab.searched(lab.search("random", {"images": 3}), Level().verifier)
    assert torch.equal(lab.custom(noise=Tripled())[0], lab.custom(noise=Tripled(), model=one_image(lab))[0])
    lab.custom(noise=Tripled(), model=model)
    plain, *others = (line.recipe for line in account(run).lanes[0])
    assert plain.draw == "given" and {recipe.draw for recipe in others} == {"seed"}


def test_without_noise_the_call_passes_through_and_says_so(lab):
    first = lab.advanced(end_at_step=2, return_with_leftover_noise="enable")
    settings = {"add_noise": "disable", "start_at_step": 2}
    model, run = lab.searched(lab.search(), Level().verifier)
    assert torch.equal(
        lab.advanced(model, {"samples": first}, **settings), lab.advanced(None, {"samples": first}, **settings)
    )
    with pytest.raises(ValueError, match="adds no noise"):
        run.choose("after")


def test_zero_noise_passes_through(lab):
    model, run = lab.searched(lab.search(), Level().verifier)
    (none,) = lab.call("DisableNoise")
    for one, other in zip(lab.custom(noise=none, model=model), lab.custom(noise=none), strict=True):
        assert torch.equal(one, other)
    assert not run.runs and "noise is zero" in run.passed_by


def every_sampler():
    """Names that stock ComfyUI lists; asked when the test runs."""
    import comfy.samplers

    return comfy.samplers.SAMPLER_NAMES


def test_every_stock_sampler(lab):
    """One image is the plain image; a winner among batched candidates is its seed's image; the cost is as announced."""
    wrong = {}
    for name in every_sampler():
        if name == "dpm_adaptive" and lab.tiny.name == "sd15":
            continue  # hundreds of evaluations an image; the flow model stands for both
        plain = lab.ksampler(sampler_name=name, steps=3, cfg=1.0)
        if not torch.equal(lab.ksampler(one_image(lab), sampler_name=name, steps=3, cfg=1.0), plain):
            wrong[name] = "one image is not the plain image"
        base, count = counted(lab.tiny.model)
        model, run = lab.searched(lab.search("random", {"images": 3}), Level().verifier, base)
        best = lab.ksampler(model, sampler_name=name, steps=3, cfg=1.0)
        found = account(run)
        again = lab.ksampler(sampler_name=name, steps=3, cfg=1.0, seed=int(found.best().recipe.seed))
        if not close(best, again):
            wrong[name] = f"the winner is not its seed's image: {(best - again).abs().max()} off"
        if found.spent != count.evaluations:
            wrong[name] = f"{count.evaluations} evaluations, {found.spent} accounted"
        if name != "dpm_adaptive" and found.spent != found.estimate:  # which chooses its own number of steps
            wrong[name] = f"{found.spent} evaluations where {found.estimate} were announced"
    assert not wrong
