"""Rollover budget forcing, RBF (arXiv 2503.19385): what one step does not need, the next may spend."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from ..candidates import Gaussian
from ..lane import Lane
from ..places import Place, place_of
from ..recipe import Recipe, SearchError, keyed_seed
from ..variance_preserving import diffused, integral, published, raised, time_of
from .rounds import Plan, Rounds
from .stops import check_steps

CONVERSIONS = {"none": None, "variance preserving": published, "strong variance preserving": integral}
"""∫₀ᵗ g² of the SDE that says how far children are raised."""
ALIKE = 0.01  # less of a state's variance renewed than this, and a second child is the first


@dataclass(frozen=True)
class RolloverSearch:
    """From the best of many noises, go down leg by leg: children are drawn one at a time, the first that beats
    the best so far is taken at once, and its unused quota rolls over to the next leg.

    noises      fresh noises judged by x̂0 after one step: 25
    legs        in which the way down is cut at equal shares of the steps, or of the conversion's time: 10 in the paper
    quota       children of a leg
    renoise     share of the steps by which a child is raised by the forward kernel, so that it differs
    conversion  how far it is raised instead: as far as the published SDE's noise reaches over the leg, or as that with
                g² = dT/dt (ours, "strong"); see `variance_preserving.py`. "none": by `renoise`

    The paper makes a flow model stochastic by converting it to a variance-preserving SDE of g = 3t². Here a child is
    raised by the model's own forward kernel, between two steps of the schedule, and solved down by the user's sampler:
    for as much new noise as the SDE has, the same to first order. What is given is levels of noise alone, so models of
    any family are converted alike. g falls so fast that late legs hardly move: where a leg would renew less than ALIKE
    of a state, it has one child and its quota rolls over. In our benchmark the published g finds less than "none", and
    the strong one as much: hence the default.

    The first child goes on as it is. A leg whose quota ends takes its best child. A round costs the same, or less,
    whatever is found; with budget left the next begins from fresh noises. Candidate 0 is sampled whole first. Where
    unfinished images are scored by another measure than finished ones, nothing tells whether a child of the last leg is
    better than its parent: its whole quota is drawn.
    """

    noises: int = 25
    legs: int = 5
    quota: int = 4
    renoise: float = 0.05
    candidates: object = field(default_factory=Gaussian)
    conversion: str = "none"
    name = "Rollover Search"
    path = True

    def __post_init__(self):
        for name in ("noises", "legs", "quota"):
            if getattr(self, name) < 1:
                raise SearchError(f"Rollover Search: {name} is {getattr(self, name)}; it must be at least 1.")
        if self.conversion not in CONVERSIONS:
            raise SearchError(f"Rollover Search: conversion is {self.conversion!r}; use {', '.join(CONVERSIONS)}.")
        if not 0 < self.renoise <= 1:
            raise SearchError(f"Rollover Search: renoise is {self.renoise}; it is a share from 0 to 1.")

    def stops(self, lane: Lane) -> list[int]:
        """Sigma indices between the legs: one step, then equal shares (the nearest steps to them), and the end."""
        steps = lane.steps
        check_steps(self.name, steps)
        if not self._diffusion:
            return sorted({1, *(max(1, round(steps * n / self.legs)) for n in range(1, self.legs + 1)), steps})
        times = [time_of(s) for s in lane.noise]
        wanted = [times[1] + n / self.legs * (times[-1] - times[1]) for n in range(1, self.legs + 1)]
        return sorted({1, *(min(range(1, steps + 1), key=lambda n: abs(times[n] - t)) for t in wanted), steps})

    def least(self, lane: Lane) -> int:
        """Evaluations per row of one round in which every quota is used up."""
        stops = self.stops(lane)
        legs = list(zip(stops, stops[1:]))
        costs = [lane.path_cost(self._raised(lane, i, j), j) + lane.look_cost(j) for i, j in legs]
        dearest = [max(costs[n:]) for n in range(len(costs))]  # where a leg's quota may roll over to
        return self.noises * (lane.path_cost(0, stops[0]) + 1) + self.quota * sum(dearest)

    def start(self, lane: Lane) -> Rounds:
        held: list[Recipe] = []
        return Rounds(self._plan(lane, held), lane, held)

    def _plan(self, lane: Lane, held: list[Recipe]) -> Plan:
        if lane.space.base not in lane.archive:
            yield [lane.space.base]
        stops, fresh, archive = self.stops(lane), lane.unbegun(self.candidates), lane.archive
        while lane.affords(self.least(lane)):
            states = [noise.then(("advance", 0, stops[0])) for noise in islice(fresh, self.noises)]
            if not states:
                return
            yield states
            state, left = self._best(lane, states), 0
            for stop, below in zip(stops, stops[1:]):
                held[:], left, children = [state], left + self.quota, []
                up = self._raised(lane, stop, below)
                best = archive.value(state) if below < lane.steps or not archive.early else math.inf
                while left:
                    children.append(self._child(lane, state, len(children), stop, up, below))
                    yield children[-1:]
                    held.append(children[-1])
                    left -= 1
                    if archive.value(children[-1]) > best or up == stop:
                        break
                state = self._best(lane, children)
            held.clear()

    def _best(self, lane: Lane, states: list[Recipe]) -> Recipe:
        ranked = lane.archive.ranked(states)
        return ranked[0].recipe if ranked else states[0]

    def _child(self, lane: Lane, state: Recipe, number: int, stop: int, up: Place, below: int) -> Recipe:
        if number == 0:
            return state.then(("advance", stop, below))
        seed = keyed_seed("path", lane.space.seed, state.id, number)
        return state.then(("renoise", stop, up, seed), ("advance", up, below))

    @property
    def _diffusion(self) -> Callable[[float], float] | None:
        return CONVERSIONS[self.conversion]

    def _raised(self, lane: Lane, stop: int, below: int) -> Place:
        if not self._diffusion:
            return max(0, stop - max(1, round(self.renoise * lane.steps)))
        leg = lane.noise[stop], lane.noise[below], self._diffusion
        return place_of(lane.noise, raised(*leg)) if diffused(*leg) >= ALIKE else stop
