"""What x̂0 on the way says of the finished image, as the run itself shows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .archive import Archive
from .rank import rank_correlation
from .recipe import Recipe
from .trajectory import end_of, prefixes


def agreement(archive: Archive, images: Sequence[Recipe], stop: int) -> tuple[float, int]:
    """How x̂0 at a stop ranks finished images beside their final scores: Spearman's ρ, and of how many images, those
    whose x̂0 was scored there."""
    states = [(state, image) for image in images for state in prefixes(image) if end_of(state) == stop]
    pairs = [(archive.value(state), archive.value(image)) for state, image in states if state in archive]
    pairs = [pair for pair in pairs if not any(map(math.isnan, pair))]
    return (rank_correlation(*zip(*pairs)) if len(pairs) > 1 else 0.0), len(pairs)
