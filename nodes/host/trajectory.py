"""ComfyUI's denoising path as four verbs, inside one sampler call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import comfy.model_sampling
import comfy.samplers
import torch

from ...search import Recipe
from ...search.places import Place
from .samplers import Kind, sigma_at, sigmas_between, stock_noise


def raise_noise(model_sampling, x: torch.Tensor, σ, σ_up, ε: torch.Tensor) -> torch.Tensor:
    """The forward kernel of the model's family: a state at noise level σ becomes one at σ_up > σ.

    Flow (x = (1−σ)·x0 + σ·ε):  a = (1−σ′)/(1−σ),  x′ = a·x + √(σ′² − a²σ²)·ε; pure noise at σ′ = 1
    ε, v, EDM (x = x0 + σ·ε):   x′ = x + √(σ′² − σ²)·ε
    """
    if isinstance(model_sampling, comfy.model_sampling.CONST):
        a = (1 - σ_up) / (1 - σ)
        return a * x + (σ_up**2 - a**2 * σ**2).sqrt() * ε
    return x + (σ_up**2 - σ**2).sqrt() * ε


class HostTrajectory:
    """The four verbs of `search/trajectory.py` on raw sampler states.

    Built inside `sampler.sample(...)`, where the model is loaded. latent_image and denoise_mask are those of
    that call, [m·B, ...].

    rows_of  draws the initial noises [B, ...] of B recipes: the region outside the mask is noised with them
    rows     B
    """

    def __init__(
        self, sampler, model_wrap, sigmas, extra_args, latent_image, denoise_mask, rows_of, rows: int, step: Callable
    ):
        self._sampler, self._model, self._sigmas, self._step = sampler, model_wrap, sigmas, step
        self._extra_args = dict(extra_args)
        self._latent_image, self._mask = latent_image, denoise_mask
        self._rows_of, self._rows = rows_of, rows
        self._sampling = model_wrap.inner_model.model_sampling
        self._kind = Kind(sampler)

    def start(self, noises: torch.Tensor) -> torch.Tensor:
        noises = noises.to(self._latent_image.device)
        most = self._sampler.max_denoise(self._model, self._sigmas)
        latent_image = self._latent_image[: len(noises)]
        return self._sampling.noise_scaling(self._sigmas[0], noises.clone(), latent_image, most)

    def advance(self, states: torch.Tensor, i: Place, j: int, recipes: Sequence[Recipe]) -> torch.Tensor:
        sigmas = sigmas_between(self._sampling, self._sigmas, i, j)
        states = states.to(self._latent_image.device)
        options = dict(self._sampler.extra_options)
        if self._kind.draws:
            options["noise_sampler"] = self._draws(states, recipes)

        def callback(report):
            self._step(report["denoised"])

        return self._sampler.sampler_function(
            self._denoiser(recipes),
            states,
            sigmas,
            extra_args=self._arguments(len(states)),
            callback=callback,
            disable=True,
            **options,
        )

    def renoise(self, states: torch.Tensor, i: Place, j: Place, noises: torch.Tensor) -> torch.Tensor:
        device = self._latent_image.device
        σ, σ_up = (sigma_at(self._sampling, self._sigmas, place) for place in (i, j))
        return raise_noise(self._sampling, states.to(device), σ, σ_up, noises.to(device).clone())

    def preview(self, states: torch.Tensor, i: Place, recipes: Sequence[Recipe]) -> torch.Tensor:
        states = states.to(self._latent_image.device)
        σ = sigma_at(self._sampling, self._sigmas, i)
        if σ == 0:
            return states
        return self._denoiser(recipes)(states, σ * states.new_ones([len(states)]), **self._arguments(len(states)))

    def _denoiser(self, recipes: Sequence[Recipe]):
        model = comfy.samplers.KSamplerX0Inpaint(self._model, self._sigmas)
        model.latent_image = self._latent_image[: len(recipes)]
        if self._mask is not None:
            model.noise = self._outside(recipes).to(self._latent_image)
        return model

    def _outside(self, recipes: Sequence[Recipe]) -> torch.Tensor:
        """[n·B, ...] the noise outside the mask: what each noise has there when it is sampled whole."""
        if not self._sampler.inpaint_options.get("random", False):
            slots = [recipes[n : n + self._rows] for n in range(0, len(recipes), self._rows)]
            return torch.cat([self._rows_of(slot) for slot in slots])
        drawn, shape = {}, (self._rows, *self._latent_image.shape[1:])
        for seed in {recipe.seed for recipe in recipes}:
            drawn[seed] = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(int(seed) + 1))
        return torch.stack([drawn[recipe.seed][n % self._rows] for n, recipe in enumerate(recipes)])

    def _draws(self, states: torch.Tensor, recipes: Sequence[Recipe]) -> Callable:
        """Its own noise for each row, whatever it is batched with; on its first leg what its plain sampling draws."""
        if len(recipes[0].moves) == 1:
            return stock_noise(self._kind, states, self._sigmas, [int(recipe.seed) for recipe in recipes], self._rows)
        seeds = [(int(recipe.id, 16) + n % self._rows) % 2**63 for n, recipe in enumerate(recipes)]
        return stock_noise(self._kind, states, self._sigmas, seeds, 1)

    def _arguments(self, rows: int) -> dict:
        return self._extra_args | {"denoise_mask": None if self._mask is None else self._mask[:rows]}
