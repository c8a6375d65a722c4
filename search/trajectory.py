"""The denoising path as four verbs, and how recipes with moves are followed along it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

import safetensors.torch
import torch

from .history import Shelf
from .places import Place, look_cost
from .recipe import Recipe
from .space import NoiseSpace

States = torch.Tensor
"""[n·B, ...] states on the path, candidate-major: all rows of candidate 0, then of candidate 1, ..."""


class Trajectory(Protocol):
    """What a sampler must be able to do for searches that move along the path. i and j index its sigmas, or lie between
    two of them (see `places.py`)."""

    def start(self, noises: torch.Tensor) -> States:
        """Initial noises [n·B, ...] at sigma index 0."""

    def advance(self, states: States, i: Place, j: int, recipes: Sequence[Recipe]) -> States:
        """Solve from place i down to sigma index j > i. recipes: what the rows become, by which a stochastic sampler
        and the outside of a mask are drawn, so that a noise solved to the end in one leg is the image that it is when
        it is sampled whole."""

    def renoise(self, states: States, i: Place, j: Place, noises: torch.Tensor) -> States:
        """Raise the noise from place i up to j < i by the model family's forward kernel."""

    def preview(self, states: States, i: Place, recipes: Sequence[Recipe]) -> torch.Tensor:
        """x̂0 [n·B, ...]: one more evaluation, or none where sigma is 0. recipes: what the rows are."""


def end_of(recipe: Recipe) -> Place:
    """The sigma index, or the place between two, at which the recipe's moves end."""
    return recipe.moves[-1][2]


def is_finished(recipe: Recipe, steps: int) -> bool:
    """Whether it is an image, and no state on the way to one."""
    return not recipe.moves or end_of(recipe) == steps


@lru_cache(maxsize=256)
def prefixes(recipe: Recipe) -> tuple[Recipe, ...]:
    """The states it passes through, its initial noise left out, itself last."""
    return (*prefixes(replace(recipe, moves=recipe.moves[:-1])), recipe) if recipe.moves else ()


class Ledger:
    """Which states of one search are at hand, and what others cost. Holds a value for each (lane, recipe id): in the
    ledger itself the recipes, one a lane, that were solved together."""

    def __init__(self):
        self.states: dict[tuple[int, str], object] = {}

    def copy(self) -> Ledger:
        other = Ledger()
        other.states = dict(self.states)
        return other

    def keep(self, alive: Sequence[Sequence[Recipe]]) -> None:
        """Forget all states but those of `alive`, a list for each lane, or the last at hand on the way there: a run
        that goes on from an earlier one may not have solved them itself."""
        wanted = self._at_hand(alive)
        self.states = {key: state for key, state in self.states.items() if key in wanted}

    def enter(self, slot: Sequence[Recipe]) -> None:
        """The slot was solved: the states that were missing are at hand."""
        for state in self.missing([slot]):
            self.states.update(dict.fromkeys(_places(state), state))

    def rider(self, lane: int, leader: int, recipe: Recipe) -> Recipe:
        """What a lane that has nothing of the kind does beside the leader's recipe. It goes on from what was solved
        together with the leader's last state at hand, so that nothing is solved again for its sake."""
        state = self._last_at_hand(leader, recipe)
        return self.states[leader, state.id][lane].then(*recipe.moves[len(state.moves) :]) if state else recipe

    def with_riders(self, alive: Sequence[Sequence[Recipe]]) -> list[list[Recipe]]:
        """`alive`, and what riders go on from when other lanes go on from these."""
        if len(alive) == 1:
            return list(alive)
        together = [self.states[place] for place in self._at_hand(alive)]
        return [[*recipes, *(slot[lane] for slot in together)] for lane, recipes in enumerate(alive)]

    def missing(self, slots: Sequence[Sequence[Recipe]]) -> list[Sequence[Recipe]]:
        """The states to compute before all slots stand where they end, each once, in order."""
        return [state for states in self._missing(slots) for state in states]

    def costs(
        self, slots: Sequence[Sequence[Recipe]], noise: Sequence[float], path_cost: Callable[[Place, int], int]
    ) -> list[int]:
        """Evaluations per row that following and previewing each slot takes; the first to need a state pays.

        noise  its share at each of the steps + 1 sigmas
        """
        solved = [
            sum(path_cost(i, j) for name, i, j, *_ in (state[0].moves[-1] for state in states) if name == "advance")
            for states in self._missing(slots)
        ]
        looks = (look_cost(end_of(slot[0]), len(noise) - 1, noise) for slot in slots)
        return [cost + look for cost, look in zip(solved, looks, strict=True)]

    def cost(
        self, slots: Sequence[Sequence[Recipe]], noise: Sequence[float], path_cost: Callable[[Place, int], int]
    ) -> int:
        """Evaluations per row that following and previewing these slots takes."""
        return sum(self.costs(slots, noise, path_cost))

    def _at_hand(self, alive: Sequence[Sequence[Recipe]]) -> set[tuple[int, str]]:
        """The places of these states, or of the last at hand on the way there."""
        last = [(lane, self._last_at_hand(lane, recipe)) for lane, recipes in enumerate(alive) for recipe in recipes]
        return {(lane, state.id) for lane, state in last if state}

    def _last_at_hand(self, lane: int, recipe: Recipe) -> Recipe | None:
        return next((state for state in reversed(prefixes(recipe)) if (lane, state.id) in self.states), None)

    def _missing(self, slots: Sequence[Sequence[Recipe]]) -> list[list[tuple[Recipe, ...]]]:
        """For each slot the states that are not at hand, nor will be after the slots before."""
        solved, todo = set(), []
        for slot in slots:
            way = list(zip(*map(prefixes, slot), strict=True))
            held = (all(place in self.states or place in solved for place in _places(state)) for state in way)
            todo.append(way[max((n for n, there in enumerate(held, 1) if there), default=0) :])
            solved.update(place for state in todo[-1] for place in _places(state))
        return todo


