"""Which search finds most? The whole family with its defaults, on problems whose truth is known, at equal evaluations.

    courses = measure("linear", seeds=8, samples=128)
    table = summary(courses)

The real `search.run` with the real algorithms and budgets. A new algorithm is one line in `ways`.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from ..demo.evaluator import WorldEvaluator
from ..search import Archive, Block, Budget, Options, Search, run
from ..search.algorithms import (
    AutoSearch,
    BacktrackingSearch,
    CoarseToFineSearch,
    EvolutionarySearch,
    ParticleSearch,
    RandomSearch,
    RolloverSearch,
    ScreenedSearch,
    SearchOverPaths,
    SpectralSearch,
    SuccessiveHalving,
    TreeSearch,
    ZeroOrderSearch,
)
from ..search.algorithms.particles import PRESETS
from ..search.diversity import mean_distance
from . import problems
from .helps import bests
from .plain import plain

RANDOM, PATHS, AUTO, UNMEASURED = "random", "paths", "auto", "auto unmeasured"
TOP = 8  # how many of the best are compared with each other
SHAPES = "Shapes World"
NAMES = [problem.name for problem in problems.analytic()]
PUBLISHED = [("BFS", "FK"), ("FK", RANDOM), (RANDOM, PATHS)]
"""The better first: arXiv 2505.23614, and for the last Ma et al. 2025."""


def ways(samples: int) -> dict[str, Search]:
    """What is compared, each with a budget of `samples` images."""

    def alone(algorithm) -> Search:
        return Search((Block(algorithm, Budget(images=samples)),))

    return {
        RANDOM: alone(RandomSearch()),
        "screened": alone(ScreenedSearch()),
        AUTO: alone(AutoSearch()),
        UNMEASURED: alone(AutoSearch(measure=False)),
        "zero-order": alone(ZeroOrderSearch()),
        "evolutionary": alone(EvolutionarySearch()),
        "evolution on the way": alone(EvolutionarySearch(mid_path=(1 / 3, 2 / 3))),
        "coarse to fine": alone(CoarseToFineSearch()),
        "spectral": alone(SpectralSearch()),
        "halving": alone(SuccessiveHalving()),
        PATHS: alone(SearchOverPaths()),
        "ε-greedy paths": alone(SearchOverPaths(rounds=2)),
        "backtracking": alone(BacktrackingSearch()),
        "rollover": alone(RolloverSearch()),
        "tree": alone(TreeSearch()),
        "particles": alone(ParticleSearch()),
        **{name: alone(ParticleSearch(**preset)) for name, preset in PRESETS.items()},
    }


@dataclass
class Trial:
    """One search.

    score, watched  [samples] of the best finished image so far, after 1, 2, … samples' worth of evaluations
    calls           how often the verifier was asked
    diversity       root mean square difference between the best images, over all pairs
    """

    score: list[float]
    watched: list[float]
    calls: int
    diversity: float


@dataclass
class Course:
    """One way on one problem: score and watched [seeds, samples], calls and diversity [seeds]."""

    score: np.ndarray
    watched: np.ndarray
    calls: np.ndarray
    diversity: np.ndarray


@functools.cache
def problem_of(name: str, prompts: int) -> problems.Problem:
    """By its name; in a worker process made once."""
    if name == SHAPES:
        return problems.shapes_world(prompts)
    return next(problem for problem in problems.analytic() if problem.name == name)


def trial(problem: str, seeds: int, way: str, samples: int, seed: int) -> Trial:
    """One search from the noise of one seed."""
    evaluator, archive = searched(ways(samples)[way], problem, seeds, seed)
    score, watched = zip(*bests(archive, list(range(1, samples + 1)), judge=0))
    images = evaluator.images([entry.recipe for entry in archive.top(TOP)]).flatten(1).double()
    apart = mean_distance(torch.cdist(images, images)) / math.sqrt(images.shape[1])
    return Trial(list(score), list(watched), len(archive), apart)


def searched(search: Search, problem: str, seeds: int, seed: int) -> tuple[WorldEvaluator, Archive]:
    """Any search from the noise of one seed; the evaluator holds the best images' latents."""
    torch.set_num_threads(1)  # the searches are what runs side by side
    evaluator = problem_of(problem, seeds).evaluator(seed)
    outcome = run(search, evaluator, evaluator.space, evaluator.archive, Options(keep=TOP))
    return evaluator, outcome.lanes[0].archive


def measure(
    name: str,
    seeds: int,
    samples: int,
    each: Callable = map,
    only: Sequence[str] = (),
    scratch: Path | None = None,
) -> dict[str, Course]:
    """Ways on one problem.

    each     like `map`; that of a pool of processes makes the searches side by side
    only     these ways; all by default
    scratch  remembers the course of each, for as long as its settings and its algorithm's file stay as they are
    """
    return {way: _course(name, seeds, way, samples, each, scratch) for way in only or ways(samples)}


