"""What another image would bring: the curve of best-so-far against images, carried one image on."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST = 8  # finished images before the curve says anything


def expected_gain(scores: Sequence[float], before: float = -math.inf) -> float:
    """By how much the next image of a search is expected to exceed the best; inf where nothing is known yet.

    scores  of its finished images, in order
    before  the best of the searches before it

    The larger of what the curve promises and what the latest half did bring an image: a search that climbs does
    better than its scores in another order would. Fewer than `LEAST` scores tell nothing, nor do fewer than twice as
    many that are all equal; more of these promise none that differs.
    """
    n = len(scores)
    if n < LEAST or (n < 2 * LEAST and min(scores) == max(scores)):
        return math.inf
    above = [max(score, before) for score in scores]
    brought = (max(above) - max(above[: n // 2])) / (n - n // 2)
    return max(promised(above), brought)


def promised(scores: Sequence[float]) -> float:
    """The gain of image n + 1 in a random order of images like these n.

    The mean best of n/4, n/2 and n of them is exact; what an image brings between these falls by a power of their
    number, which carries on to n: 1/n for exponential tails, 1/n² for bounded ones. No tail is assumed.
    """
    n = len(scores)
    quarter, half, whole = (mean_best(scores, m) for m in (n // 4, n // 2, n))
    early, late = (half - quarter) / (n // 2 - n // 4), (whole - half) / (n - n // 2)
    if late <= 0 or early <= 0:
        return 0.0
    return late * math.sqrt(min(1.0, late / early))  # √: from the middle of n/2 … n on to n


def mean_best(scores: Sequence[float], m: int) -> float:
    """The mean over all choices of m of the n scores of their best: Σ C(i−1, m−1) / C(n, m) · (i-th smallest)."""
    n = len(scores)
    mean, weight = 0.0, m / n
    for i, score in zip(range(n, m - 1, -1), sorted(scores, reverse=True)):
        mean += weight * score
        weight *= (i - m) / max(1, i - 1)
    return mean


def exceeding(scores: Sequence[float]) -> float:
    """E[X⁺]: the mean where most of X is above 0; else as if the upper half of X fell off exponentially, with k of n
    scores above u < 0 by b on average: P(X > x) = k/n · exp(−(x − u)/b)."""
    n, ordered = len(scores), sorted(scores, reverse=True)
    if n < 2:
        return 0.0
    k = n // 2
    u = ordered[k]
    b = sum(x / k - u / k for x in ordered[:k])
    if u >= 0 or b <= 0:
        return sum(max(0.0, x) / n for x in scores)
    return k / n * b * math.exp(u / b)
