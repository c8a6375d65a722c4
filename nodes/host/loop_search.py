"""The search of one loop: which candidate its body runs for next, and what comes of it."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...search import Account, Archive, NoiseSpace, Options, Recipe, Result, Search, SearchError
from ...search.plan import estimate
from ...search.run import Outcome, stepwise
from ...search.space import seeded_noise
from . import context, expansion
from .content_key import loop_key
from .controller import KEY, RANDOMISED
from .expansion import INDEX, NOISE, SEED, Body
from .histories import memory_of
from .loop_noise import CandidateNoise
from .loop_progress import LoopProgress
from .loop_values import LoopRun, Values
from .run import RunHandle

CHAIN = 64  # runs of the body in one chain: a node's cache key grows with what is before it in its chain
REHEARSED = 256  # candidates looked at for one that no seed draws, before anything runs
HIGHER, LOWER = "higher", "lower"
NEEDS_NOISE = (
    "Search Loop Start: {} makes noises that no seed draws, and only seed is connected: connect noise to the sampler "
    "(through Apply Noise for a KSampler), or use Random Search."
)


@dataclass(frozen=True)
class Settings:
    """What End asks for. better: HIGHER or LOWER scores; keep: values kept for results; on_nan: as elsewhere."""

    better: str = HIGHER
    keep: int = 8
    on_nan: str = "stop"


class Loop:
    """NS_LOOP: what Start gives to End. Raises SearchError where the search cannot run in a loop."""

    def __init__(self, search: Search, latent: dict, seed: int):
        for block in search.blocks:
            _check(block)
        samples, rows = latent["samples"], latent.get("batch_index")
        self.search, self.latent = search, latent
        self.space = NoiseSpace(seeded_noise(samples, seed, rows), seed, rows, whole=True)
        self.searches: dict[tuple[str, str], LoopSearch] = {}

    def give(self, recipe: Recipe, index: int) -> tuple:
        """Start's outputs for a candidate."""
        return self, CandidateNoise.made(self.space, recipe), int(recipe.seed), self.latent, index

    def search_of(self, now: context.Running, settings: Settings) -> LoopSearch:
        """That of the End that is running, or that it is a copy of; begun where it is not under way."""
        end = now.node(now.node_id)["inputs"].get("loop_end", now.node_id)
        place = (now.prompt_id, end)
        if place not in self.searches:
            self.searches = {key: search for key, search in self.searches.items() if key[0] == now.prompt_id}
            self.searches[place] = LoopSearch(self, now, expansion.body_of(now, end), settings)
        return self.searches[place]


def _check(block) -> None:
    if block.algorithm.path:
        raise SearchError(
            f"Search Loop Start: {block.algorithm.name} works inside a sampler, between its steps, where a loop around "
            "it cannot go: use Random Search, Zero-Order Search, Evolutionary Search or Coarse-to-Fine Search, or "
            "Search with KSampler instead of the loop."
        )
    if block.budget.evaluations:
        raise SearchError(
            "Search Budget: a loop cannot see the denoiser's evaluations, since anything may be inside: set "
            "evaluations to 0, and limit images or seconds."
        )


@dataclass(frozen=True)
class Images:
    """What `stepwise` asks of an Evaluator: one run of the body is one evaluation, and one image."""

    keep: Callable[[Sequence[Sequence[Recipe]], Sequence[Sequence[Recipe]]], None] = lambda finished, alive: None
    steps = whole = 1
    noise = (1.0, 0.0)

    def path_cost(self, i: int, j: int) -> int:
        return j - i

    def cost(self, slots: Sequence) -> int:
        return len(slots)


def makes_other_noises(search: Search, space: NoiseSpace) -> bool:
    """Whether the search makes noises that no seed draws: seen by going through it, whatever its scores, which hardly
    change how noises are drawn."""
    space = NoiseSpace(space.given, space.seed, space.batch_index, whole=True)
    archive = lambda: Archive(lambda rows: rows[:, 0], (1,))  # noqa: E731
    steps, results = stepwise(search, Images(), space, archive, Options(together=1)), None
    for _ in range(REHEARSED):
        order = _sent(steps, results)
        if order is None:
            return False
        if order.slots[0][0].draw != "seed":
            return True
        results = [[Result((0.0,), 1, 0.0)]]
    return False


