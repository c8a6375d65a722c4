"""Particle search: resampling along the path by exp(λ·score), one family for many papers (arXiv 2505.23614)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch

from ..archive import standardised
from ..candidates import Gaussian
from ..lane import Lane
from ..recipe import Recipe, SearchError, keyed_seed
from ..trajectory import end_of, prefixes
from .resample import RESAMPLERS
from .rounds import Plan, Rounds
from .stops import evenly, schedule

PRESETS = {
    "BFS": {"tempering": "increasing", "score": "max", "resampler": "ssp"},  # arXiv 2505.23614, the best it found
    "FK": {"tempering": "constant", "score": "max", "resampler": "multinomial", "resample_below": 0.5},
    "SVDD": {"tempering": "infinite", "score": "current", "resampler": "multinomial"},
    "DAS": {"tempering": "increasing", "score": "difference", "resampler": "ssp", "resample_below": 0.5},
    "funnel": {"tempering": "increasing", "score": "current", "resampler": "ssp", "particles": 16, "funnel": 0.25},
    "VASR": {"tempering": "constant", "score": "current", "resampler": "systematic"},
}
"""FK steering: arXiv 2501.06848; DAS: 2501.05803, without its gradient; funnel: 2508.12361, the numbers are ours;
VASR: 2604.06779, its resampling."""
CHOICES = {
    "tempering": ("constant", "increasing", "infinite"),
    "score": ("current", "difference", "max"),
    "resampler": tuple(RESAMPLERS),
}
GAMMA = 0.008  # DAS, for 100 steps


@dataclass(frozen=True)
class ParticleSearch:
    """N noises go down together; at every stop x̂0 is scored, the good have children and the poor have none.

        ParticleSearch(**PRESETS["FK"], particles=4)

    particles       N at the first stop
    stops           how often they are resampled, at equal shares of the steps: 20, 40, 60, 80 %, as FK steering
    tempering       of λ: "constant"; "increasing", λ·min((1 + γ)^i − 1, 1) at step i of 100 (DAS), since early
                    scores are unreliable; "infinite": all children to the best
    score           "current" score of x̂0, its "difference" to the stop before, or the "max" so far on its path
    resampler       "multinomial" | "systematic" | "ssp"
    strength        λ, in standard deviations of the archive's scores. FK steering's 10 was for raw rewards.
    resample_below  resample where the effective sample size, as a share of N, is at most this; 1: always
    funnel          particles at the last stop, as a share of N
    renoise         share of the steps by which children are raised again by the forward kernel of the model, so
                    that they differ under any sampler (ours). A particle's first child goes on as it is.
    diversity       δ from 0, all particles may descend from one noise, to 1, each from its own: of N particles at most
                    ⌊(1 − δ)·N⌋, and one at least, are one noise's. What it is denied the others share by their weights.
                    Where noises are too few for that, all have as many, but for one more by weight. (ours)

    On Gaussian mixtures SVDD and VASR did a little better than the defaults; the published best, BFS, scores by "max",
    which lets the first impression rule where blurred previews score well. Weights accumulate where there was no
    resampling. There is none at the end: the archive keeps the best. A round is N fresh noises followed to the end;
    what it costs at most must be affordable. Candidate 0 is sampled whole first.
    """

    particles: int = 8
    stops: int = 4
    tempering: str = "increasing"
    score: str = "current"
    resampler: str = "ssp"
    strength: float = 10.0
    resample_below: float = 1.0
    funnel: float = 1.0
    renoise: float = 0.05
    diversity: float = 0.0
    candidates: object = field(default_factory=Gaussian)
    name = "Particle Search"
    path = True

    def __post_init__(self):
        for name in ("particles", "stops"):
            if getattr(self, name) < 1:
                raise SearchError(f"Particle Search: {name} is {getattr(self, name)}; it must be at least 1.")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise SearchError(f"Particle Search: {name} is {getattr(self, name)!r}; use {', '.join(choices)}.")
        for name in ("resample_below", "funnel", "renoise"):
            if not 0 < getattr(self, name) <= 1:
                raise SearchError(f"Particle Search: {name} is {getattr(self, name)}; it is a share from 0 to 1.")
        if not 0 <= self.diversity <= 1:
            raise SearchError(f"Particle Search: diversity is {self.diversity}; it is a share from 0 to 1.")
        if not 0 < self.strength < math.inf:
            raise SearchError(f"Particle Search: strength is {self.strength}; it must be above 0.")

    def schedule(self, steps: int) -> list[int]:
        """Sigma indices of the stops, and the end."""
        return schedule(self.name, evenly(self.stops), steps)

    def numbers(self, legs: int) -> list[int]:
        """Particles on each leg of the way, falling at equal ratios."""
        return [max(1, round(self.particles * self.funnel ** (n / max(1, legs - 1)))) for n in range(legs)]

    def least(self, lane: Lane) -> int:
        """Evaluations per row of one round in which all children are raised."""
        stops = self.schedule(lane.steps)
        starts = [0] + [self._raised(stop, lane.steps) for stop in stops[:-1]]
        legs = (lane.path_cost(i, j) + lane.look_cost(j) for i, j in zip(starts, stops))
        return sum(n * cost for n, cost in zip(self.numbers(len(stops)), legs))

    def start(self, lane: Lane) -> Rounds:
        return Rounds(self._plan(lane), lane)

    def _plan(self, lane: Lane) -> Plan:
        if lane.space.base not in lane.archive:
            yield [lane.space.base]
        stops, cost, noises = self.schedule(lane.steps), self.least(lane), lane.unbegun(self.candidates)
        numbers = self.numbers(len(stops))
        seen: dict[int, list[Recipe]] = defaultdict(list)  # by the stop where they were scored, by whatever block
        for entry in lane.archive.entries:
            if entry.recipe.moves:
                seen[end_of(entry.recipe)].append(entry.recipe)
        while lane.affords(cost):
            states = [noise.then(("advance", 0, stops[0])) for noise in islice(noises, self.particles)]
            if not states:
                return
            log_w = torch.zeros(len(states), dtype=torch.float64)
            for leg, (stop, below) in enumerate(zip(stops, stops[1:])):
                yield states
                seen[stop] += states
                n = min(numbers[leg + 1], len(states))
                log_w = log_w + self._log_potentials(lane, seen, states, [0, *stops][leg], stop)
                w = self._weights(log_w)
                children = [1] * len(states)
                if n < len(states) or 1 / (w**2).sum() <= self.resample_below * len(states):
                    seed = keyed_seed("particles", lane.space.seed, *(state.id for state in states))
                    dice = torch.Generator("cpu").manual_seed(int(seed))
                    children = self._counts([state.noise for state in states], log_w, n, dice)
                    log_w = torch.zeros(n, dtype=torch.float64)
                states = [
                    self._child(lane, state, number, stop, below)
                    for state, count in zip(states, children)
                    for number in range(count)
                ]
            yield states

    def _log_potentials(
        self, lane: Lane, seen: Mapping[int, list[Recipe]], states: Sequence[Recipe], before: int, stop: int
    ) -> torch.Tensor:
        """λ_t·r with scores r in standard deviations of all `seen` at their stop; −inf where there is none."""
        archive = lane.archive
        lines = [archive.values_of([s for s in prefixes(state) if s in archive]).tolist() for state in states]
        now = [line[-1] if self.score != "max" else highest(line) for line in lines]
        among = archive.values_of(seen[stop])
        potential = self._temper(stop / lane.steps) * torch.tensor(standardised(now, among), dtype=torch.float64)
        if self.score == "difference" and before:
            past = standardised([line[-2] for line in lines], archive.values_of(seen[before]))
            potential -= self._temper(before / lane.steps) * torch.tensor(past)
        return potential.clamp(-1e6, 1e6).nan_to_num(nan=-math.inf)  # so that accumulated weights stay finite

    def _temper(self, share: float) -> float:
        """λ_t after this share of the steps; of infinite tempering only the order matters."""
        if self.tempering == "increasing":
            return self.strength * min((1 + GAMMA) ** (100 * share) - 1, 1)
        return self.strength

    def _weights(self, log_w: torch.Tensor) -> torch.Tensor:
        if log_w.max() == -math.inf:  # nothing could be scored
            return torch.full_like(log_w, 1 / len(log_w))
        if self.tempering == "infinite":
            log_w = torch.where(log_w == log_w.max(), 0.0, -math.inf)
        return log_w.softmax(0)

    def _counts(self, noises: Sequence[Recipe], log_w: torch.Tensor, n: int, dice: torch.Generator) -> list[int]:
        """How many children each has, n in all; particles of one noise are a family. A family that is drawn more often
        than it may be has as many as it may, drawn among its own, and the others are drawn anew for the rest."""
        place, draw = {noise: k for k, noise in enumerate(noises)}, RESAMPLERS[self.resampler]
        family = torch.tensor([place[noise] for noise in noises])
        scored = (family[log_w > -math.inf] if log_w.max() > -math.inf else family).unique()
        least, more = self._share(n, len(scored))
        counts, free = torch.zeros_like(family), torch.ones_like(family).bool()

        def give(own: torch.Tensor, number: int) -> None:
            counts[own] += torch.tensor(draw(self._weights(log_w[own]), number, dice))

        for one in scored if least else ():
            give(family == one, least)
        while True:
            drawn = torch.zeros_like(family)
            drawn[free] = torch.tensor(draw(self._weights(log_w[free]), n - int(counts.sum()), dice))
            over = (torch.bincount(family, drawn.double()) > more).nonzero()
            if not len(over):
                return (counts + drawn).tolist()
            for own in family == over:
                give(own, more)
                free &= ~own

    def _share(self, n: int, families: int) -> tuple[int, int]:
        """How many of n particles each family with a score has, and how many more one may have."""
        share = max(1, math.floor((1 - self.diversity) * n + 1e-9))  # (1 − 0.8)·10 are 2
        return (0, share) if share * families >= n else (n // families, 1)

    def _child(self, lane: Lane, state: Recipe, number: int, stop: int, below: int) -> Recipe:
        """The state's child on the way to the next stop. The first goes on as it is."""
        if number == 0:
            return state.then(("advance", stop, below))
        up = self._raised(stop, lane.steps)
        seed = keyed_seed("path", lane.space.seed, state.id, number)
        return state.then(("renoise", stop, up, seed), ("advance", up, below))

    def _raised(self, stop: int, steps: int) -> int:
        return max(0, stop - max(1, round(self.renoise * steps)))


def highest(line: Sequence[float]) -> float:
    """The highest of the scores on the way to a state; NaN where its own is missing."""
    return line[-1] if math.isnan(line[-1]) else max(r for r in line if not math.isnan(r))
