"""Resampling: weights [k] of particles and a number n -> how many children each has. Their expectations are n·w.

Numbers come from an explicit generator; a particle of weight 0 has no child.
"""

from __future__ import annotations

import torch


def multinomial(w: torch.Tensor, n: int, generator: torch.Generator) -> list[int]:
    """n independent draws."""
    cumulative = w.cumsum(0) / w.sum()
    u = torch.rand(n, generator=generator, dtype=w.dtype)
    last = int(w.nonzero()[-1])  # rounded, the cumulative weights may end below a draw
    drawn = torch.searchsorted(cumulative, u, right=True).clamp_max(last)
    return torch.bincount(drawn, minlength=len(w)).tolist()


def systematic(w: torch.Tensor, n: int, generator: torch.Generator) -> list[int]:
    """One draw moves a comb of n teeth over the cumulative weights: counts are ⌊n·w⌋ or ⌈n·w⌉."""
    cumulative = w.cumsum(0)
    u = torch.rand((), generator=generator, dtype=w.dtype)
    teeth = (n * (cumulative / cumulative[-1]) - u).ceil().clamp_min(0)
    return teeth.diff(prepend=teeth.new_zeros(1)).int().tolist()


def ssp(w: torch.Tensor, n: int, generator: torch.Generator) -> list[int]:
    """Srinivasan sampling process: ⌊n·w⌋ each, and the fractions are rounded pair by pair, one of the two to 0
    or 1, so that means are kept and counts are negatively associated (Gerber, Chopin & Whiteley 2019, §3.4)."""
    exact = n * w / w.sum()
    counts = exact.floor().int().tolist()
    fractions = (exact - exact.floor()).tolist()
    draws = torch.rand(len(w), generator=generator, dtype=w.dtype).tolist()
    i = 0  # the particle whose fraction is still open
    for j in range(1, len(w)):
        a, b = fractions[i], fractions[j]
        if a + b < 1:  # one of the two takes both
            taker, settled, settled_to, rest = (i, j, 0, a + b) if draws[j] * (a + b) < a else (j, i, 0, a + b)
        else:  # one of the two is filled up
            settled, taker = (i, j) if draws[j] * (2 - a - b) < 1 - b else (j, i)
            settled_to, rest = 1, a + b - 1
        counts[settled] += settled_to
        fractions[taker], i = rest, taker
    counts[i] += n - sum(counts)
    return counts


RESAMPLERS = {"multinomial": multinomial, "systematic": systematic, "ssp": ssp}
