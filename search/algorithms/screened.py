"""Screened Search: random search that learns which noises deserve to be sampled (ours)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch

from ..candidates import Gaussian
from ..lane import Lane
from ..rank import rank_correlation
from ..recipe import Recipe, SearchError
from ..screening import BEGINS, LEAST, STAYS, beats_chance, coarse, guess
from .rounds import Plan, Rounds

ROUND = 8  # candidates of a round; their scores are learned from together
UNSCREENED = 2  # of a screened round: taken as they were drawn, to go on seeing what the guesses are worth
LATEST = 32  # unscreened candidates on which guesses are judged
LEARNED = 1024  # candidates, the latest, from which they are made


@dataclass(frozen=True)
class ScreenedSearch:
    """Random search, until a small model can tell from a noise alone how its image will score.

    After each round of 8 the model is fitted to all finished candidates, and guesses the scores of the next ones before
    they are sampled. Once its guesses rank candidates better than chance, `drawn` noises are drawn for each that is
    sampled, and those with the best guesses are taken; two of each round are taken as they come. It is judged on these
    and on those that were sampled before, and switched off again when its guesses fail.

    drawn  noises drawn for each that is sampled; those passed over may be taken later

    It asks for whole images alone, so that every winner is a noise, and with Gaussian candidates a seed.
    """

    drawn: int = 16
    candidates: object = field(default_factory=Gaussian)
    name = "Screened Search"
    path = False

    def __post_init__(self):
        if self.drawn < 1:
            raise SearchError(f"Screened Search: drawn is {self.drawn}; it must be at least 1.")

    def least(self, lane: Lane) -> int:
        return 0

    def start(self, lane: Lane) -> Rounds:
        course = Course(self, lane)
        return Rounds(course.plan(), lane, notes=course.notes)


class Course:
    """One search under way."""

    def __init__(self, settings: ScreenedSearch, lane: Lane):
        self._settings, self._lane = settings, lane
        self._noises = lane.fresh(settings.candidates)
        self._passed: list[Recipe] = []  # over, in the order in which they were drawn
        self._coarse: dict[str, torch.Tensor] = {}
        self._guessed: dict[str, float] = {}  # of unscreened candidates, before they were scored
        self._unscreened: list[Recipe] = []
        self._on = False
        self._screened = 0
        self.notes: list[str] = []

    def plan(self) -> Plan:
        while True:
            first = UNSCREENED if self._on else ROUND
            plain = [*islice(self._noises, first)]
            if not self._on:  # what was passed over is as good as new
                plain += self._take(self._passed[: first - len(plain)])
            chosen = self._chosen(ROUND - UNSCREENED) if self._on else []
            self._guess(plain)
            if not (plain or chosen):
                return
            yield plain + chosen
            self._unscreened += [recipe for recipe in plain if recipe.id in self._guessed]
            self._screened += len(chosen)
            worth = self._worth()
            self._on = beats_chance(*worth, STAYS if self._on else BEGINS)
            self.notes[:] = [self._account(*worth)]

    def _chosen(self, count: int) -> list[Recipe]:
        """The best guesses among new noises and those passed over."""
        self._passed += islice(self._noises, count * self._settings.drawn)
        guesses = self._guesses(self._passed)
        best = sorted(range(len(guesses)), key=lambda n: -guesses[n])[:count]
        return self._take([self._passed[n] for n in best])

    def _take(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        taken = {recipe.id for recipe in recipes}
        self._passed = [recipe for recipe in self._passed if recipe.id not in taken]
        return list(recipes)

    def _guess(self, recipes: Sequence[Recipe]) -> None:
        self._guessed.update(zip((recipe.id for recipe in recipes), self._guesses(recipes)))

    def _guesses(self, recipes: Sequence[Recipe]) -> list[float]:
        """Of each; none while too little is known."""
        archive = self._lane.archive
        finished = [entry.recipe for entry in archive.entries[-LEARNED:] if entry.complete]
        scored = zip(finished, archive.values_of(finished).tolist())
        known = [(recipe.noise, score) for recipe, score in scored if not math.isnan(score)]
        if len(known) < LEAST or not recipes:
            return []
        noises, scores = zip(*known)
        return guess(self._features(noises), scores, self._features(recipes)).tolist()

    def _features(self, recipes: Sequence[Recipe]) -> torch.Tensor:
        """[n, d]"""
        for recipe in recipes:
            if recipe.id not in self._coarse:
                self._coarse[recipe.id] = coarse(self._lane.space.draw(recipe)[self._lane.row])
        return torch.stack([self._coarse[recipe.id] for recipe in recipes])

    def _worth(self) -> tuple[float, int]:
        """How guesses rank the latest unscreened candidates beside their scores: the correlation, of how many."""
        latest = self._unscreened[-LATEST:]
        scores = self._lane.archive.values_of(latest).tolist()
        pairs = [(self._guessed[recipe.id], score) for recipe, score in zip(latest, scores) if not math.isnan(score)]
        return (rank_correlation(*zip(*pairs)) if pairs else 0.0), len(pairs)

    def _account(self, correlation: float, count: int) -> str:
        if not count:
            return "Screening has not begun: too few candidates are finished to guess others from."
        return (
            f"Screening is {'on' if self._on else 'off'}: guesses from the noise rank the latest {count} unscreened "
            f"candidates with correlation {correlation:.2f}, {'' if self._on else 'not surely '}better than chance. "
            f"{self._screened} candidates were chosen by it."
        )
