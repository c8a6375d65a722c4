"""The one narrow interface between the algorithms and whatever renders and scores.

Recipes in, numbers out: nothing that JSON cannot carry. Latents stay with the evaluator, who is told which
to keep and gives them by id when asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .places import Place
from .recipe import Recipe

Slot = Sequence[Recipe]
"""One recipe for each of the B lanes; the rows of a slot are evaluated together."""


@dataclass(frozen=True)
class Result:
    """What one candidate gave: raw numbers, one a measure, and behind them the features that rules over sets
    look at; guided evaluations and seconds of this row.

    A state on the path that several candidates share is paid for by the first of them. `fault` says why there
    is no image at all, where the sampler gave none.
    """

    row: tuple[float, ...]
    nfe: int
    seconds: float
    fault: str = ""


class Evaluator(Protocol):
    """Renders and scores.

    steps  sigma steps of one full sampling
    noise  the noise's share at each of its steps + 1 sigmas, falling (see `places.py`)
    whole  guided evaluations per row of one full sampling; None where only a first sampling can tell

    An evaluator may also count, as `wasted`, evaluations of latent rows that a failed allocation lost. They
    are spent, and no candidate's. One whose states outlive the run may also `leave(alive)` some for a run with more
    budget, which goes another way from there.
    """

    steps: int
    noise: Sequence[float]
    whole: int | None

    def path_cost(self, i: Place, j: int) -> int:
        """Evaluations per row of solving from place i to sigma index j. Raises SearchError where the sampler
        cannot be cut into steps."""

    def cost(self, slots: Sequence[Slot]) -> int:
        """Guided evaluations of latent rows that evaluating these slots takes now: states on the path that
        are not at hand (an earlier run solved them) included."""

    def evaluate(self, slots: Sequence[Slot], enough: Callable[[], bool]) -> Iterable[list[Result]]:
        """A list of B results for each slot, from the first; fewer slots where `enough()`, asked between
        batches (never before the first), became true. `enough(n)` also asks whether the first n slots can no
        longer be paid for, after a failed allocation. Slots that are yielded as they finish are remembered even
        when a later one fails."""

    def keep(self, finished: Sequence[Sequence[Recipe]], alive: Sequence[Sequence[Recipe]]) -> None:
        """For each lane: the finished candidates whose latents are kept, and the states still needed."""


class Memory(Protocol):
    """What earlier runs of the same search evaluated (see `history.py`)."""

    def recall(self, lane: int, recipe: Recipe) -> Result | None: ...

    def record(self, told: Sequence[tuple[int, Recipe, Result]]) -> None: ...
