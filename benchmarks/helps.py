"""Does searching help? The same evaluations of the denoiser spent in different ways, on held-out prompts.

    courses = measure(scenes.held_out_prompts(100), 64, scratch)
    table = summary(courses)

Shapes World, searched by its trained verifier; its exact oracle is watched, never searched. What the verifier
prefers is what a user of a real model would get, and the oracle says whether it is right.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..demo.evaluator import WorldEvaluator
from ..demo.scenes import Prompt
from ..demo.verifiers import ShapesOracle, ShapesVerifier
from ..demo.world import CFG, LATENT, STEPS, WEIGHTS, load_world
from ..search import Archive, Block, Budget, NoiseSpace, Options, Search, run
from ..search.algorithms import RandomSearch, SearchOverPaths, ZeroOrderSearch
from ..search.history import History
from ..search.space import seeded_noise
from ..verifiers import Verifier, watch
from ..verifiers.weights import fingerprint

GROUP = 10  # prompts searched side by side, as the rows of one latent batch
BATCH = 80  # rows that go through the network together
LEAST_FOR_PATHS = 16  # samples' worth of evaluations from which one round over paths fits
MORE_STEPS = "more steps, no search"
RANDOM = "random search"
ORACLE = "random search by the oracle"


@dataclass
class Course:
    """One way of spending evaluations, on every prompt.

    samples  where it can be read off: after how many samples' worth of evaluations
    score    [prompts, len(samples)] the verifier's score of the best image so far
    facts    the same, the share of the prompt's facts that hold in it
    """

    samples: list[int]
    score: np.ndarray
    facts: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """[prompts, len(samples)]: whether every fact holds."""
        return self.facts == 1


def ways(samples: int) -> dict[str, tuple[Search, int]]:
    """The searches that are compared, each with a budget of `samples` images, and the samples' worth of
    evaluations from which each is itself: before, it is the plain image or another search."""

    def alone(algorithm, images=samples) -> Search:
        return Search((Block(algorithm, Budget(images=images)),))

    first = samples // 4
    refined = (*alone(RandomSearch(), first).blocks, *alone(ZeroOrderSearch(), samples - first).blocks)
    found = {
        RANDOM: (alone(RandomSearch()), 1),
        "zero-order search": (alone(ZeroOrderSearch()), 1),
        f"{first} random, then zero-order": (Search(refined), first),
        "search over paths": (alone(SearchOverPaths()), LEAST_FOR_PATHS),
    }
    return {name: way for name, way in found.items() if way[1] <= samples}


def checkpoints(samples: int) -> list[int]:
    """1, 4, 16, … samples."""
    return [4**k for k in range(int(math.log(samples, 4) + 1e-9) + 1)]


def measure(prompts: Sequence[Prompt], samples: int, scratch: Path, say=print) -> dict[str, Course]:
    """Every way on every prompt. What `scratch` remembers is not computed again: an interrupted run goes on."""
    verifier = watch(Verifier.of(ShapesVerifier()), Verifier.of(ShapesOracle()))
    bench = Bench([prompt.text() for prompt in prompts], scratch, say, verifier)
    courses = {}
    for name, (search, start) in ways(samples).items():
        archives = list(bench.archives(name, search, STEPS))
        courses[name] = _course(archives, list(range(start, samples + 1)))
        if name == RANDOM:
            courses[ORACLE] = _course(archives, courses[name].samples, judge=1)
    plain = Search((Block(RandomSearch(), Budget(images=1)),))
    each = [_course(list(bench.archives(f"{n} × the steps", plain, n * STEPS)), [1]) for n in checkpoints(samples)]
    scores, facts = (np.hstack([getattr(course, name) for course in each]) for name in ("score", "facts"))
    return courses | {MORE_STEPS: Course(checkpoints(samples), scores, facts)}


class Bench:
    """Shapes World, searched by a verifier, with a history on disk."""

    def __init__(self, prompts: list[str], scratch: Path, say, verifier: Verifier):
        self.prompts, self.scratch, self.say, self.verifier = prompts, scratch, say, verifier
        self.world = load_world()
        self.signs = [m.sign * searched for m, searched in zip(self.verifier.measures, self.verifier.searched)]

    def archives(self, name: str, search: Search, steps: int) -> Iterator[Archive]:
        """For each prompt everything that the search evaluated."""
        began = time.monotonic()
        for first in range(0, len(self.prompts), GROUP):
            group = self.prompts[first : first + GROUP]
            for lane in self._search(search, group, seed=first << 32, steps=steps).lanes:
                yield lane.archive
            done = min(first + GROUP, len(self.prompts))
            self.say(f"{name}: {done}/{len(self.prompts)} prompts, {time.monotonic() - began:.0f} s")

    def _search(self, search: Search, group: list[str], seed: int, steps: int):
        """One search a prompt, side by side. Searches of the same noises share what they evaluated."""
        facts = (fingerprint(WEIGHTS / "world.safetensors"), self.verifier.key, group, seed, steps, CFG)
        space = NoiseSpace(seeded_noise(torch.zeros(len(group), *LATENT), seed), seed)
        evaluator = WorldEvaluator(self.world, space, group, self.verifier, steps=steps, batch=BATCH)
        with History(self.scratch / "helps.sqlite") as history:
            memory = history.of(hashlib.sha256(repr(facts).encode()).hexdigest())
            return run(search, evaluator, space, evaluator.archive, Options(keep=1), memory)


def _course(archives: Sequence[Archive], samples: list[int], judge: int = 0) -> Course:
    """The best finished candidate so far, after each number of samples' worth of evaluations of its steps.

    judge  the column that says which is best: 0 the verifier, 1 the oracle
    """
    rows = np.array([bests(archive, samples, judge) for archive in archives])
    return Course(samples, rows[..., 0], rows[..., 1])


def bests(archive: Archive, samples: list[int], judge: int) -> list[tuple[float, ...]]:
    whole, spent, best, found = archive.entries[0].nfe, 0, None, []
    for entry in archive.entries:
        spent += entry.nfe
        found += [best] * (math.ceil(spent / whole) - 1 - len(found))  # it ends after those
        if entry.complete and (best is None or entry.row[judge] > best[judge]):
            best = entry.row
    found += [best] * samples[-1]
    return [found[n - 1] for n in samples]


# --- what it comes to -------------------------------------------------------------------------------------


def summary(courses: dict[str, Course], draws: int = 4000) -> dict:
    """[mean, low, high] of every number, low to high a bootstrap 95 % interval over the prompts."""
    prompts = len(courses[RANDOM].score)
    picks = np.random.default_rng(0).integers(prompts, size=(draws, prompts))

    def interval(values: np.ndarray) -> list[list[float]]:
        means = values.astype(float)[picks].mean(1)
        low, high = np.percentile(means, [2.5, 97.5], axis=0)
        return [[round(float(x), 4) for x in column] for column in zip(values.mean(0), low, high)]

    found = {
        name: {
            "samples": course.samples,
            "all_facts": interval(course.right),
            "facts": interval(course.facts),
            "score": interval(course.score),
        }
        for name, course in courses.items()
    }
    right = courses[RANDOM].right[:, [0, -1]].astype(float)
    ratios = right[picks].mean(1)
    low, high = np.percentile(ratios[:, 1] / np.maximum(ratios[:, 0], 1 / prompts), [2.5, 97.5])
    gain = [round(float(x), 3) for x in (right[:, 1].mean() / max(right[:, 0].mean(), 1 / prompts), low, high)]
    return {"prompts": prompts, "steps": STEPS, "cfg": CFG, "gain": gain, "ways": found}
