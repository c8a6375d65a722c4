"""Gaussian candidates: independent noises, candidate i being exactly KSampler's noise for seed + i."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..recipe import SEEDS, Recipe, SearchError
from ..space import NoiseSpace


@dataclass(frozen=True)
class Gaussian:
    """Fresh noise each time. A winner is a seed that can be typed into a plain KSampler."""

    name = "Gaussian"

    def propose(self, space: NoiseSpace, index: int, parent: Recipe) -> Recipe | None:
        """Candidate `index` >= 1: the noise of seed + index (mod 2**64)."""
        return Recipe("seed", str((space.seed + index) % SEEDS))


def draw_seed(space: NoiseSpace, recipe: Recipe) -> torch.Tensor:
    return space.seeded(int(recipe.seed))


def draw_given(space: NoiseSpace, recipe: Recipe) -> torch.Tensor:
    """The noise that the sampler was handed. Raises SearchError for that of another sampler."""
    if recipe != space.base:
        raise SearchError(
            "The candidate starts from a noise that another node made and that no recipe can draw again; "
            "connect that node's noise to the sampler, with the same seed."
        )
    return space.given
