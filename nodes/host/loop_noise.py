"""Noises of a loop's candidates, and any NOISE in a sampler that only takes a seed."""

from __future__ import annotations

from dataclasses import dataclass

import comfy.patcher_extension
import torch
from comfy.patcher_extension import WrappersMP

from ...search import NoiseSpace, Recipe, SearchError
from ...search.space import recognised_rows, seeded_noise
from .controller import is_searched
from .noise import RecipeNoise

KEY = "noise_search.apply"


@dataclass(frozen=True, eq=False)
class CandidateNoise(RecipeNoise):
    """The noise of one candidate, for every row of the latent; for a sampler whose latent has another size, as that
    of a second pass has, the same recipe draws it in that size."""

    @staticmethod
    def made(space: NoiseSpace, recipe: Recipe) -> CandidateNoise:
        return CandidateNoise(**vars(RecipeNoise.of(space, [recipe] * space.given.shape[0])))

    def generate_noise(self, latent: dict) -> torch.Tensor:
        samples, rows = latent["samples"], latent.get("batch_index")
        if samples.shape == self.tensor.shape:
            return self.tensor.clone()
        seed = int(self.base_seed)
        space = NoiseSpace(seeded_noise(samples, seed, rows), seed, rows, whole=True)
        for tensor in self.tensors.values():
            space.store(tensor)
        for elder in self.lineage:
            space.add(elder)
        try:
            return space.draw(self.recipes[0]).clone()
        except RuntimeError as error:  # a mask has one size
            raise SearchError(
                f"noise: this candidate was drawn for a latent of {list(self.tensor.shape)} and cannot be drawn for "
                f"one of {list(samples.shape)}: connect the loop's seed to that sampler instead."
            ) from error


def apply_noise(model, noise):
    """A clone of the MODEL with which every sampler begins from `noise`, and seeds what else it draws with its seed."""
    if is_searched(model.model_options):
        raise SearchError(
            "Apply Noise: this MODEL carries a search, whose every candidate would get this one noise: put Apply Noise "
            "before the search block."
        )

    def outer_sample(executor, drawn, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed):
        if torch.count_nonzero(drawn):  # a sampler that adds no noise goes on without
            latent = {"samples": latent_image, "batch_index": recognised_rows(drawn.cpu(), seed or 0)}
            latent = {name: value for name, value in latent.items() if value is not None}
            drawn, seed = noise.generate_noise(latent), noise.seed
        return executor(drawn, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed)

    model = model.clone()
    wrappers = model.model_options.get("transformer_options", {}).get("wrappers", {})
    wrappers.get(WrappersMP.OUTER_SAMPLE, {}).pop(KEY, None)  # of two, the last counts
    comfy.patcher_extension.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, outer_sample, model.model_options, True)
    return model
