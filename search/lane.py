"""What a running algorithm sees of its search: one latent row's archive, the noises, the path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from .archive import Archive
from .places import Place, look_cost, steps_between
from .recipe import Recipe
from .space import NoiseSpace


@dataclass
class Lane:
    """One of the B independent searches of a latent batch.

    archive     everything evaluated so far, by earlier blocks of the chain too
    space       draws recipes; shared by the lanes
    steps       sigma steps of one full sampling
    affords     affords(cost): may `cost` more evaluations of this row still be spent by this block?
    path_cost   path_cost(i, j): evaluations that solving from place i to sigma index j takes
    noise       the noise's share at each of the steps + 1 sigmas (see `places.py`)
    row         which row of the latent batch this is
    """

    archive: Archive
    space: NoiseSpace
    steps: int
    affords: Callable[[int], bool] = lambda cost: True
    path_cost: Callable[[Place, int], int] = steps_between
    noise: Sequence[float] = ()
    row: int = 0

    def look_cost(self, place: Place) -> int:
        """Evaluations that x̂0 takes at a place of the path."""
        return look_cost(place, self.steps, self.noise)

    def fresh(self, generator, parent: Recipe | None = None) -> Iterator[Recipe]:
        """Proposals in order, candidate 0 first, each once and without those the archive holds already."""
        base = self.space.base
        proposed = {base.id}
        if base not in self.archive:
            yield base
        for index in count(1):
            recipe = generator.propose(self.space, index, parent or base)
            if recipe is None:
                return
            if recipe not in self.archive and recipe.id not in proposed:
                proposed.add(recipe.id)
                yield self.space.add(recipe)

    def unbegun(self, generator) -> Iterator[Recipe]:
        """Proposals from which no path has begun either."""
        begun = {entry.recipe.noise.id for entry in self.archive.entries if entry.recipe.moves}
        return (recipe for recipe in self.fresh(generator) if recipe.id not in begun)
