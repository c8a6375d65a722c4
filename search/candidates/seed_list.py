"""A list of seeds: the favourites that a person wants compared."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..recipe import SEEDS, Recipe, SearchError
from ..space import NoiseSpace

LONGEST = 100_000  # seeds in one range: a slip of the pen must not fill the memory


@dataclass(frozen=True)
class SeedList:
    """KSampler's noises for these seeds, in order, after the sampler's own."""

    seeds: tuple[int, ...]
    name = "Seed list"

    @staticmethod
    def parse(text: str) -> SeedList:
        """Seeds separated by commas, spaces or lines; `10-13` is a range."""
        words = re.findall(r"[^\s,;]+", text)
        if not words:
            raise SearchError("Seed List: there is no seed in it; write whole numbers such as 7, 42, 100-115.")
        seeds: list[int] = []
        for word in words:
            match = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
            if not match:
                raise SearchError(f"Seed List: {word!r} is no seed; write whole numbers such as 7, 42, 100-115.")
            first, last = int(match[1]), int(match[2] or match[1])
            if not first <= last < SEEDS:
                raise SearchError(f"Seed List: {word!r} is out of range; seeds go upwards, from 0 to 2**64 - 1.")
            if last - first >= LONGEST:
                raise SearchError(
                    f"Seed List: the range {word!r} is too long; {LONGEST} seeds are the most it may hold."
                )
            seeds.extend(range(first, last + 1))
        return SeedList(tuple(dict.fromkeys(seeds)))

    def propose(self, space: NoiseSpace, index: int, parent: Recipe) -> Recipe | None:
        """The seed at place `index` >= 1 of the list; None after the last."""
        return Recipe("seed", str(self.seeds[index - 1])) if index <= len(self.seeds) else None
