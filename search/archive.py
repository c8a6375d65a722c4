"""The archive of one search: every evaluated candidate, its raw row, and what the rule makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .recipe import Recipe


@dataclass
class Entry:
    """One evaluated candidate.

    row         raw numbers, one a measure
    nfe         guided evaluations of this row by the denoiser
    seconds     its share of the time
    generation  the round of ask and tell that it came from
    complete    whether it is a finished image; previews on the path are not
    excluded    why it takes no part (a verifier gave NaN), or ""
    """

    recipe: Recipe
    row: tuple[float, ...]
    nfe: int
    seconds: float
    generation: int
    complete: bool
    excluded: str = ""


Rule = Callable[[torch.Tensor], torch.Tensor]


class Archive:
    """Raw rows in, values out. Ties keep the earlier candidate; NaN never wins.

    rule      raw rows [n, m + features] -> values [n], higher is better
    signs     for each column +1 / -1 where the rule reads it upwards / downwards, 0 where it does not
    early     (rule, signs) for candidates that are not finished, where other columns score those. Then no rule sees
              rows of both kinds, and values are comparable within a kind alone.
    """

    def __init__(self, rule: Rule, signs: Sequence[int], early: tuple[Rule, Sequence[int]] | None = None):
        self.rule = rule
        self.signs = tuple(signs)
        self.early = early
        self.entries: list[Entry] = []
        self._place: dict[str, int] = {}
        self._rows = torch.empty(0, 0, dtype=torch.float64)  # of the entries, and room for more
        self._taken = torch.empty(0, dtype=torch.bool)  # takes part
        self._complete = torch.empty(0, dtype=torch.bool)
        self._values = torch.empty(0, dtype=torch.float64)
        self._front: list[Entry] = []

    def __contains__(self, recipe: Recipe) -> bool:
        return recipe.id in self._place

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, entry: Entry, features: Sequence[float] = ()) -> None:
        """Take in what was evaluated. `features`, as many for every entry, are for rules over sets of finished
        images: the rule sees them behind the row, and NaN there for an image that is not finished."""
        if entry.recipe in self:
            raise ValueError(f"candidate {entry.recipe.id} was evaluated twice")
        n = len(self.entries)
        if n == len(self._rows):
            self._grow(n, len(entry.row) + len(features))
        shown = features if entry.complete else [math.nan] * len(features)
        self._rows[n] = torch.tensor([*entry.row, *shown], dtype=torch.float64)
        self._taken[n], self._complete[n] = not entry.excluded, entry.complete
        self._place[entry.recipe.id] = len(self.entries)
        self.entries.append(entry)
        if entry.complete and not entry.excluded:
            self._extend_front(entry)

    def signs_of(self, complete: bool) -> Sequence[int]:
        """The signs of a candidate that is finished, or is not."""
        return self.signs if complete or not self.early else self.early[1]

    def entry(self, recipe: Recipe) -> Entry:
        return self.entries[self._place[recipe.id]]

    def values(self) -> list[float]:
        """The rule over the raw rows of the whole archive, in order of evaluation; NaN where excluded."""
        return self._valued().tolist()

    def place(self, recipe: Recipe) -> int:
        """How many were evaluated before it."""
        return self._place[recipe.id]

    def value(self, recipe: Recipe) -> float:
        return self._valued()[self.place(recipe)].item()

    def values_of(self, recipes: Sequence[Recipe]) -> torch.Tensor:
        """[n] float64, in the order of the recipes; NaN where excluded."""
        return self.values_at([self.place(recipe) for recipe in recipes])

    def values_at(self, places: Sequence[int]) -> torch.Tensor:
        """[n] float64, of the entries at these places; NaN where excluded."""
        return self._valued()[torch.tensor(places, dtype=torch.long)]

    def ranked(self, among: Sequence[Recipe] | None = None) -> list[Entry]:
        """Finished candidates (or those named, finished or not), best first; without NaN."""
        if among is None:
            return self.top(len(self.entries))
        places = torch.tensor(sorted(self._place[recipe.id] for recipe in among), dtype=torch.long)
        return self._sorted(places)

    def top(self, k: int) -> list[Entry]:
        """The best k finished candidates, best first."""
        values = self._valued()
        places = (self._complete[: len(values)] & ~values.isnan()).nonzero().flatten()
        if 0 < k < len(places):
            places = places[values[places] >= values[places].topk(k).values[-1]]  # and those equal to the last
        return self._sorted(places)[:k]

    def best(self) -> Entry | None:
        return next(iter(self.top(1)), None)

    def finished(self, begin: int = 0, end: int | None = None) -> list[float]:
        """The values of the finished candidates among entries `begin` to `end`, in order; without NaN."""
        values = self._valued()[begin:end]
        return values[self._complete[: len(self.entries)][begin:end] & ~values.isnan()].tolist()

    def fruitless(self, begun: int = 0) -> int:
        """Finished candidates since the best one, of those evaluated after the first `begun`."""
        best = self.best()
        since = max(begun, 1 + self._place[best.recipe.id]) if best else begun
        return int(self._complete[since : len(self.entries)].sum())

    def _sorted(self, places: torch.Tensor) -> list[Entry]:
        """The entries at these places (ascending), best first; equals in order, without NaN."""
        places = places[~self._valued()[places].isnan()]
        order = self._valued()[places].argsort(descending=True, stable=True)
        return [self.entries[i] for i in places[order].tolist()]

    def _valued(self) -> torch.Tensor:
        """[n] the entries' values; the rule is applied once for each state of the archive."""
        n = len(self.entries)
        if len(self._values) != n:
            taken, complete = self._taken[:n], self._complete[:n]
            kinds = [(self.rule, taken)]
            if self.early:
                kinds = [(self.rule, taken & complete), (self.early[0], taken & ~complete)]
            self._values = torch.full((n,), math.nan, dtype=torch.float64)
            for rule, some in kinds:
                if some.any():
                    self._values[some] = rule(self._rows[:n][some]).double()
        return self._values

    def _grow(self, n: int, width: int) -> None:
        room = max(16, n)
        self._rows = torch.cat([self._rows.view(n, width), torch.empty(room, width, dtype=torch.float64)])
        self._taken, self._complete = (
            torch.cat([flags, torch.empty(room, dtype=torch.bool)]) for flags in (self._taken, self._complete)
        )

    def front(self) -> list[Entry]:
        """Finished candidates that no other beats in every measure the rule reads.

        A rule that strictly rises in its measures, or puts its best number first, always finds its winner
        here, whatever comes later: a dominated candidate stays dominated. So these latents, and no others, must be
        kept.
        """
        return list(self._front)

    def _oriented(self, entry: Entry) -> list[float]:
        return [sign * x for sign, x in zip(self.signs, entry.row, strict=True) if sign]

    def _extend_front(self, entry: Entry) -> None:
        point = self._oriented(entry)
        points = [self._oriented(other) for other in self._front]
        if any(all(o >= x for o, x in zip(other, point, strict=True)) for other in points):
            return  # beaten, or equal to an earlier one
        kept = [any(o > x for o, x in zip(other, point, strict=True)) for other in points]
        self._front = [e for e, keep in zip(self._front, kept, strict=True) if keep] + [entry]


def standardised(values: Sequence[float] | torch.Tensor, among: Sequence[float] | torch.Tensor) -> list[float]:
    """Values as standard deviations from the mean `among` others; NaN stays NaN."""
    x, y = (torch.as_tensor(numbers, dtype=torch.float64) for numbers in (values, among))
    y = y[~y.isnan()]
    if not len(y):
        return x.tolist()
    size = y.abs().max().clamp_min(1e-300)  # the squares of huge values are not finite
    return ((x / size - (y / size).mean()) / (y / size).std(correction=0).clamp_min(1e-12)).tolist()
