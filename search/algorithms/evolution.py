"""Evolutionary search over the initial noise, after EvoSearch (arXiv 2505.17618)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise

import torch

from ..archive import Entry
from ..candidates import Gaussian, Neighbour
from ..diversity import cosine_distances, mmr
from ..lane import Lane
from ..recipe import Recipe, SearchError, keyed_seed
from ..trajectory import end_of, prefixes
from .rounds import Plan, Rounds
from .stops import stop_at

POOL = 4  # times the elites: the best among which diverse ones are chosen


@dataclass(frozen=True)
class EvolutionarySearch:
    """A population of noises, sampled whole; each generation mutates the elites and takes in a few newcomers.

    population  candidates of a generation
    elites      the best of all so far, the parents of the next generation, in turn
    mutation    β: a child is √(1 − β²)·parent + β·noise, at the parent's norm. EvoSearch's is 0.2 to 0.3,
                for large latents; 0.5 did better on Gaussian mixtures, as did so small a generation.
    newcomers   share of a generation that is drawn afresh by the candidates block (ours)
    diversity   δ from 0, the best are the elites, to 1: how much it counts that their noises are far apart, by
                maximal marginal relevance among the best 4 · elites. The best is always one of them. (ours)
    mid_path    shares of the sampling steps at which half-finished images are mutated too: generations mutate noises,
                then the elites' states x at the first of these stops, at the second, ..., and noises again. There a
                child is x + σ_t·ε, raised by the model's forward kernel to the noise of one step earlier, and
                solved down to the end. None: noises alone.

    The first generation is candidate 0 and fresh noises, or the best of the blocks before. A parent is never sampled
    again: with `mid_path` its states at the stops are kept, but for those that a block before sampled whole, and
    for candidate 0, which are solved to a stop once more where a child begins there.
    """

    population: int = 4
    elites: int = 1
    mutation: float = 0.5
    newcomers: float = 0.25
    diversity: float = 0.0
    mid_path: tuple[float, ...] = ()
    candidates: object = field(default_factory=Gaussian)
    name = "Evolutionary Search"

    def __post_init__(self):
        for name in ("population", "elites"):
            if getattr(self, name) < 1:
                raise SearchError(f"Evolutionary Search: {name} is {getattr(self, name)}; it must be at least 1.")
        if not 0.001 <= self.mutation <= 1:
            raise SearchError(f"Evolutionary Search: mutation is {self.mutation}; it must be from 0.001 to 1.")
        if not 0 <= self.newcomers < 1:
            raise SearchError(f"Evolutionary Search: newcomers is {self.newcomers}; it is a share, below 1.")
        if not 0 <= self.diversity <= 1:
            raise SearchError(f"Evolutionary Search: diversity is {self.diversity}; it must be from 0 to 1.")
        for share in self.mid_path:
            if not 0 < share < 1:
                raise SearchError(
                    f"Evolutionary Search: mid_path holds {share}; it takes shares of the sampling steps, above 0 and "
                    "below 1."
                )

    @property
    def path(self) -> bool:
        return bool(self.mid_path)

    def stops(self, steps: int) -> list[int]:
        """Sigma indices at which half-finished images are mutated."""
        if self.mid_path and steps < 2:
            raise SearchError(
                f"Evolutionary Search: mid_path needs at least 2 sampling steps, and the sampler takes {steps}: raise "
                "steps, or clear mid_path."
            )
        return sorted({stop_at(share, steps) for share in self.mid_path})

    def least(self, lane: Lane) -> int:
        """Evaluations per row of one image in legs, where there are any."""
        stops = self.stops(lane.steps)
        legs = sum(lane.path_cost(i, j) for i, j in pairwise([0, *stops, lane.steps]))
        return legs + lane.look_cost(lane.steps) if stops else 0

    def start(self, lane: Lane) -> Rounds:
        held: list[Recipe] = []
        return Rounds(self._plan(lane, held), lane, held)

    def _plan(self, lane: Lane, held: list[Recipe]) -> Plan:
        stops = self.stops(lane.steps)
        noises = lane.unbegun(self.candidates) if stops else lane.fresh(self.candidates)
        fresh = (noise if noise == lane.space.base else self._finished(noise, lane) for noise in noises)
        born = list(islice(fresh, max(0, self.population - len(lane.archive.ranked()))))
        held[:] = [_state(one, stop) for one in born for stop in stops]
        yield born
        for stop in cycle([0, *stops]):
            parents = [entry.recipe for entry in self._elites(lane)] or [lane.space.base]
            newcomers = list(islice(fresh, round(self.newcomers * self.population)))
            born = newcomers + self._children(lane, parents, stop, self.population - len(newcomers))
            held[:] = [_state(one, stop) for one in parents + born for stop in stops]
            yield born

    def _children(self, lane: Lane, parents: list[Recipe], stop: int, n: int) -> list[Recipe]:
        """Mutations of the parents at a stop, in turn: of their noises at 0."""
        mutate = Neighbour(math.sqrt(1 - self.mutation**2))
        age, children = len(lane.archive), []  # a generation's children have indices of their own
        first = int(keyed_seed("evolution", age)) % 2**32
        for k in range(n):
            parent = parents[k % len(parents)]
            if stop:
                seed = keyed_seed("evolution", lane.space.seed, age, k)
                child = _state(parent, stop).then(("renoise", stop, stop - 1, seed))
            else:
                child = lane.space.add(mutate.propose(lane.space, first + k, lane.space.add(parent.noise)))
            children.append(self._finished(child, lane))
        return children

    def _finished(self, state: Recipe, lane: Lane) -> Recipe:
        """Sampled to the end, whole or in legs between the stops, so that its states there can be kept."""
        stops, at = self.stops(lane.steps), _index(state)
        legs = [at, *(stop for stop in stops if stop > at), lane.steps]
        return state.then(*[("advance", i, j) for i, j in pairwise(legs)]) if stops else state

    def _elites(self, lane: Lane) -> Sequence[Entry]:
        """The best so far; with diversity the best of those whose noises are no near relatives."""
        if not self.diversity or self.elites == 1:
            return lane.archive.top(self.elites)
        pool = lane.archive.top(POOL * self.elites)
        if not pool:
            return pool
        noises = torch.stack([lane.space.draw(entry.recipe)[lane.row] for entry in pool])
        values = torch.tensor([lane.archive.value(entry.recipe) for entry in pool])
        return [pool[n] for n in mmr(values, cosine_distances(noises), self.elites, self.diversity)]


def _index(state: Recipe) -> int:
    return end_of(state) if state.moves else 0


def _state(recipe: Recipe, stop: int) -> Recipe:
    """The last state at this sigma index on the recipe's way."""
    before = [state for state in (recipe.noise, *prefixes(recipe)) if _index(state) <= stop][-1]
    return before if _index(before) == stop else before.then(("advance", _index(before), stop))
