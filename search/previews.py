"""What x̂0 on the way says of the finished image, as the run itself shows."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from .archive import Archive
from .rank import rank_correlation
from .recipe import Recipe
from .trajectory import end_of, prefixes

WEIGHT = 4  # for how many images the assumption counts
FEWEST = 4  # images; of fewer a correlation says nothing
RECENT = 64  # the latest images that count


class Previews:
    """How x̂0 at the stops of a search ranks images beside their final scores.

    assumed  by stop, the correlation that is believed before there are images
    """

    def __init__(self, archive: Archive, assumed: Mapping[int, float]):
        self.assumed = dict(assumed)
        self._archive = archive
        self._images: dict[int, list[Recipe]] = {stop: [] for stop in assumed}
        self._known: dict[int, tuple[float, int, float]] = {}
        self._seen = 0  # entries of the archive, when that was known

    def add(self, images: Sequence[Recipe], stops: Collection[int]) -> None:
        """Finished images whose x̂0 was scored at these stops."""
        for stop in stops:
            self._images[stop] = [*self._images[stop], *images][-RECENT:]

    def agreement(self, stop: int) -> tuple[float, int, float]:
        """Spearman's ρ, of how many images, and what is to be believed of it where they are few."""
        if self._seen != len(self._archive):
            self._known, self._seen = {}, len(self._archive)
        if stop not in self._known:
            found, n = self._compared(stop)
            counts = n if n >= FEWEST else 0
            self._known[stop] = found, n, (counts * found + WEIGHT * self.assumed[stop]) / (counts + WEIGHT)
        return self._known[stop]

    def _compared(self, stop: int) -> tuple[float, int]:
        """x̂0 without a score is the worst, as where noises are chosen by it."""
        states = [(state, image) for image in self._images[stop] for state in prefixes(image) if end_of(state) == stop]
        seen = self._archive.values_of([state for state, _ in states]).tolist()
        final = self._archive.values_of([image for _, image in states]).tolist()
        pairs = [(-math.inf if math.isnan(x) else x, y) for x, y in zip(seen, final) if not math.isnan(y)]
        return (rank_correlation(*zip(*pairs)) if len(pairs) > 1 else 0.0), len(pairs)
