"""A loop's search as the steps that its body takes, and what these will be, gone through before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...search import Archive, NoiseSpace, Options, Recipe, Result, Search
from ...search.run import Order, Steps, stepwise

REHEARSED = 256  # candidates looked at for one that no seed draws


@dataclass(frozen=True)
class Images:
    """What `stepwise` asks of an Evaluator: one run of the body is one evaluation, and one image."""

    keep: Callable[[Sequence[Sequence[Recipe]], Sequence[Sequence[Recipe]]], None] = lambda finished, alive: None
    steps = whole = 1
    noise = (1.0, 0.0)

    def path_cost(self, i: int, j: int) -> int:
        return j - i

    def cost(self, slots: Sequence) -> int:
        return len(slots)


def first_asked(search: Search, space: NoiseSpace, together: int) -> list[Recipe]:
    """The candidates that the search begins with, where no history knows them."""
    return recipes_of(next(_rehearsal(search, space, together)))


def makes_other_noises(search: Search, space: NoiseSpace) -> bool:
    """Whether the search makes noises that no seed draws: seen by going through it, whatever its scores, which hardly
    change how noises are drawn."""
    space = NoiseSpace(space.given, space.seed, space.batch_index, whole=True)
    steps, results = _rehearsal(search, space, 1), None
    for _ in range(REHEARSED):
        order = sent(steps, results)
        if order is None:
            return False
        if recipes_of(order)[0].draw != "seed":
            return True
        results = [[Result((0.0,), 1, 0.0)]]
    return False


def recipes_of(order: Order) -> list[Recipe]:
    """What it wants evaluated; a loop has one lane."""
    return [recipe for (recipe,) in order.slots]


def sent(steps: Steps, results: Iterable[list[Result]] | None) -> Order | None:
    """The next order, or None where the search is over."""
    try:
        return steps.send(results)
    except StopIteration:
        return None


def _rehearsal(search: Search, space: NoiseSpace, together: int) -> Steps:
    def archive() -> Archive:
        return Archive(lambda rows: rows[:, 0], (1,))

    return stepwise(search, Images(), space, archive, Options(together=together))
