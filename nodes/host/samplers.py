"""What ComfyUI's samplers are like: what they cost, whether they batch, how they draw their noise."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from types import SimpleNamespace

import comfy.extra_samplers.uni_pc
import comfy.model_sampling
import comfy.samplers
import torch
from comfy.k_diffusion import sampling as k_diffusion

from ...search import SearchError
from ...search.places import Place, at, descent

BROWNIAN = {  # sampler function -> whether its Brownian tree lives on the CPU
    "sample_dpmpp_sde": True,
    "sample_dpmpp_2m_sde": True,
    "sample_dpmpp_2m_sde_heun": True,
    "sample_dpmpp_3m_sde": True,
    "sample_dpmpp_sde_gpu": False,
    "sample_dpmpp_2m_sde_gpu": False,
    "sample_dpmpp_2m_sde_heun_gpu": False,
    "sample_dpmpp_3m_sde_gpu": False,
}
WHOLE_ONLY = ("dpm_adaptive_function", "dpm_fast_function")  # they choose their own steps


class Kind:
    """How a sampler behaves in a search.

    batches  candidates may share a call, each coming out as it would alone
    draws    "" for deterministic samplers, else "stream" or "brownian": the noise that can be injected
    cuts     it can be stopped at any sigma and go on from there
    """

    def __init__(self, sampler):
        self.name = getattr(getattr(sampler, "sampler_function", None), "__name__", type(sampler).__name__)
        self.batches, self.draws, self.cuts = False, "", False
        if type(sampler) is not comfy.samplers.KSAMPLER:
            return
        function, options = sampler.sampler_function, sampler.extra_options
        parameters = inspect.signature(function).parameters
        home = inspect.getmodule(function)
        if home not in (k_diffusion, comfy.extra_samplers.uni_pc, comfy.samplers) or options.get("noise_sampler"):
            return
        if self.name == "dpm_adaptive_function" or options.get("s_churn", 0) > 0:
            return  # step sizes, or noise, shared by the whole batch
        self.batches = True
        self.cuts = self.name not in WHOLE_ONLY
        if "noise_sampler" in parameters:
            self.draws = "brownian" if self.name in BROWNIAN else "stream"

    @property
    def title(self) -> str:
        return self.name.removeprefix("sample_").removesuffix("_function")


def stock_noise(kind: Kind, x: torch.Tensor, sigmas: torch.Tensor, seeds: Sequence[int], rows: int):
    """A noise_sampler for a batch in which each candidate draws exactly what the stock sampler would draw.

    x      [n·rows, ...], candidate-major
    seeds  n·rows seeds: the seed of the candidate that each row belongs to
    rows   B, the latent's own batch, which is what a stock stream is shaped as
    """
    streams = {seed: _stream(kind, x[:rows], sigmas, seed) for seed in dict.fromkeys(seeds)}

    def noise_sampler(sigma, sigma_next):
        drawn = {seed: stream(sigma, sigma_next) for seed, stream in streams.items()}
        return torch.stack([drawn[seed][k % rows] for k, seed in enumerate(seeds)])

    return noise_sampler


def _stream(kind: Kind, x: torch.Tensor, sigmas: torch.Tensor, seed):
    if kind.draws == "brownian":
        low, high = sigmas[sigmas > 0].min(), sigmas.max()
        return k_diffusion.BrownianTreeNoiseSampler(x, low, high, seed=seed, cpu=BROWNIAN[kind.name])
    return k_diffusion.default_noise_sampler(x, seed=seed)


def with_noise(sampler, noise_sampler_for):
    """The same KSAMPLER drawing from `noise_sampler_for(x, sigmas)`."""
    function = sampler.sampler_function

    def sample(model, x, sigmas, **options):
        return function(model, x, sigmas, noise_sampler=noise_sampler_for(x, sigmas), **options)

    return comfy.samplers.KSAMPLER(sample, sampler.extra_options, sampler.inpaint_options)


def share_of_noise(model_sampling, σ: float) -> float:
    """The noise's share of a state at σ, from 0 to 1: σ of a flow x = (1−σ)·x0 + σ·ε, whatever the model's family."""
    return σ if isinstance(model_sampling, comfy.model_sampling.CONST) else σ / (1 + σ)


def shares_of_noise(model_sampling, sigmas: torch.Tensor) -> list[float]:
    """At each of the sigmas: a schedule as `search/places.py` reads it."""
    return [share_of_noise(model_sampling, σ) for σ in sigmas.tolist()]


def sigma_at(model_sampling, sigmas: torch.Tensor, place: Place) -> torch.Tensor:
    """The model's own σ at a place of the schedule."""
    if place == int(place):
        return sigmas[int(place)]
    share = at(shares_of_noise(model_sampling, sigmas), place)
    flow = isinstance(model_sampling, comfy.model_sampling.CONST)
    return sigmas.new_tensor(share if flow else share / (1 - share))


def sigmas_between(model_sampling, sigmas: torch.Tensor, i: Place, j: int) -> torch.Tensor:
    """What the sampler is given to solve from place i to step j."""
    return torch.stack([sigma_at(model_sampling, sigmas, place) for place in descent(i, j)])


def dry_cost(sampler, patcher, sigmas: torch.Tensor) -> int | None:
    """Model calls that the sampler makes on these sigmas, found by running it on a model that costs nothing.

    None where that cannot be known beforehand: samplers of other packs, and adaptive ones.
    """
    kind = Kind(sampler)
    if not kind.batches or len(sigmas) < 2:
        return None if len(sigmas) > 1 else 0
    model = _Free(patcher)
    options = dict(sampler.extra_options)
    if kind.draws:
        options["noise_sampler"] = lambda sigma, sigma_next: torch.zeros(1, 1, 1, 1)
    sigmas = sigmas.detach().float().cpu().clone()  # uni_pc writes into them
    extra_args = {"model_options": {}, "seed": 0, "denoise_mask": None}
    with torch.no_grad():
        sampler.sampler_function(
            model, torch.zeros(1, 1, 1, 1), sigmas, extra_args=extra_args, callback=None, disable=True, **options
        )
    return model.calls


class _Free:
    """Stands where a sampler expects the model; counts its calls and predicts nothing."""

    def __init__(self, patcher):
        sampling = patcher.get_model_object("model_sampling")
        self.inner_model = SimpleNamespace(
            inner_model=SimpleNamespace(model_sampling=sampling), model_patcher=patcher, cfg=1.0
        )
        self.calls = 0

    def __call__(self, x, sigma, model_options=None, **rest):
        self.calls += 1
        for function in (model_options or {}).get("sampler_post_cfg_function", []):
            function({"denoised": x, "uncond_denoised": x, "model_options": model_options})
        return x


def require_cuts(sampler) -> None:
    """Raises SearchError where the sampler cannot stop on the path."""
    kind = Kind(sampler)
    if not kind.cuts:
        raise SearchError(
            f"The sampler {kind.title} cannot be stopped and resumed on the denoising path, which this search "
            "needs; choose euler, heun, dpmpp_2m, euler_ancestral or another stock sampler, or use Random Search."
        )
