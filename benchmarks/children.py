"""How much do children of the best bring, and for how long? A few noises, then nothing but children of the best."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
import torch

from ..search import Block, Budget, Options, Search, run
from ..search.algorithms.rounds import Plan, Rounds
from ..search.candidates import Gaussian
from ..search.lane import Lane
from ..search.recipe import Recipe, keyed_seed
from . import family
from .helps import bests

NOISES, SAMPLES = 8, 16
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

    backs   shares of the steps that children are raised to, one a round in turn
    number  children of a round
    noises  how many there are
    """

    backs: tuple[float, ...]
    number: int = 3
    noises: int = NOISES
    name = "Children of the best"
    path = True

    def least(self, lane: Lane) -> int:
        return 0

    def start(self, lane: Lane) -> Rounds:
        held: list[Recipe] = []
        return Rounds(self._plan(lane, held), lane, held)

    def _plan(self, lane: Lane, held: list[Recipe]) -> Plan:
        yield [noise.then(("advance", 0, lane.steps)) for noise in islice(lane.fresh(Gaussian()), self.noises)]
        for turn in count():
            up = round(self.backs[turn % len(self.backs)] * lane.steps)
            if not lane.affords(self.number * lane.path_cost(up, lane.steps)):
                return
            best = lane.archive.best().recipe
            held[:] = [best]
            seeds = [keyed_seed("children", lane.space.seed, best.id, turn, n) for n in range(self.number)]
            yield [best.then(("renoise", lane.steps, up, seed), ("advance", up, lane.steps)) for seed in seeds]


def gained(problem: str, prompts: int, each: Callable = map) -> dict[str, list[list[float]]]:
    """place -> what was gained by the searched score after NOISES + 1, NOISES + 2, … samples: [mean, low, high]."""
    seeds = range(prompts)
    return {
        place: gains(np.array(list(each(functools.partial(_course, problem, prompts, place), seeds))))
        for place in PLACES
    }


def gains(scores: np.ndarray, draws: int = 2000) -> list[list[float]]:
    """[seeds, samples] of the best so far -> for each number of samples above NOISES what came on top of the best
    noise: [mean, low, high], a bootstrap 95 % interval over the seeds."""
    raised = scores[:, NOISES:] - scores[:, NOISES - 1 : NOISES]
    picks = np.random.default_rng(0).integers(len(raised), size=(draws, len(raised)))
    low, high = np.percentile(raised[picks].mean(1), [2.5, 97.5], axis=0)
    return [[float(x) for x in column] for column in zip(raised.mean(0), low, high)]


def _course(problem: str, prompts: int, place: str, seed: int) -> list[float]:
    """[SAMPLES] the best score so far."""
    torch.set_num_threads(1)
    evaluator = family.problem_of(problem, prompts).evaluator(seed)
    search = Search((Block(Children(PLACES[place]), Budget(images=SAMPLES)),))
    outcome = run(search, evaluator, evaluator.space, evaluator.archive, Options(keep=1))
    return [score for score, _ in bests(outcome.lanes[0].archive, list(range(1, SAMPLES + 1)), judge=0)]
