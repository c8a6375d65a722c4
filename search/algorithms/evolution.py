"""Evolutionary search over the initial noise, after EvoSearch (arXiv 2505.17618)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch

from ..archive import Entry
from ..candidates import Gaussian, Neighbour
from ..diversity import cosine_distances, mmr
from ..lane import Lane
from ..recipe import Recipe, SearchError, keyed_seed
from .rounds import Plan, Rounds

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

    EvoSearch's mutations of half-finished images are Particle Search's children here: chain the two. The first
    generation is candidate 0 and fresh noises, or the best of the blocks before. A parent is never sampled again.
    """

    population: int = 4
    elites: int = 1
    mutation: float = 0.5
    newcomers: float = 0.25
    diversity: float = 0.0
    candidates: object = field(default_factory=Gaussian)
    name = "Evolutionary Search"
    path = False

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

    def least(self, lane: Lane) -> int:
        return 0

    def start(self, lane: Lane) -> Rounds:
        return Rounds(self._plan(lane), lane)

    def _plan(self, lane: Lane) -> Plan:
        fresh = lane.fresh(self.candidates)
        missing = self.population - len(lane.archive.ranked())
        yield list(islice(fresh, max(0, missing)))
        while True:
            newcomers = list(islice(fresh, round(self.newcomers * self.population)))
            yield newcomers + self._children(lane, self.population - len(newcomers))

    def _children(self, lane: Lane, n: int) -> list[Recipe]:
        """Mutations of the elites' noises, in turn; of candidate 0 where nothing has a score."""
        mutate = Neighbour(math.sqrt(1 - self.mutation**2))
        parents = [entry.recipe.noise for entry in self._elites(lane)] or [lane.space.base]
        age = len(lane.archive)  # a generation's children have indices of their own
        first = int(keyed_seed("evolution", age)) % 2**32
        return [
            lane.space.add(mutate.propose(lane.space, first + k, lane.space.add(parents[k % len(parents)])))
            for k in range(n)
        ]

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