def _course(name: str, seeds: int, way: str, samples: int, each: Callable, scratch: Path | None) -> Course:
    fields = Trial.__dataclass_fields__
    file = scratch and scratch / f"family-{_digest(name, seeds, way, samples)}.npz"
    if file and file.exists():
        with np.load(file) as held:
            return Course(*(held[field] for field in fields))
    trials = list(each(trial, *zip(*[(name, seeds, way, samples, seed) for seed in range(seeds)])))
    course = Course(*(np.array([getattr(t, field) for t in trials]) for field in fields))
    if file:
        np.savez(file, **{field: getattr(course, field) for field in fields})
    return course


def _digest(name: str, seeds: int, way: str, samples: int) -> str:
    search = ways(samples)[way]
    sources = [inspect.getsource(inspect.getmodule(type(block.algorithm))) for block in search.blocks]
    return hashlib.sha256(repr((name, seeds, samples, search, sources)).encode()).hexdigest()[:16]


def facts(name: str, seeds: int) -> dict:
    """What the reader must know of a problem before its numbers."""
    problem = problem_of(name, seeds)
    count = 128 if name == SHAPES else 1024
    said = {name: getattr(problem, name) for name in ("says", "optimum", "steps")}
    return said | {"plain": asdict(plain(problem, count))}


# --- what it comes to -------------------------------------------------------------------------------------


def checkpoints(samples: int) -> list[int]:
    """4, 8, 16, … samples."""
    return [2**k for k in range(2, int(math.log2(samples)) + 1)]


def summary(courses: dict[str, Course], draws: int = 2000) -> dict:
    """One problem's numbers, [mean, low, high]: low to high a bootstrap 95 % interval over the seeds, the same draws
    for all ways."""
    seeds, samples = courses[RANDOM].score.shape
    picks = resampled(seeds, draws)
    curves = {way: means(course.score, picks) for way, course in courses.items()}
    at = [n - 1 for n in checkpoints(samples)]
    watched = {way: means(course.watched, picks) for way, course in courses.items()}

    def differences(pairs: Sequence[tuple[str, str]]) -> dict[str, list]:
        there = [(one, other) for one, other in pairs if {one, other} <= curves.keys()]
        return {f"{a} − {b}": [interval(column) for column in (curves[a] - curves[b])[:, at].T] for a, b in there}

    return {
        "seeds": seeds,
        "samples": samples,
        "start": [round(float(rows[:, 0].mean()), 4) for rows in (courses[RANDOM].score, courses[RANDOM].watched)],
        "published": differences(PUBLISHED),
        "auto": differences([(AUTO, RANDOM), (UNMEASURED, RANDOM), (AUTO, UNMEASURED)]),
        "ways": {
            way: {
                "score": [interval(column) for column in curves[way][:, at].T],
                "watched": [interval(column) for column in watched[way][:, at].T],
                "area": interval(area(curves[way])),
                "reaches": _reaches(curves[way], curves[RANDOM]),
                "watched_reaches": _reaches(watched[way], watched[RANDOM]),
                "calls": round(float(course.calls.mean()), 1),
                "diversity": interval(means(course.diversity, picks)),
            }
            for way, course in courses.items()
        },
    }


def _reaches(curves: np.ndarray, random: np.ndarray) -> dict[str, list[float | None]]:
    """After how many samples these are where random search is after half of them, and after all."""
    last = random.shape[1]
    return {str(n): interval(reached(curves, random[:, n - 1])) for n in (last // 2, last)}


def soonest(courses: dict[str, Course], random: Course) -> dict[str, dict[str, float]]:
    """For each way that gets there the samples after which its mean score is where random search's is after half of its
    samples, and after all; random search may have had more of them than the ways."""
    far, curves = random.score.mean(0), {way: course.score.mean(0)[None] for way, course in courses.items()}
    there = {}
    for n in (len(far) // 2, len(far)):
        when = {way: float(reached(curve, far[n - 1 : n])[0]) for way, curve in curves.items()}
        there[str(n)] = {way: k for way, k in when.items() if math.isfinite(k)}
    return there


def resampled(seeds: int, draws: int) -> np.ndarray:
    """[draws, seeds] of seeds, drawn with replacement; the first are all of them once."""
    picks = np.random.default_rng(0).integers(seeds, size=(draws, seeds))
    picks[0] = np.arange(seeds)
    return picks


def means(values: np.ndarray, picks: np.ndarray) -> np.ndarray:
    """[draws, ...] of values [seeds, ...]: of each draw of seeds the mean."""
    return np.stack([values[pick].mean(0) for pick in picks])


def interval(draws: np.ndarray) -> list[float | None]:
    """[the first, which is the mean itself, low, high]; None where it is infinite."""
    low, high = np.percentile(draws, [2.5, 97.5], method="nearest")
    return [round(float(x), 4) if np.isfinite(x) else None for x in (draws[0], low, high)]


def area(curves: np.ndarray) -> np.ndarray:
    """[draws] the mean height of curves [draws, samples] over log₂ of the samples, from 1 to the last."""
    x = np.log2(np.arange(1, curves.shape[1] + 1))
    return np.trapezoid(curves, x, axis=1) / x[-1]


def reached(curves: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """[draws] samples after which each curve [draws, samples] is at its goal [draws]; inf where it never is."""
    there = curves >= goals[:, None] - 1e-9
    return np.where(there.any(1), there.argmax(1) + 1.0, np.inf)
