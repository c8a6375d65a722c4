"""An algorithm written as a generator: it yields what to evaluate, and goes on when all of it is in the archive.

def plan(lane):
    yield [lane.space.base]
    while lane.affords(cost):
        yield states
        best = lane.archive.ranked(states)[0].recipe
        ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..lane import Lane
from ..recipe import Recipe
from ..trajectory import prefixes

Plan = Iterator[Sequence[Recipe]]


class Rounds:
    """The running search of a plan.

    held   filled by the plan: states that it may come back to, besides those of the round under way
    notes  filled by the plan: what it did and why, a sentence each
    """

    def __init__(self, plan: Plan, lane: Lane, held: Sequence[Recipe] = (), notes: Sequence[str] = ()):
        self._plan, self._lane, self._held, self.notes = plan, lane, held, notes
        self._round: list[Recipe] = []
        self._open: list[Recipe] = []  # of the round, not yet handed out
        self._begun = False

    @property
    def alive(self) -> list[Recipe]:
        """What the open recipes go on from; what was evaluated, until the plan has chosen from it."""
        return [state for recipe in self._round for state in self._needed(recipe)] + list(self._held)

    def ask(self, n: int) -> list[Recipe]:
        if not self._begun:
            self._begun = True
            self._next()
        asked, self._open = self._open[:n], self._open[n:]
        return asked

    def tell(self) -> None:
        if not self._open and all(recipe in self._lane.archive for recipe in self._round):
            self._next()

    def _next(self) -> None:
        self._round = next((list(round_) for round_ in self._plan if round_), [])
        self._open = list(self._round)

    def _needed(self, recipe: Recipe) -> list[Recipe]:
        if recipe in self._lane.archive:
            return [recipe]
        return [state for state in reversed(prefixes(recipe)[:-1]) if state in self._lane.archive][:1]
