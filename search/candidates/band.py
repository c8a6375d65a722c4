"""Candidates that change one band of spatial frequencies: the lowest, for the layout, or any other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import avg_pool2d

from ..recipe import Recipe, SearchError, keyed_seed
from ..space import NoiseSpace


@dataclass(frozen=True)
class Band:
    """New noise in a band of the Haar wavelet, the parent's noise elsewhere: the whole stays a sample of N(0, I).

    coarse  what is constant over blocks of this many latent pixels is the parent's; 0: no block is that large
    fine    so are all details within blocks of this many; 1 leaves none
    cosine  between the new band and the parent's: 0 draws it anew, 0.95 draws near it
    """

    coarse: int = 0
    fine: int = 16
    cosine: float = 0.0
    name = "Band"

    def propose(self, space: NoiseSpace, index: int, parent: Recipe) -> Recipe | None:
        seed = keyed_seed("band", space.seed, index)
        settings = (("coarse", self.coarse), ("fine", self.fine), ("cosine", self.cosine))
        return Recipe("band", seed, parent.noise.id, settings)


@dataclass(frozen=True)
class LowFrequency:
    """New noise in the lowest Haar band, the parent's noise elsewhere: another layout, the same texture.

    levels  of the wavelet: the band is what is constant over blocks of 2^levels latent pixels. 4 is the value
            of spectral evolution (arXiv 2602.03208).
    cosine  between the new band and the parent's: 0 draws it anew, 0.95 draws near it

    Each frame of a video by itself.
    """

    levels: int = 4
    cosine: float = 0.0
    name = "Low Frequencies"

    def __post_init__(self):
        if not 1 <= self.levels <= 12:
            raise SearchError(f"Low-Frequency Candidates: levels is {self.levels}; it must be from 1 to 12.")
        if not 0 <= self.cosine < 1:
            raise SearchError(f"Low-Frequency Candidates: cosine is {self.cosine}; it must be from 0 to below 1.")

    def propose(self, space: NoiseSpace, index: int, parent: Recipe) -> Recipe | None:
        return Band(0, 2**self.levels, self.cosine).propose(space, index, parent)


def draw_band(space: NoiseSpace, recipe: Recipe) -> torch.Tensor:
    parent = space.draw(space[recipe.parent])
    x, ε, λ = parent.double(), space.seeded(int(recipe.seed)).double(), recipe.setting("cosine")
    change = (λ - 1) * x + math.sqrt(1 - λ**2) * ε
    return (x + band(change, recipe.setting("coarse"), recipe.setting("fine"))).to(parent.dtype)


def band(x: torch.Tensor, coarse: int, fine: int) -> torch.Tensor:
    """The part of x [..., h, w] between two block sizes."""
    low = blocks(x, fine)
    return low - blocks(x, coarse) if coarse else low


def blocks(x: torch.Tensor, size: int) -> torch.Tensor:
    """x [B, ..., h, w] projected on the fields that are constant over size × size blocks, the Haar low band.

    Blocks at the edges are smaller where the size does not divide; the projection is orthogonal all the same.
    """
    if x.ndim < 4:
        raise SearchError("Candidates by frequency need a latent with height and width; use Gaussian Candidates.")
    if size == 1:
        return x
    h, w = x.shape[-2:]
    means = avg_pool2d(x.reshape(-1, 1, h, w), size, ceil_mode=True)
    return means.repeat_interleave(size, -2).repeat_interleave(size, -1)[..., :h, :w].reshape(x.shape)
