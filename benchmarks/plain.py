"""What a problem is like before anything is searched: how far previews and a linear model of the noise can be trusted.

    facts = plain(problem, 256)
    facts.previews["25"]

is the rank correlation of x̂0's score after a quarter of the steps with the finished image's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..search.space import seeded_noise
from .problems import Problem

SHARES = (0.125, 0.25, 0.5)  # of the steps, after which x̂0 is scored
COARSE = 4  # the linear model reads the noise's means over 4 × 4 places of each channel
RIDGE = 0.3  # its weight decay, as a share of the number of images it is fitted to
BATCH = 64


@dataclass(frozen=True)
class Plain:
    """mean, deviation  of what is searched and what is watched, over plain images
    previews         percent of the steps -> rank correlation of x̂0's score with that of the image
    linear           correlation of a linear model's guess from the noise with the score, on noises it has not seen
    agreement        rank correlation of searched and watched
    With prompts, deviations and correlations are those within a prompt, averaged.
    """

    mean: list[float]
    deviation: list[float]
    previews: dict[str, float]
    linear: float
    agreement: float


def plain(problem: Problem, count: int) -> Plain:
    """Of `count` plain images, shared between up to 4 prompts."""
    prompts = list(problem.prompts)[:4]
    each = [_sampled(problem, prompt, count // len(prompts), seed=n) for n, prompt in enumerate(prompts)]
    rows = [rows for _, _, rows in each]

    def mean(numbers) -> list[float]:
        return np.round(np.mean(numbers, axis=0), 4).tolist()

    return Plain(
        mean([row.mean(0) for row in rows]),
        mean([row.std(0) for row in rows]),
        {f"{100 * share:g}": mean([ranked(seen[share], row[:, 0]) for _, seen, row in each]) for share in SHARES},
        mean([foretold(noise, row[:, 0]) for noise, _, row in each]),
        mean([ranked(row[:, 0], row[:, 1]) for row in rows]),
    )


@torch.inference_mode()
def _sampled(problem: Problem, prompt: str, count: int, seed: int) -> tuple[torch.Tensor, dict, np.ndarray]:
    """Noises, scores of x̂0 by share of the steps, and the raw rows [count, 2] of the images."""
    noise = seeded_noise(torch.zeros(count, *problem.latent), 2**31 + seed)
    flow = problem.trajectory(prompt)
    seen: dict[float, list[torch.Tensor]] = {share: [] for share in SHARES}
    rows = []
    for states in map(flow.start, noise.split(BATCH)):
        for step in range(problem.steps):
            for share in SHARES:
                if step == round(share * problem.steps):
                    seen[share].append(_scores(problem, flow.preview(states, step), prompt)[:, 0])
            states = flow.advance(states, step, step + 1)
        rows.append(_scores(problem, states, prompt))
    return noise, {share: torch.cat(scores).numpy() for share, scores in seen.items()}, torch.cat(rows).numpy()


def _scores(problem: Problem, latents: torch.Tensor, prompt: str) -> torch.Tensor:
    return problem.verifier.measure(problem.world.decode(latents), [prompt] * len(latents))


def ranked(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation, ties at their mean rank; 0 where one of them is constant."""
    ranks = [np.unique(v, return_inverse=True, return_counts=True)[1:] for v in (x, y)]
    return correlation(*((counts.cumsum() - counts / 2)[places] for places, counts in ranks))


def foretold(noise: torch.Tensor, scores: np.ndarray) -> float:
    """Correlation with the scores of ridge regression on the noise's coarse numbers, for the quarter of the noises that
    it was not fitted to."""
    coarse = torch.nn.functional.avg_pool2d(noise, noise.shape[-1] // COARSE).flatten(1).double().numpy()
    x = coarse / coarse.std()
    n = len(x) * 3 // 4
    centred = scores[:n] - scores[:n].mean()
    weights = np.linalg.solve(x[:n].T @ x[:n] + RIDGE * n * np.eye(x.shape[1]), x[:n].T @ centred)
    return correlation(x[n:] @ weights, scores[n:])


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's; 0 where one of them is constant."""
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 0 else 0.0
