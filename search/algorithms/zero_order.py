"""Zero-order search, ZO-N (Ma et al. 2025, §4.2): hill climbing on the noise, without gradients."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..candidates import Gaussian, Neighbour
from ..lane import Lane
from ..recipe import Recipe, SearchError


@dataclass(frozen=True)
class ZeroOrderSearch:
    """Draw N neighbours of a pivot, sample and score each, move to the best; repeat.

        search = ZeroOrderSearch(neighbours=4).start(lane)
        while recipes := search.ask(16):
            ...                      # evaluate, add to lane.archive
            search.tell()

    neighbours     N, candidates around one pivot. ZO-2 and ZO-4 are the paper's.
    candidates     how neighbours are drawn: cosine 0.95 unless given
    restart_after  rounds without a better neighbour before the pivot is set aside and a fresh noise becomes
                   the pivot; 0 keeps the pivot for ever. Left open by the paper: 0 is our default.

    The first pivot is the best candidate of the blocks before, or else candidate 0. A pivot is never sampled
    or scored again, and the best seen is never lost: the archive holds it.
    """

    neighbours: int = 4
    candidates: object = field(default_factory=Neighbour)
    restart_after: int = 0
    name = "Zero-Order Search"
    path = False

    def __post_init__(self):
        if self.neighbours < 1:
            raise SearchError(f"Zero-Order Search: neighbours is {self.neighbours}; it must be at least 1.")
        if self.restart_after < 0:
            raise SearchError(f"Zero-Order Search: restart_after is {self.restart_after}; it cannot be negative.")

    def least(self, lane: Lane) -> int:
        return 0

    def start(self, lane: Lane) -> Running:
        return Running(self, lane)


class Running:
    alive: tuple[Recipe, ...] = ()

    def __init__(self, settings: ZeroOrderSearch, lane: Lane):
        self._settings, self._lane = settings, lane
        best = lane.archive.best()
        self._pivot = best.recipe.noise if best else lane.space.base
        # The round so far, in order. A pivot that was never sampled whole (a path's noise) is a round by itself.
        self._round: list[Recipe] = [] if self._pivot in lane.archive else [self._pivot]
        self._open = list(self._round)  # of those, not yet handed out
        self._fruitless = 0
        self._index = 0
        self._fresh = lane.fresh(Gaussian())

    def ask(self, n: int) -> list[Recipe]:
        if not self._round:
            self._round = self._neighbours()
            self._open = list(self._round)
        asked, self._open = self._open[:n], self._open[n:]
        return asked

    def tell(self) -> None:
        if self._open:
            return  # the round goes on
        told = [recipe for recipe in self._round if recipe in self._lane.archive]
        rivals = told if self._pivot in told else [self._pivot, *told]
        ranked = self._lane.archive.ranked(rivals)
        winner = ranked[0].recipe if ranked else self._pivot
        self._fruitless = 0 if winner != self._pivot or self._round == [self._pivot] else self._fruitless + 1
        self._pivot, self._round = winner, []
        if self._settings.restart_after and self._fruitless >= self._settings.restart_after:
            self._pivot = next(self._fresh)
            self._round, self._open, self._fruitless = [self._pivot], [self._pivot], 0

    def _neighbours(self) -> list[Recipe]:
        drawn: list[Recipe] = []
        while len(drawn) < self._settings.neighbours:
            self._index += 1
            recipe = self._settings.candidates.propose(self._lane.space, self._index, self._pivot)
            if recipe is None:
                break
            if recipe not in self._lane.archive and recipe not in drawn:
                drawn.append(self._lane.space.add(recipe))
        return drawn
