"""A noise whose lowest Haar band follows a Gaussian that a search has fitted."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d

from ..recipe import Recipe
from ..space import NoiseSpace
from .band import blocks


def coefficients(x: torch.Tensor, size: int) -> torch.Tensor:
    """[B, ..., h', w'] the lowest Haar band of x [B, ..., h, w]: each block's sum over the root of its pixels."""
    h, w = x.shape[-2:]
    means = avg_pool2d(x.double().reshape(-1, 1, h, w), size, ceil_mode=True)
    root = avg_pool2d(torch.ones(1, 1, h, w).double(), size, ceil_mode=True, divisor_override=1).sqrt()
    return (means * root).reshape(*x.shape[:-2], *means.shape[-2:])


def draw_spectral(space: NoiseSpace, recipe: Recipe) -> torch.Tensor:
    """The parent's finer bands; the lowest is μ + σ·z, brought to the norm of z, the band of a fresh noise."""
    parent, size = space.draw(space[recipe.parent]), 2 ** recipe.setting("levels")
    x, h, w = parent.double(), *parent.shape[-2:]
    μ, σ = space.stored(recipe.setting("gaussian")).double()
    z = coefficients(space.seeded(int(recipe.seed)), size)
    low = μ + σ * z
    norms = (band.flatten(1).norm(dim=1).view(-1, *[1] * (low.ndim - 1)) for band in (z, low))
    low = low * (next(norms) / next(norms))
    root = avg_pool2d(torch.ones(1, 1, h, w).double(), size, ceil_mode=True, divisor_override=1).sqrt()
    means = (low / root.view(root.shape[-2:])).repeat_interleave(size, -2).repeat_interleave(size, -1)
    return (x - blocks(x, size) + means[..., :h, :w]).to(parent.dtype)
