"""Guessing a candidate's score from its noise alone, from those scored before in this very run (ours)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from .rank import ranks

CELLS = 64  # numbers that describe a noise, about
STRENGTHS = 0.1, 1.0, 10.0  # of the ridge, in numbers of features
LEAST = 8  # scored noises before anything is guessed
BEGINS, STAYS = 2.6, 1.6449  # Fisher's z: once in 200 by chance, since it is asked for every round; once in 20
POOL = {1: functional.adaptive_avg_pool1d, 2: functional.adaptive_avg_pool2d, 3: functional.adaptive_avg_pool3d}


def coarse(noise: torch.Tensor) -> torch.Tensor:
    """[d] the lowest frequencies of one row's noise [C, ...]: means of large blocks, of variance 1 for white noise.

    Each of up to three sides is cut in four, in two or not at all, so that d is about CELLS.
    """
    noise = noise.double() if noise.ndim > 1 else noise.double()[:, None]
    noise = noise.flatten(3) if noise.ndim > 4 else noise
    sides = noise.shape[1:]
    fine = next((k for k in (4, 2) if noise.shape[0] * k ** len(sides) <= CELLS), 1)
    size = [min(fine, side) for side in sides]
    blocks = POOL[len(sides)](noise[None], size)[0]
    return blocks.flatten() * (noise[0].numel() / blocks[0].numel()) ** 0.5


def guess(known: torch.Tensor, scores: Sequence[float], new: torch.Tensor) -> torch.Tensor:
    """[m] guesses for new noises [m, d] from known ones [n, d] and their scores; higher is better, in no unit.

    Ridge regression on the ranks of the scores, so that neither their scale nor a few of them decide; how strongly it
    shrinks is what would have guessed each known one best from the others (the closed form of leaving one out).
    """
    target = ranks(scores).double()
    if target.min() == target.max():
        return torch.zeros(len(new), dtype=torch.float64)
    target, mean = (target - target.mean()) / target.std(), known.mean(0)
    u, s, v = torch.linalg.svd(known - mean, full_matrices=False)
    along, errors = u.T @ target, {}
    for strength in STRENGTHS:
        shrink = s**2 / (s**2 + strength * known.shape[1])
        left_out = (target - u @ (shrink * along)) / (1 - (u**2 @ shrink)).clamp(min=1e-6)
        errors[strength] = left_out.square().mean().item()
    best = min(errors, key=errors.__getitem__)
    return (new - mean) @ (v.T @ (s / (s**2 + best * known.shape[1]) * along))


def beats_chance(correlation: float, count: int, z: float) -> bool:
    """Whether a rank correlation of so many pairs is so many standard deviations above 0 (Fisher's z)."""
    if count < LEAST:
        return False
    return math.atanh(max(-0.999999, min(correlation, 0.999999))) * math.sqrt(count - 3) > z
