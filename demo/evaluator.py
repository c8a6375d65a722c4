"""Renders candidates with Shapes World and scores them: the Evaluator of `search/evaluation.py`, no ComfyUI.

>>> space = NoiseSpace(torch.randn(1, *LATENT), seed=7)
>>> evaluator = WorldEvaluator(load_world(), space, "a red circle left of a blue square", verifier)
>>> outcome = run(Search((Block(RandomSearch()),)), evaluator, space, evaluator.archive, Options())
>>> image = evaluator.images([outcome.winners[0].recipe])
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise

import torch

from ..search import Archive, NoiseSpace, Recipe, Result
from ..search.evaluation import Slot
from ..search.glimpses import Glimpses, Glimpsing, steps_at
from ..search.places import Place, at, descent, steps_between
from ..search.trajectory import Path, end_of, kind_of
from ..verifiers import Verifier
from .world import CFG, STEPS, World

BATCH = 16  # rows that go through the network together


class WorldTrajectory:
    """The four verbs by Euler steps, with one prompt for each of the B rows; `counted` rows were denoised.

    see  see(sigma, x̂0) is called after each step
    """

    def __init__(
        self,
        world: World,
        prompts: Sequence[str],
        steps: int = STEPS,
        cfg: float = CFG,
        see: Callable[[float, torch.Tensor], None] = lambda sigma, x0: None,
    ):
        self.world, self.cfg, self._see = world, cfg, see
        self.cond, self.sigmas = world.encode(prompts), world.schedule(steps)
        self.counted = 0

    def start(self, noises: torch.Tensor) -> torch.Tensor:
        return noises * self.sigmas[0]

    def advance(self, states: torch.Tensor, i: Place, j: int, recipes: Sequence[Recipe] = ()) -> torch.Tensor:
        for here, below in pairwise(descent(i, j)):
            σ, lower = at(self.sigmas, here), self.sigmas[below]
            x0 = self._denoise(states, σ)
            states = states + (states - x0) / σ * (lower - σ)
            self._see(float(σ), x0)
        return states

    def renoise(self, states: torch.Tensor, i: Place, j: Place, noises: torch.Tensor) -> torch.Tensor:
        """The forward kernel of x = s·x0 + σ·ε: a = s′/s, x′ = a·x + √(σ′² − a²σ²)·ε; s = 1 − σ for flows."""
        σ, σ_up = at(self.sigmas, i), at(self.sigmas, j)
        a = self.world.signal(σ_up) / self.world.signal(σ)
        return a * states + (σ_up**2 - a**2 * σ**2).sqrt() * noises

    def preview(self, states: torch.Tensor, i: Place, recipes: Sequence[Recipe] = ()) -> torch.Tensor:
        σ = at(self.sigmas, i)
        return states if σ == 0 else self._denoise(states, σ)

    def _denoise(self, states: torch.Tensor, σ: torch.Tensor) -> torch.Tensor:
        self.counted += len(states)
        copies = len(states) // len(self.cond)
        return self.world.denoise(states, σ, self.cond.repeat(copies, 1, 1), self.cfg)


class WorldEvaluator:
    """See `search/evaluation.py`.

    space    the noises of the B rows
    prompts  one for all rows, or one for each
    batch    rows that go through the network together, at least one candidate's

    `counted` rows went through the guided denoiser, `forwards` through the network.
    """

    def __init__(
        self,
        world: World,
        space: NoiseSpace,
        prompts: str | Sequence[str],
        verifier: Verifier,
        steps: int = STEPS,
        cfg: float = CFG,
        batch: int = BATCH,
    ):
        self.world, self.verifier = world, verifier
        self.prompts = [prompts] * space.rows if isinstance(prompts, str) else list(prompts)
        if len(self.prompts) != space.rows:
            raise ValueError(f"{len(self.prompts)} prompts for {space.rows} rows: give one, or one for each row.")
        self.steps = self.whole = steps
        self.space, self._together = space, max(1, batch // space.rows)
        sigmas = world.schedule(steps)
        self.noise = (sigmas / (world.signal(sigmas) + sigmas)).tolist()
        glimpses = Glimpses(steps_at(verifier.levels, self.noise[:-1], sigmas[:-1].tolist()))
        with torch.inference_mode():
            self._flow = WorldTrajectory(world, self.prompts, steps, cfg, glimpses.see)
        self._trajectory = Glimpsing(self._flow, glimpses)
        self._path = Path()
        self._latents: dict[tuple[int, str], torch.Tensor] = {}

    @property
    def counted(self) -> int:
        return self._flow.counted

    @property
    def forwards(self) -> int:
        return self.counted * (1 if self._flow.cfg == 1 else 2)

    def archive(self) -> Archive:
        """An empty archive with the verifier's rule."""
        signs = [m.sign if searched else 0 for m, searched in zip(self.verifier.measures, self.verifier.searched)]
        return Archive(self.verifier.rule, signs)

    def path_cost(self, i: Place, j: int) -> int:
        return steps_between(i, j)

    def cost(self, slots: Sequence[Slot]) -> int:
        paths = [slot for slot in slots if slot[0].moves]
        along = self._path.cost(paths, self.noise, self.path_cost)
        return self.space.rows * (along + (len(slots) - len(paths)) * self.steps)

    def evaluate(self, slots: Sequence[Slot], enough: Callable[[], bool]) -> Iterator[list[Result]]:
        done = 0
        for _, alike in groupby(slots, lambda slot: kind_of(slot[0])):
            alike = list(alike)
            while alike:
                if done and enough():
                    return
                together, alike = alike[: self._together], alike[self._together :]
                yield from self._results(together)
                done += len(together)

    def keep(self, finished: Sequence[Sequence[Recipe]], alive: Sequence[Sequence[Recipe]]) -> None:
        self._path.keep(alive)
        wanted = {(lane, recipe.id) for lane, recipes in enumerate(finished) for recipe in recipes}
        self._latents = {place: latent for place, latent in self._latents.items() if place in wanted}

    @torch.inference_mode()
    def images(self, recipes: Sequence[Recipe], lane: int = 0) -> torch.Tensor:
        """[n, 256, 256, 3] in 0–1: kept candidates of one lane."""
        return self.world.decode(torch.cat([self._latents[lane, recipe.id] for recipe in recipes]))

    @torch.inference_mode()
    def _results(self, slots: Sequence[Slot]) -> list[list[Result]]:
        """Solve, decode and score slots of one kind."""
        began = time.perf_counter()
        costs, states = self._paths(slots) if slots[0][0].moves else self._whole(slots)
        end = end_of(slots[0][0]) if slots[0][0].moves else self.steps
        finals = self._trajectory.preview(states, end, ())
        earlier = {level: self.world.decode(x0) for level, x0 in self._trajectory.seen(states).items()}
        prompts = self.prompts * len(slots)
        rows = self.verifier.measure(self.world.decode(finals), prompts, earlier=earlier).tolist()
        seconds = (time.perf_counter() - began) / len(rows)
        results = []
        for n, (slot, cost) in enumerate(zip(slots, costs, strict=True)):
            first = n * len(slot)
            results.append([Result(tuple(row), cost, seconds) for row in rows[first : first + len(slot)]])
            if not slot[0].moves or end_of(slot[0]) == self.steps:
                places = [(lane, recipe.id) for lane, recipe in enumerate(slot)]
                self._latents.update(zip(places, finals[first : first + len(slot)].clone().split(1)))
        return results

    def _whole(self, slots: Sequence[Slot]) -> tuple[list[int], torch.Tensor]:
        noises = torch.cat([self.space.rows_of(slot) for slot in slots])
        states = self._trajectory.advance(self._trajectory.start(noises), 0, self.steps, ())
        return [self.steps] * len(slots), states

    def _paths(self, slots: Sequence[Slot]) -> tuple[list[int], torch.Tensor]:
        costs = self._path.costs(slots, self.noise, self.path_cost)
        self._path.solve(self._trajectory, self.space, slots, self._together)
        return costs, self._path.gather(slots)