class Path(Ledger):
    """The states of one search that are still needed, one row [1, ...] on the CPU for each (lane, recipe id).

    shelf  where earlier runs of the search left theirs, and `save` leaves these: a run goes on from there
    sound  whether a state is fit to go on from
    """

    def __init__(
        self,
        shelf: Shelf | None = None,
        sound: Callable[[torch.Tensor], bool] = lambda state: bool(state.isfinite().all()),
    ):
        super().__init__()
        self._shelf, self._sound, self._solved = shelf, sound, False
        for place in shelf.places() if shelf else ():
            if content := shelf.get(*place):
                self.states[place] = safetensors.torch.load(content)["state"]
        self._ahead = set(self.states)  # those that this run has not come to yet
        self._aside: dict[tuple[int, str], torch.Tensor] = {}

    def keep(self, alive: Sequence[Sequence[Recipe]]) -> None:
        wanted = self._at_hand(alive)
        self._ahead -= wanted
        self.states = {place: state for place, state in self.states.items() if place in wanted | self._ahead}

    def leave(self, alive: Sequence[Sequence[Recipe]]) -> None:
        """Set aside what is alive now for a later run with more budget. This run does not go on from there."""
        if self._shelf:
            self._aside |= {place: self.states[place] for place in self._at_hand(alive)}

    def save(self, over: bool = False) -> None:
        """Leave what is held now or set aside, and nothing else, for a later run.

        over  the run came to its end: what it found on the shelf and did not come to was tried with the last of a
              smaller budget, and goes; but where it solved nothing, an earlier run had come further
        """
        if not self._shelf:
            return
        passed = self._ahead - self._aside.keys() if over and self._solved else ()
        states = {place: state for place, state in (self.states | self._aside).items() if place not in passed}
        there = set(self._shelf.places())
        self._shelf.drop(there - states.keys())
        for place in states.keys() - there:
            if self._sound(states[place]):
                self._shelf.put(*place, safetensors.torch.save({"state": states[place]}))

    def solve(self, trajectory: Trajectory, space: NoiseSpace, slots: Sequence[Sequence[Recipe]], batch: int) -> None:
        """Bring every slot to the end of its moves. Called again after a failure, it goes on from there.

        slots  n lists of B recipes, one for each lane; the recipes of a slot make the same kinds of moves
        batch  slots that are moved together
        """
        while todo := self.missing(slots):
            ready = [state for state in todo if self._ready(state)]
            self._move(
                trajectory, space, [state for state in ready if kind_of(state[0]) == kind_of(ready[0][0])][:batch]
            )

    def gather(self, slots: Sequence[Sequence[Recipe]]) -> States:
        """[n·B, ...] the states at the end of the slots' moves."""
        return torch.cat([self.states[place] for slot in slots for place in _places(slot)])

    def _ready(self, state: Sequence[Recipe]) -> bool:
        return len(state[0].moves) == 1 or all(p in self.states for p in _places(_before(state)))

    def _move(self, trajectory: Trajectory, space: NoiseSpace, group: Sequence[Sequence[Recipe]]) -> None:
        name, i, j, *_ = group[0][0].moves[-1]
        self._solved = True
        if len(group[0][0].moves) == 1:
            before = trajectory.start(torch.cat([space.rows_of(state) for state in group]))
        else:
            before = self.gather([_before(state) for state in group])
        if name == "advance":
            after = trajectory.advance(before, i, j, [recipe for state in group for recipe in state])
        else:
            noises = [space.rows_of([_injected(space, recipe.moves[-1]) for recipe in state]) for state in group]
            after = trajectory.renoise(before, i, j, torch.cat(noises))
        rows = iter(after.split(1))
        for place in [place for state in group for place in _places(state)]:
            self.states[place] = next(rows).to("cpu", copy=True)  # one row, not a view that holds the batch


def kind_of(recipe: Recipe) -> tuple:
    """Its moves without their seeds: candidates of one kind can be moved together."""
    return tuple(move[:3] for move in recipe.moves)


def _injected(space: NoiseSpace, move: tuple) -> Recipe:
    """The recipe of the noise that a renoise move adds."""
    _, _, _, seed, *near = move
    noise = Recipe("seed", seed)
    for seed in near[1:]:
        noise = Recipe("neighbour", seed, space.add(noise).id, (("cosine", near[0]),))
    return noise


def _before(state: Sequence[Recipe]) -> list[Recipe]:
    return [prefixes(recipe)[-2] for recipe in state]


def _places(state: Sequence[Recipe]) -> list[tuple[int, str]]:
    return [(lane, recipe.id) for lane, recipe in enumerate(state)]
