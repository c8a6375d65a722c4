"""How alike two lists of scores rank the same things."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def ranks(scores: Sequence[float]) -> torch.Tensor:
    """[n] ranks from 0, the lowest first; equals share the mean of theirs."""
    _, place, equal = torch.tensor(scores, dtype=torch.float64).unique(return_inverse=True, return_counts=True)
    below = equal.cumsum(0) - equal
    return (below + (equal - 1) / 2)[place]


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's ρ, from −1 to 1; 0 where all of one list are equal."""
    a, b = (r - r.mean() for r in (ranks(x), ranks(y)))
    size = (a.square().sum() * b.square().sum()).sqrt()
    return (a @ b / size).item() if size > 0 else 0.0
