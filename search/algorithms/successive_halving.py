"""Successive halving: many candidates are begun, few are finished (Jamieson & Talwalkar 2016, on sampling steps)."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from ..candidates import Gaussian
from ..lane import Lane
from ..recipe import Recipe, SearchError
from .rounds import Plan, Rounds
from .stops import schedule


@dataclass(frozen=True)
class SuccessiveHalving:
    """Denoise many candidates a little, judge them by x̂0, carry the best share on; finish the survivors.

    width       candidates begun in one round
    keep        share of them that passes each cut
    cuts        how many cuts there are
    first_stop  share of the sampling steps before the first cut. The others stand at equal ratios between it
                and the end: 1/8, 1/4, 1/2 for three cuts.

    The schedule's defaults are ours. A candidate that passes continues from its state; nothing is solved again.
    One round costs the same whatever is found. With budget left another round begins `width` new candidates,
    and at each cut the best of all that still wait there pass, those of earlier rounds too. Candidate 0 is
    sampled whole first.
    """

    width: int = 16
    keep: float = 0.25
    cuts: int = 2
    first_stop: float = 0.125
    candidates: object = field(default_factory=Gaussian)
    name = "Successive Halving"
    path = True

    def __post_init__(self):
        for name in ("width", "cuts"):
            if getattr(self, name) < 1:
                raise SearchError(f"Successive Halving: {name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("keep", "first_stop"):
            if not 0 < getattr(self, name) < 1:
                raise SearchError(f"Successive Halving: {name} is {getattr(self, name)}; it is a share from 0 to 1.")

    def stops(self, steps: int) -> list[int]:
        """Sigma indices of the cuts, and the end."""
        ratios = (self.first_stop ** ((self.cuts - n) / self.cuts) for n in range(self.cuts))
        return schedule(self.name, ratios, steps)

    def widths(self, cuts: int) -> list[int]:
        """Candidates that leave the start and each cut."""
        return [self.width] + [max(1, round(self.width * self.keep ** (n + 1))) for n in range(cuts)]

    def least(self, lane: Lane) -> int:
        """Evaluations per row of one round."""
        stops = self.stops(lane.steps)
        solve = (lane.path_cost(i, j) + lane.look_cost(j) for i, j in zip([0, *stops], stops))
        return sum(n * cost for n, cost in zip(self.widths(len(stops) - 1), solve))

    def start(self, lane: Lane) -> Rounds:
        held: list[Recipe] = []
        return Rounds(self._plan(lane, held), lane, held)

    def _plan(self, lane: Lane, held: list[Recipe]) -> Plan:
        if lane.space.base not in lane.archive:
            yield [lane.space.base]
        stops, cost = self.stops(lane.steps), self.least(lane)
        noises = lane.unbegun(self.candidates)
        waiting: list[list[Recipe]] = [[] for _ in stops[:-1]]  # at each cut, the best that have not passed
        while lane.affords(cost):
            states = [noise.then(("advance", 0, stops[0])) for noise in islice(noises, self.width)]
            if not states:
                return
            yield states
            for cut, n in enumerate(self.widths(len(stops) - 1)[1:]):
                ranked = [entry.recipe for entry in lane.archive.ranked(waiting[cut] + states)]
                waiting[cut] = ranked[n : 2 * n]
                held[:] = [state for states in waiting for state in states]
                states = [state.then(("advance", stops[cut], stops[cut + 1])) for state in ranked[:n]]
                yield states
