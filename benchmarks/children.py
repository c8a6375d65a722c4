"""How much do children of the best bring, and for how long? A few noises, then nothing but children of the best."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from ..search import Block, Budget, Search
from ..search.algorithms.rounds import Plan, Rounds
from ..search.candidates import Gaussian
from ..search.lane import Lane
from ..search.recipe import Recipe, keyed_seed
from . import family
from .helps import bests

NOISES, CHILDREN, SAMPLES = 8, 3, 16  # whole, of a round, in all
PLACES = {
    "children from 1/3": (1 / 3,),
    "children from 1/2": (1 / 2,),
    "children from 2/3": (2 / 3,),
    "children from 5/6": (5 / 6,),
    "from the last three in turn": (1 / 2, 2 / 3, 5 / 6),
}
"""Shares of the steps that children are raised to, one a round in turn."""


@dataclass(frozen=True)
class Children:
    """The first noises, sampled whole; then, round by round, children of the best image so far.

    backs  shares of the steps that children are raised to, one a round in turn
    """

    backs: tuple[float, ...]
    name = "Children of the best"
    path = True

    def least(self, lane: Lane) -> int:
        return 0

    def start(self, lane: Lane) -> Rounds:
        held: list[Recipe] = []
        return Rounds(self._plan(lane, held), lane, held)

    def _plan(self, lane: Lane, held: list[Recipe]) -> Plan:
        yield [noise.then(("advance", 0, lane.steps)) for noise in islice(lane.fresh(Gaussian()), NOISES)]
        for turn in count():
            up = round(self.backs[turn % len(self.backs)] * lane.steps)
            if not lane.affords(CHILDREN * lane.path_cost(up, lane.steps)):
                return
            best = lane.archive.best().recipe
            held[:] = [best]
            seeds = [keyed_seed("children", lane.space.seed, best.id, turn, n) for n in range(CHILDREN)]
            yield [best.then(("renoise", lane.steps, up, seed), ("advance", up, lane.steps)) for seed in seeds]


def gained(problem: str, seeds: int, each: Callable = map) -> dict[str, list[list[float]]]:
    """place -> what was gained by the searched score after NOISES + 1, NOISES + 2, … samples: [mean, low, high]."""
    courses = {
        place: each(functools.partial(_course, problem, seeds, backs), range(seeds)) for place, backs in PLACES.items()
    }
    return {place: gains(np.array(list(course))) for place, course in courses.items()}


def gains(scores: np.ndarray, draws: int = 2000) -> list[list[float]]:
    """[seeds, samples] of the best so far -> for each number of samples above NOISES what came on top of the best
    noise: [mean, low, high], a bootstrap 95 % interval over the seeds."""
    raised = scores[:, NOISES:] - scores[:, NOISES - 1 : NOISES]
    picks = family.resampled(len(raised), draws)
    return [family.interval(column) for column in family.means(raised, picks).T]


def _course(problem: str, seeds: int, backs: tuple[float, ...], seed: int) -> list[float]:
    """[SAMPLES] the best score so far."""
    search = Search((Block(Children(backs), Budget(images=SAMPLES)),))
    _, archive = family.searched(search, problem, seeds, seed)
    return [score for score, _ in bests(archive, list(range(1, SAMPLES + 1)), judge=0)]
