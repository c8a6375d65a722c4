"""Search over paths, Paths-N (Ma et al. 2025, §4.3): branch the denoising path by re-noising it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from ..candidates import Gaussian
from ..lane import Lane
from ..recipe import SEEDS, Recipe, SearchError, keyed_seed
from .rounds import Plan, Rounds
from .stops import check_steps, stop_at


@dataclass(frozen=True)
class SearchOverPaths:
    """N noises are solved to a first stop; each is re-noised M ways by Δf and solved down by Δb > Δf, where
    one more evaluation gives the x̂0 that is scored; the best N go on, until σ reaches 0.

    paths      N, states kept at every stop. Paths-2 and Paths-4 are the paper's.
    branches   M, re-noised copies of each state (not published: 4 is ours)
    first_stop share of the sampling steps before the first stop
    forward    Δf, share of the steps that a state is re-noised by
    backward   Δb, share of the steps that it is then solved down by
    rounds     of M branches at every stop. From the second round on, a branch's noise is fresh with probability
    explore    ε, and else at
    cosine     λ to the noise of the state's best branch so far; at the first and the last stop all are fresh.

    Shares of the step schedule, because noise levels mean different things to different models. The defaults
    follow a FLUX implementation's 11 steps: stop at 5, back up 1, down 3. Each is rounded to at least one
    step, and Δb to at least one more than Δf.

    One round is candidate noises 1 … N (or the N best noises of the blocks before) followed to the end; with
    budget left the next round starts from fresh noises. A round that cannot be paid for is not started.
    Candidate 0 is sampled whole first, so that the result is never worse than the plain image.

    One round of branches is Ma et al.'s search. More are the ε-greedy noise-trajectory search of arXiv 2506.03164:
    each stop is a bandit whose arms are injected noises. Its ε and λ here are ours.
    """

    paths: int = 2
    branches: int = 4
    first_stop: float = 5 / 11
    forward: float = 1 / 11
    backward: float = 3 / 11
    rounds: int = 1
    explore: float = 0.4
    cosine: float = 0.95
    candidates: object = field(default_factory=Gaussian)
    name = "Search over Paths"
    path = True

    def __post_init__(self):
        for name in ("paths", "branches", "rounds"):
            if getattr(self, name) < 1:
                raise SearchError(f"Search over Paths: {name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("first_stop", "forward", "backward"):
            if not 0 < getattr(self, name) < 1:
                raise SearchError(
                    f"Search over Paths: {name} is {getattr(self, name)}; it is a share of the sampling steps, "
                    "above 0 and below 1."
                )
        if not 0 <= self.explore <= 1:
            raise SearchError(f"Search over Paths: explore is {self.explore}; it must be from 0 to 1.")
        if not 0 <= self.cosine < 1:
            raise SearchError(f"Search over Paths: cosine is {self.cosine}; it must be from 0 to below 1.")
        if self.backward <= self.forward:
            raise SearchError(
                f"Search over Paths: backward ({self.backward:g}) must be larger than forward "
                f"({self.forward:g}), or the path never reaches the end."
            )

    def stops(self, steps: int) -> list[tuple[int, int, int]]:
        """(stop, up, down) for every branching: states at sigma index `stop` go up to `up`, down to `down`."""
        check_steps(self.name, steps, "branch")
        stop = stop_at(self.first_stop, steps)
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
        branches = sum(lane.path_cost(up, down) + lane.look_cost(down) for _, up, down in plan)
        return first + self.paths * self.branches * self.rounds * branches

    def start(self, lane: Lane) -> Rounds:
        held: list[Recipe] = []
        return Rounds(self._plan(lane, held), lane, held)

    def _plan(self, lane: Lane, held: list[Recipe]) -> Plan:
        stops, cost, fresh = self.stops(lane.steps), self.least(lane), lane.unbegun(self.candidates)
        begun = {entry.recipe.noise.id for entry in lane.archive.entries if entry.recipe.moves}
        starts = [entry.recipe.noise for entry in lane.archive.ranked()]
        starts = [noise for noise in starts if noise.id not in begun][: self.paths]
        if lane.space.base not in lane.archive:
            yield [lane.space.base]
            starts = []
        while lane.affords(cost):
            noises = starts + list(islice(fresh, self.paths - len(starts)))
            if not noises:
                return
            starts, states = [], [noise.then(("advance", 0, stops[0][0])) for noise in noises]
            for n, branching in enumerate(stops):
                ε = self.explore if 0 < n < len(stops) - 1 else 1.0  # the ends are explored, the middle is refined
                tried: list[list[Recipe]] = [[] for _ in states]
                for _ in range(self.rounds):
                    held[:] = states + [branch for family in tried for branch in family]
                    drawn = [self._branches(lane, state, family, branching, ε) for state, family in zip(states, tried)]
                    yield [branch for branches in drawn for branch in branches]
                    tried = [family + branches for family, branches in zip(tried, drawn)]
                ranked = lane.archive.ranked([branch for family in tried for branch in family])
                states = [entry.recipe for entry in ranked][: self.paths]
            held.clear()

    def _branches(
        self, lane: Lane, state: Recipe, family: list[Recipe], branching: tuple[int, int, int], ε: float
    ) -> list[Recipe]:
        """The state re-noised M more ways. With probability 1 − ε the noise is near that of its best branch so far."""
        (stop, up, down), best, branches = branching, lane.archive.ranked(family)[:1], []
        for number in range(len(family), len(family) + self.branches):
            noise = (keyed_seed("path", lane.space.seed, state.id, number),)
            if best and int(keyed_seed("explore", lane.space.seed, state.id, number)) >= ε * SEEDS:
                first, *nearer = best[0].recipe.moves[-2][3:]
                noise = (first, float(self.cosine), *nearer[1:], *noise)
            branches.append(state.then(("renoise", stop, up, *noise), ("advance", up, down)))
        return branches