class LoopSearch:
    """The search of one Search Loop End while its prompt runs.

    wanted   the candidate that the body must run for next; None when the search is over
    index    its place among the candidates, from 0
    sent     the id of the candidate that the body was last handed; the user's own nodes are handed candidate 0
    outputs  of End, when the search is over
    done     steps whose copies are not forgotten yet
    """

    def __init__(self, loop: Loop, now: context.Running, body: Body, settings: Settings):
        self.loop, self.body, self._settings = loop, body, settings
        self.name = uuid.uuid4().hex  # ComfyUI must not take this search's steps for those of another
        self.wanted, self.index, self.sent, self.outputs, self.done = None, 0, loop.space.base.id, None, []
        self._began = self._asked = time.monotonic()
        self._titles, self._outcome, self._over = body.titles(now), None, False
        inputs = now.node(body.end)["inputs"]
        self._links = [inputs[name] for name in ("score", "value") if context.link(inputs.get(name))]
        self._valued = context.link(inputs.get("value")) is not None
        self._notes = [RANDOMISED] if context.seed_is_randomised(now) else []
        self._by_seed_alone = not body.reads & {NOISE, INDEX}
        self._check_wiring()
        key = loop_key(now, self._links, loop.latent["samples"])
        self._values = Values(key, memory_of(key))
        self._images = estimate(loop.search, Images(), 1)
        self._progress = LoopProgress(
            now, body.end, body.start, loop.search.name, self._sign, self._images, self._values, key
        )
        self._progress.announce(self._notes)
        options = Options(settings.keep, settings.on_nan, ["score"], together=1)
        evaluator = Images(lambda finished, alive: self._values.keep({recipe.id for recipe in finished[0]}))
        search, enough = self._signed(loop.search), self._progress.board.enough
        told = (memory_of(key), self._observe, enough)
        self._steps = stepwise(search, evaluator, loop.space, self._archive, options, *told)
        self._go_on(None)

    @property
    def _sign(self) -> int:
        return -1 if self._settings.better == LOWER else 1

    def _archive(self) -> Archive:
        return Archive(lambda rows: self._sign * rows[:, 0], (self._sign,))

    def _signed(self, search: Search) -> Search:
        """Its target scores as values: where lower scores are better, a value is the score's negative."""
        budgets = [block.budget for block in search.blocks]
        aims = [replace(b, target=b.target if b.target is None else self._sign * b.target) for b in budgets]
        return Search(tuple(replace(block, budget=aim) for block, aim in zip(search.blocks, aims)))

    def _check_wiring(self) -> None:
        if not self.body.reads & {NOISE, SEED, INDEX}:
            raise SearchError(
                "Search Loop Start: neither noise nor seed leads into the loop, so that every candidate would be the "
                "same: connect noise to the sampler (through Apply Noise for a KSampler), or seed to its seed."
            )
        if self._by_seed_alone and makes_other_noises(self.loop.search, self.loop.space):
            raise SearchError(NEEDS_NOISE.format(self.loop.search.name))

    @property
    def left(self) -> int:
        """Runs of the body that may still come, CHAIN at most."""
        return 1 if self._over else int(max(1, min(CHAIN, self._images - self.index)))

    @property
    def awaits(self) -> bool:
        """Whether a score that comes now is that of the candidate it wants."""
        return self.wanted is not None and self.wanted.id == self.sent

    def tell(self, score: object, value: object) -> None:
        """What the body made of `wanted`."""
        recipe, seconds = self.wanted, time.monotonic() - self._asked
        self._values.put(recipe.id, value)
        self._progress.saw(recipe.id, value)
        if self._over:  # the winner's value was all that was missing
            self.wanted = None
            return
        self._go_on([[Result((self._number(score),), 1, seconds)]])
        self._values.save()

    def _number(self, score: object) -> float:
        try:
            number = float(score)
        except (TypeError, ValueError) as error:
            raise SearchError(
                f"Search Loop End: score is {type(score).__name__} and not a number; connect the score of Score "
                "Images, or a FLOAT."
            ) from error
        if not math.isfinite(number) and self._settings.on_nan == "stop":
            raise SearchError(
                f"Search Loop End: score is {number} for candidate {self.index}, seed {self.wanted.seed}, so that "
                "nothing can be ranked by it; mend what makes it, or set on_nan to exclude."
            )
        return number

    def _go_on(self, results) -> None:
        order = _sent(self._steps, results)
        if order is not None:
            self.wanted = order.slots[0][0]
            self.index = len(self._outcome.lanes[0].archive) if self._outcome else 0
            if self._by_seed_alone and self.wanted.draw != "seed":
                raise SearchError(NEEDS_NOISE.format(self.loop.search.name))
        else:
            self._over, winner = True, self._outcome.winners[0].recipe
            if self._valued and self._values.get(winner.id) is None:  # the history told its score alone
                self.wanted, self._outcome.recalled = winner, self._outcome.recalled - 1
                self.index = [entry.recipe for entry in self._outcome.lanes[0].archive.entries].index(winner)
            else:
                self.wanted = None
        self._asked = time.monotonic()

    def _observe(self, outcome: Outcome) -> None:
        self._outcome = outcome
        winner = outcome.winners[0]
        if winner is not None:
            self._values.best(winner.recipe.id)
        self._progress.told(outcome)

    def close(self, now: context.Running) -> tuple:
        """End's outputs."""
        if self.outputs is None:
            winner = self._outcome.winners[0].recipe
            noise = CandidateNoise.made(self.loop.space, winner)
            self._values.save()
            account = self._account(winner)
            handle = RunHandle(needs_after=False)
            handle.add((self.body.end, 0), LoopRun(account, lambda: noise, self._values, None))
            if now.extra_pnginfo is not None:  # for the PNG that SaveImage writes later in this prompt
                now.extra_pnginfo[KEY] = noise.to_metadata()
            self._progress.done(account)
            self.outputs = (self._values.get(winner.id), noise, int(winner.seed), handle)
        return self.outputs

    def _account(self, winner: Recipe) -> Account:
        notes = list(self._notes)
        if winner.draw != "seed":
            notes.append("No seed alone draws the winner: use End's noise, not its seed.")
        return Account.of(
            self._outcome,
            search=self.loop.search.name,
            measures=["score"],
            searched=[True],
            signs=[self._sign],
            forwards=0,
            estimate=self._images,
            seconds=time.monotonic() - self._began,
            shape=list(self.loop.latent["samples"].shape),
            seed=str(self.loop.space.seed),
            sampler=self._titles,
            steps=1,
            notes=notes,
            unit="images",
        )


def _sent(steps, results):
    """The next order, or None where the search is over."""
    try:
        return steps.send(results)
    except StopIteration:
        return None
