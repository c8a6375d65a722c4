"""Search over paths, Paths-N (Ma et al. 2025, §4.3): branch the denoising path by re-noising it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from ..candidates import Gaussian
from ..lane import Lane
from ..recipe import Recipe, SearchError, keyed_seed


@dataclass(frozen=True)
class SearchOverPaths:
    """N noises are solved to a first stop; each is re-noised M ways by Δf and solved down by Δb > Δf, where
    one more evaluation gives the x̂0 that is scored; the best N go on, until σ reaches 0.

    paths      N, states kept at every stop. Paths-2 and Paths-4 are the paper's.
    branches   M, re-noised copies of each state (not published: 4 is ours)
    first_stop share of the sampling steps before the first stop
    forward    Δf, share of the steps that a state is re-noised by
    backward   Δb, share of the steps that it is then solved down by

    Shares of the step schedule, because noise levels mean different things to different models. The defaults
    follow a FLUX implementation's 11 steps: stop at 5, back up 1, down 3. Each is rounded to at least one
    step, and Δb to at least one more than Δf.

    One round is candidate noises 1 … N (or the N best noises of the blocks before) followed to the end; with
    budget left the next round starts from fresh noises. A round that cannot be paid for is not started.
    Candidate 0 is sampled whole first, so that the result is never worse than the plain image.
    """

    paths: int = 2
    branches: int = 4
    first_stop: float = 5 / 11
    forward: float = 1 / 11
    backward: float = 3 / 11
    candidates: object = field(default_factory=Gaussian)
    name = "Search over Paths"
    path = True

    def __post_init__(self):
        for name in ("paths", "branches"):
            if getattr(self, name) < 1:
                raise SearchError(f"Search over Paths: {name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("first_stop", "forward", "backward"):
            if not 0 < getattr(self, name) < 1:
                raise SearchError(
                    f"Search over Paths: {name} is {getattr(self, name)}; it is a share of the sampling steps, "
                    "above 0 and below 1."
                )
        if self.backward <= self.forward:
            raise SearchError(
                f"Search over Paths: backward ({self.backward:g}) must be larger than forward "
                f"({self.forward:g}), or the path never reaches the end."
            )

    def stops(self, steps: int) -> list[tuple[int, int, int]]:
        """(stop, up, down) for every branching: states at sigma index `stop` go up to `up`, down to `down`."""
        if steps < 2:
            raise SearchError(
                f"Search over Paths needs at least 2 sampling steps to branch between, and the sampler takes {steps}: "
                "raise steps, or use Random Search."
            )
        stop = min(max(1, round(self.first_stop * steps)), steps - 1)
        Δf = max(1, round(self.forward * steps))
        Δb = max(Δf + 1, round(self.backward * steps))
        plan = []
        while stop < steps:
            up = max(0, stop - Δf)
            down = min(steps, up + Δb)
            plan.append((stop, up, down))
            stop = down
        return plan

    def least(self, lane: Lane) -> int:
        """Evaluations per row of one round."""
        plan = self.stops(lane.steps)
        first = self.paths * lane.path_cost(0, plan[0][0])
        branches = sum(lane.path_cost(up, down) + (down < lane.steps) for _, up, down in plan)
        return first + self.paths * self.branches * branches

    def start(self, lane: Lane) -> Running:
        return Running(self, lane)


class Running:
    def __init__(self, settings: SearchOverPaths, lane: Lane):
        self._settings, self._lane = settings, lane
        self._plan = settings.stops(lane.steps)
        self._cost = settings.least(lane)
        self._fresh = lane.fresh(settings.candidates)
        self._begun = {e.recipe.noise.id for e in lane.archive.entries if e.recipe.moves}
        self._starts = [e.recipe.noise for e in lane.archive.ranked()]
        self._starts = [r for r in self._starts if r.id not in self._begun][: settings.paths]
        self._states: list[Recipe] = []  # the N states at the current stop
        self._stop = 0  # which branching of the plan comes next
        self._round: list[Recipe] = []
        self._open: list[Recipe] = []
        if lane.space.base not in lane.archive:
            self._round = self._open = [next(self._fresh)]
            self._starts = []

    @property
    def alive(self) -> list[Recipe]:
        """The states to branch from, and their branches, until all are scored and the best go on."""
        return self._states + [recipe for recipe in self._round if self._states and recipe in self._lane.archive]

    def ask(self, n: int) -> list[Recipe]:
        if not self._round:
            if not self._states:
                self._begin()
            self._round = self._branch()
            self._open = list(self._round)
        asked, self._open = self._open[:n], self._open[n:]
        return asked

    def tell(self) -> None:
        if self._open:
            return
        if self._states:
            children = [r for r in self._round if r in self._lane.archive]
            self._states = [e.recipe for e in self._lane.archive.ranked(children)][: self._settings.paths]
            self._stop += 1
            if self._stop == len(self._plan):
                self._states = []
        self._round = []

    def _begin(self) -> None:
        """N noises at the first stop, if a whole round can be paid for."""
        if not self._lane.affords(self._cost):
            return
        unbegun = (recipe for recipe in self._fresh if recipe.id not in self._begun)
        noises = self._starts + list(islice(unbegun, self._settings.paths - len(self._starts)))
        self._starts, self._stop = [], 0
        self._begun.update(noise.id for noise in noises)
        self._states = [noise.then(("advance", 0, self._plan[0][0])) for noise in noises]

    def _branch(self) -> list[Recipe]:
        if not self._states:
            return []
        stop, up, down = self._plan[self._stop]
        return [
            state.then(
                ("renoise", stop, up, keyed_seed("path", self._lane.space.seed, state.id, branch)),
                ("advance", up, down),
            )
            for state in self._states
            for branch in range(self._settings.branches)
        ]
