"""The search of one loop: which candidates its body runs for next, and what comes of them."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...search import Account, Archive, NoiseSpace, Options, Recipe, Result, Search, SearchError
from ...search.outcome import Outcome
from ...search.plan import estimate
from ...search.run import stepwise
from ...search.space import seeded_noise
from . import context, expansion
from .content_key import loop_key
from .controller import KEY, RANDOMISED
from .expansion import INDEX, NOISE, SEED, START, Body
from .histories import memory_of
from .loop_batch import ONE, numbers_of, repeated, rows_of
from .loop_noise import CandidateNoise
from .loop_progress import LoopProgress
from .loop_steps import Images, first_asked, makes_other_noises, recipes_of, sent
from .loop_values import LoopRun, Values
from .run import RunHandle

CHAIN = 64  # runs of the body in one chain: a node's cache key grows with what is before it in its chain
SEARCHES = (START, "NS_SearchWithKSampler", "NS_SearchSampler")
HIGHER, LOWER = "higher", "lower"
OF_WHOLE_IMAGES = (
    "Auto Search, Random Search, Screened Search, Zero-Order Search, Evolutionary Search or Coarse-to-Fine Search"
)
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

    def __init__(self, search: Search, latent: dict, seed: int, batch: int):
        for block in search.blocks:
            _check(block)
        samples, rows = latent["samples"], latent.get("batch_index")
        if batch > 1 and len(samples) > 1:
            raise SearchError(
                f"Search Loop Start: batch is {batch}, and the latent has {len(samples)} rows already, all of them one "
                "candidate: give it a latent of one row, or set batch to 1."
            )
        self.search, self.latent, self.batch = search, latent, batch
        self.space = NoiseSpace(seeded_noise(samples, seed, rows), seed, rows, whole=True)
        self.first = first_asked(search, self.space, batch)
        self.searches: dict[tuple[str, str], LoopSearch] = {}

    def give(self, recipes: Sequence[Recipe], index: int) -> tuple:
        """Start's outputs for candidates that go through the loop together."""
        noise = CandidateNoise.made(self.space, recipes)
        return self, noise, int(recipes[0].seed), repeated(self.latent, len(recipes)), index

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
        remedy = "clear its mid_path" if getattr(block.algorithm, "mid_path", ()) else f"use {OF_WHOLE_IMAGES}"
        raise SearchError(
            f"Search Loop Start: {block.algorithm.name} works inside a sampler, between its steps, where a loop around "
            f"it cannot go: {remedy}, or use Search with KSampler instead of the loop."
        )
    if block.budget.evaluations:
        raise SearchError(
            "Search Budget: a loop cannot see the denoiser's evaluations, since anything may be inside: set "
            "evaluations to 0, and limit images or seconds."
        )


class LoopSearch:
    """The search of one Search Loop End while its prompt runs.

    wanted   the candidates that the body must run for next, together; none when the search is over
    places   theirs among all candidates, from 0
    sent     the candidates that the body was last handed; the user's own nodes are handed the loop's first
    outputs  of End, when the search is over
    done     steps whose copies are not forgotten yet
    """

    def __init__(self, loop: Loop, now: context.Running, body: Body, settings: Settings):
        self.loop, self.body, self._settings = loop, body, settings
        self.name = uuid.uuid4().hex  # ComfyUI must not take this search's steps for those of another
        self.wanted, self.places, self.sent, self.outputs, self.done = [], [0], loop.first, None, []
        self._began = self._asked = time.monotonic()
        self._titles, self._outcome, self._over = body.titles(now), None, False
        inputs = now.node(body.end)["inputs"]
        self._links = [inputs[name] for name in ("score", "value") if context.link(inputs.get(name))]
        self._valued = context.link(inputs.get("value")) is not None
        self._notes = [RANDOMISED] if context.seed_is_randomised(now) else []
        self._by_seed_alone = not body.reads & {NOISE, INDEX}
        self._check_wiring()
        if loop.batch > 1:
            self._check_batch(now)
        key = loop_key(now, self._links, loop.latent["samples"])
        self._values = Values(key, memory_of(key))
        self._images = estimate(loop.search, Images(), 1)
        self._progress = LoopProgress(
            now, body.end, body.start, loop.search.name, self._sign, self._images, self._values, key
        )
        self._progress.announce(self._notes)
        options = Options(settings.keep, settings.on_nan, ["score"], together=loop.batch)
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

    def _check_batch(self, now: context.Running) -> None:
        """What cannot be right for several candidates at once."""
        if any(now.node(id)["class_type"] in SEARCHES for id in self.body.nodes):
            raise SearchError(
                "Search Loop Start: a search inside this loop would not keep its candidates apart: set batch of this "
                "Search Loop Start to 1; that of a loop inside it may be more."
            )
        if self.body.reads & {SEED, INDEX}:
            raise SearchError(
                "Search Loop Start: seed and index are of one candidate, and a batch has several: connect noise "
                f"instead (through Apply Noise for a KSampler, also for that of a second pass), {ONE}."
            )
        told = now.node(self.body.end)["inputs"]["score"]
        source = context.link(told)
        if source and (now.node(source)["class_type"], told[1]) == ("NS_ScoreImages", 0):
            raise SearchError(
                "Search Loop End: score is connected to the score of Score Images, one number for a batch of "
                f"candidates: connect its scores, {ONE}."
            )

    @property
    def left(self) -> int:
        """Runs of the body that may still come, CHAIN at most."""
        return 1 if self._over else int(max(1, min(CHAIN, self._images - self.places[0])))

    @property
    def awaits(self) -> bool:
        """Whether a score that comes now is that of the candidates it wants."""
        return bool(self.wanted) and self.wanted == self.sent

    def tell(self, score: object, value: object) -> None:
        """What the body made of `wanted`."""
        count, seconds = len(self.wanted), time.monotonic() - self._asked
        for recipe, own in zip(self.wanted, rows_of(value, count, self.loop.latent)):
            self._values.put(recipe.id, own)
            self._progress.saw(recipe.id, own)
        if self._over:  # the winner's value was all that was missing
            self.wanted = []
            return
        numbers = self._finite(numbers_of(score, count))
        self._go_on([Result((number,), 1, seconds / count)] for number in numbers)
        self._values.save()

    def _finite(self, numbers: list[float]) -> Iterator[float]:
        """One by one, so that those before one that is no number are remembered."""
        for number, recipe, place in zip(numbers, self.wanted, self.places):
            if not math.isfinite(number) and self._settings.on_nan == "stop":
                raise SearchError(
                    f"Search Loop End: score is {number} for candidate {place}, seed {recipe.seed}, so that "
                    "nothing can be ranked by it; mend what makes it, or set on_nan to exclude."
                )
            yield number

    def _go_on(self, results) -> None:
        order = sent(self._steps, results)
        if order is not None:
            self.wanted, self.places = recipes_of(order), order.places
            if self._by_seed_alone and self.wanted[0].draw != "seed":
                raise SearchError(NEEDS_NOISE.format(self.loop.search.name))
        else:
            self._over, winner = True, self._outcome.winners[0].recipe
            if self._valued and self._values.get(winner.id) is None:  # the history told its score alone
                self.wanted, self._outcome.recalled = [winner], self._outcome.recalled - 1
                self.places = [[entry.recipe for entry in self._outcome.lanes[0].archive.entries].index(winner)]
            else:
                self.wanted = []
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
            noise = CandidateNoise.made(self.loop.space, [winner])
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
