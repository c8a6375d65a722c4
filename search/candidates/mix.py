"""Two generators in turn, by shares."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

from ..recipe import Recipe, SearchError
from ..space import NoiseSpace


@dataclass(frozen=True)
class Mix:
    """A share of the candidates from the first generator, the rest from the second, evenly spread.

    share  of the first, 0 to 1. Which of the two draws candidate i depends on i alone. Where one generator has
           no more, the other goes on alone.
    """

    first: object
    second: object
    share: float = 0.5
    name = "Mix"

    def __post_init__(self):
        if not 0 <= self.share <= 1:
            raise SearchError(f"Mix Candidates: share is {self.share}; it must be from 0 to 1.")

    def propose(self, space: NoiseSpace, index: int, parent: Recipe) -> Recipe | None:
        def there_are(generator, most: int) -> int:
            """How many of its first `most` candidates the generator has."""
            if not most or generator.propose(space, most, parent):
                return most
            return bisect_left(range(most), True, key=lambda n: generator.propose(space, n + 1, parent) is None)

        before, now = math.floor((index - 1) * self.share), math.floor(index * self.share)
        firsts, seconds = there_are(self.first, now), there_are(self.second, index - now)
        if firsts < now:
            return self.second.propose(space, index - firsts, parent)
        if seconds < index - now:
            return self.first.propose(space, index - seconds, parent)
        return (
            self.first.propose(space, now, parent) if now > before else self.second.propose(space, index - now, parent)
        )
