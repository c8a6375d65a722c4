"""Replay: evaluates given recipes and nothing else, so that a winner found on the path comes out again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..lane import Lane
from ..recipe import Recipe, SearchError


@dataclass(frozen=True)
class Replay:
    """recipes: one for each row of the latent batch, with their lineage. The noise that the sampler is handed
    is their initial noise."""

    recipes: Sequence[Recipe]
    lineage: Sequence[Recipe] = ()
    name = "Replay"
    path = True

    def least(self, lane: Lane) -> int:
        for recipe in self.recipes:
            if recipe.moves and recipe.moves[-1][2] != lane.steps:
                raise SearchError(
                    f"This noise was found on a path of {recipe.moves[-1][2]} steps and the schedule has {lane.steps}: "
                    "replay it with the sampler and sigmas it was found with."
                )
        return 0

    def start(self, lane: Lane) -> Running:
        for recipe in self.lineage:
            lane.space.add(recipe)
        recipe = self.recipes[lane.row % len(self.recipes)]
        lane.space.hold(recipe, lane.space.given)
        return Running([recipe])


class Running:
    alive: tuple[Recipe, ...] = ()

    def __init__(self, recipes: list[Recipe]):
        self._open = recipes

    def ask(self, n: int) -> list[Recipe]:
        asked, self._open = self._open[:n], self._open[n:]
        return asked

    def tell(self) -> None:
        """There is nothing to choose."""
