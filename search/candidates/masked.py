"""Candidates that change only a part of the picture."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch.nn.functional import interpolate

from ..recipe import Recipe, SearchError, keyed_seed
from ..space import NoiseSpace


@dataclass(frozen=True, eq=False)
class Masked:
    """New noise where the mask is 1, the parent's noise where it is 0; between them both, with unit variance.

    mask    [n, H, W] in 0-1, of any size: it is brought to the latent's. Row b of a batch uses mask b mod n.
    inside  False: new noise where the mask is 0 instead
    cosine  between new noise and the parent's, pixel by pixel: 0 draws it anew, 0.95 draws near it

    The recipe names the mask by its content; the space stores it.
    """

    mask: torch.Tensor
    inside: bool = True
    cosine: float = 0.0
    _fitted: dict = field(default_factory=dict, repr=False)
    name = "Masked"

    def __post_init__(self):
        if self.mask.ndim != 3 or not self.mask.numel():
            raise SearchError(f"Masked Candidates: mask has the shape {list(self.mask.shape)}; connect a MASK.")
        if not 0 <= self.cosine < 1:
            raise SearchError(f"Masked Candidates: cosine is {self.cosine}; it must be from 0 to below 1.")

    def propose(self, space: NoiseSpace, index: int, parent: Recipe) -> Recipe | None:
        if space.given.ndim < 4:
            raise SearchError("Masked Candidates need a latent with height and width; use Gaussian Candidates.")
        size = tuple(space.given.shape[-2:])
        if size not in self._fitted:
            mask = self.mask.detach().cpu().float().clamp(0, 1)
            mask = interpolate(mask[:, None], size, mode="area")[:, 0]
            mask = mask if self.inside else 1 - mask
            if not mask.any():
                raise SearchError(
                    "Masked Candidates: the mask leaves nothing to change; paint it, or use the other side."
                )
            self._fitted[size] = mask
        settings = (("mask", space.store(self._fitted[size])), ("cosine", self.cosine))
        return Recipe("masked", keyed_seed("masked", space.seed, index), parent.noise.id, settings)


def draw_masked(space: NoiseSpace, recipe: Recipe) -> torch.Tensor:
    """y = c x + √(1 − c²) ε with c = 1 − m (1 − λ): each pixel stays N(0, 1) for any mask m."""
    x = space.draw(space[recipe.parent])
    m = space.stored(recipe.setting("mask")).to(x.dtype)
    m = m[torch.arange(len(x)) % len(m)]
    c = 1 - m.view(len(x), *[1] * (x.ndim - 3), *m.shape[-2:]) * (1 - recipe.setting("cosine"))
    return c * x + (1 - c**2).clamp_min(0).sqrt() * space.seeded(int(recipe.seed))
