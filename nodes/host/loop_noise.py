"""Noises of a loop's candidates, and any NOISE in a sampler that only takes a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import comfy.patcher_extension
import torch
from comfy.patcher_extension import WrappersMP

from ...search import NoiseSpace, Recipe, SearchError
from ...search.space import recognised_rows, seeded_noise
from . import samplers
from .controller import is_searched
from .noise import RecipeNoise
from .sampler_call import SamplerCall, draws_from_seed

KEY = "noise_search.apply"


@dataclass(frozen=True, eq=False)
class CandidateNoise(RecipeNoise):
    """The noise of one candidate, for every row of the latent, or of several, a row each. For a sampler whose latent
    has another size, as that of a second pass has, the same recipes draw it in that size."""

    @staticmethod
    def made(space: NoiseSpace, recipes: Sequence[Recipe]) -> CandidateNoise:
        each = [RecipeNoise.of(space, [recipe] * space.given.shape[0]) for recipe in recipes]
        return CandidateNoise(
            torch.cat([noise.tensor for noise in each]),
            tuple(recipe for noise in each for recipe in noise.recipes),
            tuple({elder.id: elder for noise in each for elder in noise.lineage}.values()),
            each[0].base_seed,
            each[0].batch_index,
            {id: tensor for noise in each for id, tensor in noise.tensors.items()},
        )

    @property
    def candidates(self) -> list[Recipe]:
        return list(dict.fromkeys(self.recipes))

    def generate_noise(self, latent: dict) -> torch.Tensor:
        samples, candidates = latent["samples"], self.candidates
        if samples.shape == self.tensor.shape:
            return self.tensor.clone()
        if len(candidates) == 1:
            return self._drawn(candidates[0], samples, latent.get("batch_index"))
        if len(samples) != len(candidates):
            raise SearchError(
                f"noise: {len(candidates)} candidates go through the loop together, and this sampler's latent has "
                f"{len(samples)} rows: give it the latent of Search Loop Start, or what was made of it row by row, or "
                "set batch of Search Loop Start to 1."
            )
        return torch.cat([self._drawn(candidate, samples[:1], self.batch_index) for candidate in candidates])

    def _drawn(self, candidate: Recipe, samples: torch.Tensor, rows: Sequence[int] | None) -> torch.Tensor:
        """A candidate's noise in another size."""
        seed = int(self.base_seed)
        space = NoiseSpace(seeded_noise(samples, seed, rows), seed, rows, whole=True)
        for tensor in self.tensors.values():
            space.store(tensor)
        for elder in self.lineage:
            space.add(elder)
        try:
            return space.draw(candidate).clone()
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
            if len(getattr(noise, "candidates", ())) > 1:
                call = (executor, drawn, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed)
                sampler = _drawing_apart(SamplerCall(*call), noise)
        return executor(drawn, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed)

    model = model.clone()
    wrappers = model.model_options.get("transformer_options", {}).get("wrappers", {})
    wrappers.get(WrappersMP.OUTER_SAMPLE, {}).pop(KEY, None)  # of two, the last counts
    comfy.patcher_extension.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, outer_sample, model.model_options, True)
    return model


def _drawing_apart(call: SamplerCall, noise: CandidateNoise):
    """The call's sampler, drawing for each candidate what it would draw for that one alone."""
    kind, seeds = samplers.Kind(call.sampler), [int(recipe.seed) for recipe in noise.recipes]
    if not kind.batches or draws_from_seed(call):
        raise SearchError(
            f"Apply Noise: the sampler {kind.title} does not keep the rows of a batch apart, each of which is a "
            "candidate here: choose another, such as euler or dpmpp_2m, or set batch of Search Loop Start to 1."
        )
    if not kind.draws:
        return call.sampler
    return samplers.with_noise(call.sampler, lambda x, sigmas: samplers.stock_noise(kind, x, sigmas, seeds, 1))
