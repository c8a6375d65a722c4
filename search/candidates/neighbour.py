"""Neighbours of a noise at a fixed cosine, the proposal of zero-order search (Ma et al. 2025, §4.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..recipe import Recipe, SearchError, keyed_seed
from ..space import NoiseSpace


@dataclass(frozen=True)
class Neighbour:
    """Noises at cosine λ to their parent and of the same norm, row by row.

    cosine  λ, 0 <= λ < 1. Larger is closer: 0.95 keeps the composition, 0 is an independent noise.
            0.95 is the value of the implementation that the paper's authors reviewed.
    """

    cosine: float = 0.95
    name = "Neighbours"

    def __post_init__(self):
        if not 0 <= self.cosine < 1:
            raise SearchError(f"Neighbour Candidates: cosine is {self.cosine}; it must be from 0 to below 1.")

    def propose(self, space: NoiseSpace, index: int, parent: Recipe) -> Recipe | None:
        seed = keyed_seed("neighbour", space.seed, index)
        return Recipe("neighbour", seed, parent.noise.id, (("cosine", self.cosine),))


def draw_neighbour(space: NoiseSpace, recipe: Recipe) -> torch.Tensor:
    parent = space.draw(space[recipe.parent])
    return neighbour(parent, space.seeded(int(recipe.seed)), recipe.setting("cosine"))


def neighbour(x: torch.Tensor, v: torch.Tensor, λ: float) -> torch.Tensor:
    """y = ‖x‖ (λ u + √(1−λ²) w), u = x/‖x‖, w = the unit part of v orthogonal to u; each row by itself.

    x, v  [B, ...]; computed in float64, so that the norm is kept to the last digit of float32. A row of
          zeros has no direction and stays as it is.
    """
    rows = x.flatten(1).double()
    norm = rows.norm(dim=1, keepdim=True)
    u = rows / norm.clamp_min(torch.finfo(norm.dtype).tiny)
    v = v.flatten(1).double()
    w = v - (v * u).sum(1, keepdim=True) * u
    w = w / w.norm(dim=1, keepdim=True)
    return (norm * (λ * u + math.sqrt(1 - λ**2) * w)).to(x.dtype).view_as(x)
