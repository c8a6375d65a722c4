"""Places on the denoising path: a step of the schedule by its index, or a point between two.

    at(noise, 2)            noise[2]
    at(noise, 2.25)         a quarter of the way from noise[2] to noise[3]
    place_of(noise, s)      where the noise's share is s
    descent(2.25, 5)        [2.25, 3, 4, 5]: where a solver stops
    steps_between(2.25, 5)  3

A schedule is told by the noise's share at each of its steps, falling: s = ν / (1 + ν), where ν is the ratio of noise to
signal. It is σ itself of a flow x = (1−σ)·x0 + σ·ε, and σ / (1 + σ) where x = x0 + σ·ε.
"""

from __future__ import annotations

from collections.abc import Sequence

Place = int | float


def at(noise: Sequence[float], place: Place) -> float:
    """The noise's share at a place, linear between two steps."""
    step = int(place)
    if place == step:
        return noise[step]
    return noise[step] + (place - step) * (noise[step + 1] - noise[step])


def place_of(noise: Sequence[float], share: float) -> Place:
    """Where a falling schedule has this share: to four digits, 0 where it begins lower, its last step where it ends
    higher."""
    below = next((step for step, s in enumerate(noise) if s <= share), len(noise) - 1)
    if below == 0 or noise[below] >= share:
        return below
    return round(below - (share - noise[below]) / (noise[below - 1] - noise[below]), 4)


def descent(i: Place, j: int) -> list[Place]:
    """Where solving from place i to step j stops, both included: at every step below i. Beginning between two, it
    passes the next one by where i is nearer to it than half a step, so that no evaluation is spent on hardly a step."""
    return [i, *(step for step in range(int(i) + 1, j + 1) if step - i > 0.5 or step == j)]


def look_cost(place: Place, steps: int, noise: Sequence[float]) -> int:
    """Evaluations that x̂0 takes there: none at the last of the steps, unless the schedule ends with noise."""
    return int(place < steps or bool(noise) and noise[-1] > 0)


def steps_between(i: Place, j: int) -> int:
    """Steps of that solving: the evaluations of a solver that takes one a step."""
    return len(descent(i, j)) - 1
