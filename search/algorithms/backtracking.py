"""Backtracking search: depth first, with second thoughts (DFS of arXiv 2505.23614)."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..candidates import Gaussian
from ..lane import Lane
from ..recipe import Recipe, SearchError, keyed_seed
from .rounds import Plan, Rounds
from .stops import evenly, schedule


@dataclass(frozen=True)
class BacktrackingSearch:
    """Denoise one image; where x̂0 is not good enough at a stop, raise the noise again and try another way down.

    stops      where x̂0 is judged, at equal shares of the steps
    tries      ways down to a stop at most, before the best of them goes on; each begins at the best so far
    back       share of the steps that a state is raised by
    quantile   a state is good enough if it is not below this quantile of all seen at its stop so far
    threshold  δ, if given: it is good enough if its score is not below this

    With thresholds learned from the run, the first states of each stop are all good enough. A finished image is
    followed by the next, from a fresh noise, until the budget ends; what finishing the present one takes is kept
    back. The published thresholds were given by hand; `quantile` and the stops are ours. Candidate 0 is sampled
    whole first.
    """

    stops: int = 3
    tries: int = 8
    back: float = 0.1
    quantile: float = 0.75
    threshold: float | None = None
    candidates: object = field(default_factory=Gaussian)
    name = "Backtracking Search"
    path = True

    def __post_init__(self):
        for name in ("stops", "tries"):
            if getattr(self, name) < 1:
                raise SearchError(f"Backtracking Search: {name} is {getattr(self, name)}; it must be at least 1.")
        if not 0 < self.back < 1:
            raise SearchError(f"Backtracking Search: back is {self.back}; it is a share from 0 to 1.")
        if not 0 <= self.quantile <= 1:
            raise SearchError(f"Backtracking Search: quantile is {self.quantile}; it must be from 0 to 1.")

    def schedule(self, steps: int) -> list[int]:
        """Sigma indices of the stops, and the end."""
        return schedule(self.name, evenly(self.stops), steps)

    def least(self, lane: Lane) -> int:
        """Evaluations per row of one image without a second thought."""
        return self._rest(lane, 0)

    def start(self, lane: Lane) -> Rounds:
        held: list[Recipe] = []
        return Rounds(self._plan(lane, held), lane, held)

    def _plan(self, lane: Lane, held: list[Recipe]) -> Plan:
        if lane.space.base not in lane.archive:
            yield [lane.space.base]
        stops = self.schedule(lane.steps)
        seen: dict[int, list[int]] = {stop: [] for stop in stops}  # places in the archive
        for noise in lane.unbegun(self.candidates):
            if not lane.affords(self._rest(lane, 0)):
                return
            at, best = 0, noise
            for stop in stops:
                state = best.then(("advance", at, stop))
                yield [state]
                ways = [state]
                while stop < lane.steps and len(ways) < self.tries and not self._good(lane, ways[-1], seen[stop]):
                    up = max(0, stop - max(1, round(self.back * lane.steps)))
                    if not lane.affords(lane.path_cost(up, stop) + 1 + self._rest(lane, stop)):
                        break
                    held[:] = ways
                    seed = keyed_seed("back", lane.space.seed, ways[-1].id)
                    ways.append(_best(lane, ways).then(("renoise", stop, up, seed), ("advance", up, stop)))
                    yield ways[-1:]
                seen[stop] += [lane.archive.place(state) for state in ways]
                at, best = stop, _best(lane, ways)
                held[:] = [best]

    def _good(self, lane: Lane, state: Recipe, seen: list[int]) -> bool:
        value = lane.archive.value(state)
        if self.threshold is not None:
            return value >= self.threshold
        values = lane.archive.values_at(seen)
        others = values[~values.isnan()].sort().values
        return not len(others) or value >= others[min(len(others) - 1, int(self.quantile * len(others)))].item()

    def _rest(self, lane: Lane, at: int) -> int:
        """Evaluations per row from a stop to the end, previews at the stops included."""
        stops = [stop for stop in self.schedule(lane.steps) if stop > at]
        return sum(lane.path_cost(i, j) + lane.look_cost(j) for i, j in zip([at, *stops], stops))


def _best(lane: Lane, states: list[Recipe]) -> Recipe:
    ranked = lane.archive.ranked(states)
    return ranked[0].recipe if ranked else states[0]
