"""Runs a search: asks the algorithms, evaluates within the budget, tells them, keeps what must be kept.

`run` calls an evaluator. `stepwise` is the same search turned inside out: it hands out what to evaluate and waits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field

from .archive import Archive, Entry
from .budget import Budget
from .evaluation import Evaluator, Memory, Result, Slot
from .lane import Lane
from .outcome import Outcome, Stage
from .plan import Block, Options, Search, check
from .recipe import Recipe, SearchError
from .space import NoiseSpace
from .trajectory import Ledger, is_finished
from .turn import Turn, fitting, lost, price, recall, remembered, side_by_side
from .worth import expected_gain

GENERATION = 16  # candidates asked together at most; fixed, so that a run does not depend on free memory


@dataclass(frozen=True)
class Order:
    """What a search wants evaluated next: see `Evaluator.evaluate`. places: of the slots, among all candidates."""

    slots: Sequence[Slot]
    places: Sequence[int]
    enough: Callable[..., bool]


Steps = Generator[Order, Iterable[list[Result]], Outcome]


def run(
    search: Search,
    evaluator: Evaluator,
    space: NoiseSpace,
    archive: Callable[[], Archive],
    options: Options,
    memory: Memory | None = None,
    observe: Callable[[Outcome], None] = lambda outcome: None,
    enough: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Search every row of the latent batch and return what happened.

    archive  makes an empty archive with the verifier's rule
    memory   earlier evaluations of the same search: told again, not computed again
    observe  called after every generation
    enough   asked between batches: end early and keep the best
    """
    steps, results = stepwise(search, evaluator, space, archive, options, memory, observe, enough), None
    while True:
        try:
            order = steps.send(results)
        except StopIteration as end:
            return end.value
        results = evaluator.evaluate(order.slots, order.enough)


def stepwise(
    search: Search,
    evaluator: Evaluator,
    space: NoiseSpace,
    archive: Callable[[], Archive],
    options: Options,
    memory: Memory | None = None,
    observe: Callable[[Outcome], None] = lambda outcome: None,
    enough: Callable[[], bool] = lambda: False,
) -> Steps:
    """`run`, for evaluations that no call can make: it yields each order and is sent the order's results, a list
    for each slot, which are taken one by one; it returns the outcome. The evaluator only tells costs, and what to
    keep is told to it."""
    check(search, evaluator, space, options)
    way = {"path_cost": evaluator.path_cost, "noise": evaluator.noise}
    lanes = [Lane(archive(), space, evaluator.steps, row=n, **way) for n in range(space.rows)]
    outcome = Outcome(lanes)
    running = _Run(outcome, evaluator, options, memory, observe, enough)
    for block in search.blocks:
        yield from running.block(block)
        if outcome.stages[-1].ended in ("target reached", "stopped"):
            break
    if any(winner is None for winner in outcome.winners):
        raise SearchError("Every candidate was left out, since the verifier gave no number for any of them.")
    return outcome


@dataclass
class _Run:
    """A search under way."""

    outcome: Outcome
    evaluator: Evaluator
    options: Options
    memory: Memory | None
    observe: Callable[[Outcome], None]
    enough: Callable[[], bool]
    ledger: Ledger = field(default_factory=Ledger)
    _parted: int = 0  # stages

    @property
    def lanes(self) -> list[Lane]:
        return self.outcome.lanes

    @property
    def whole(self) -> int | None:
        """Evaluations of one full sampling of one row, or None before the first has told."""
        first = self.lanes[0].archive.entries[:1]
        return self.evaluator.whole or next((entry.nfe for entry in first if not entry.recipe.moves), None)

    def block(self, block: Block) -> Generator[Order, Iterable[list[Result]], None]:
        """Run one block with its own budget and what the block before left."""
        began, before = time.monotonic(), (self.outcome.stages or [Stage("", 0, 0)])[-1]
        left = max(0, before.limit - before.spent) if math.isfinite(before.limit) else 0

        def limit() -> float:
            return left + block.budget.limit(self.whole and self.whole * len(self.lanes))

        def late() -> bool:
            return self.enough() or bool(stage.seconds and time.monotonic() - began >= stage.seconds)

        def affords(cost: int) -> bool:
            stage.limit = limit()
            stage.short = stage.spent + cost * len(self.lanes) > stage.limit
            if stage.short:
                self._part(running)
            return not stage.short

        stage = Stage(block.algorithm.name, limit(), block.budget.seconds and block.budget.seconds + before.seconds)
        stage.begun = tuple(len(lane.archive) for lane in self.lanes)
        self.outcome.stages.append(stage)
        for lane in self.lanes:
            lane.affords = affords
        running = [(block.algorithm.start(lane), []) for lane in self.lanes]
        while not stage.ended:
            why = yield from self._generation(running, block, stage, late)
            stage.limit = limit()
            stage.ended = self._end(stage, block.budget, late) or why
        self._part(running)
        stage.seconds = stage.seconds and max(0.0, stage.seconds - (time.monotonic() - began))

    def _generation(
        self, running: Sequence, block: Block, stage: Stage, late: Callable[[], bool]
    ) -> Generator[Order, Iterable[list[Result]], str]:
        """Ask, evaluate, tell, keep. Why no other generation can follow, or "".

        running  for each lane its running algorithm, and what that asked and was not told yet
        """
        for search, asked in running:
            asked.extend([] if asked else search.ask(self._size(block, stage)))
        busy = [bool(asked) for _, asked in running]
        known = [len(lane.archive) for lane in self.lanes]
        turns = side_by_side([asked for _, asked in running], known, self.ledger)
        if not turns:
            return "budget spent" if stage.short else "nothing left to try"
        recall(turns, self.memory)
        price(turns, self.ledger, self.evaluator, self.whole or self.evaluator.steps, self.outcome.recalled)
        fit = fitting(turns, stage.limit - stage.spent)
        if not fit:
            return "budget spent"
        gone = self._wasted()

        def cut_short(slots: int = len(fit)) -> bool:
            lost, new = self._wasted() - gone, [turn for turn in fit if not turn.known]
            price = sum(turn.price for turn in fit if turn.known) + sum(turn.price for turn in new[:slots])
            return late() or (lost > 0 and stage.spent + lost + price > stage.limit)

        new = [turn.slot for turn in fit if not turn.known]
        places = [n for n, turn in enumerate(fit, len(self.lanes[0].archive)) if not turn.known]
        results = (yield Order(new, places, cut_short)) if new else ()
        told = list(remembered(fit, results, self.memory, self._signs))
        self._tell(told, stage)
        stage.spent += self._wasted() - gone
        self.outcome.spent += self._wasted() - gone
        for (search, asked), was_busy in zip(running, busy, strict=True):
            if was_busy and not asked:
                search.tell()
        stage.notes = _notes([search for search, _ in running], stage)
        self._keep(running)
        self.observe(self.outcome)
        if len(told) == len(turns):
            return ""
        return ("stopped" if self.enough() else "time is up") if late() else "budget spent"

    def _alive(self, running: Sequence) -> list[list[Recipe]]:
        """For each lane the states that it or its riders may go on from."""
        return self.ledger.with_riders([search.alive for search, _ in running])

    def _part(self, running: Sequence) -> None:
        """Where a block first cannot pay for what it wants, or else where it ends, a run with more budget goes another
        way: from what is alive now."""
        if self._parted < len(self.outcome.stages) and hasattr(self.evaluator, "leave"):
            self._parted = len(self.outcome.stages)
            self.evaluator.leave(self._alive(running))

    def _keep(self, running: Sequence) -> None:
        alive = self._alive(running)
        self.evaluator.keep([_kept(lane.archive, self.options.keep) for lane in self.lanes], alive)
        self.ledger.keep(alive)

    def _signs(self, recipe: Recipe) -> Sequence[int]:
        return self.lanes[0].archive.signs_of(is_finished(recipe, self.evaluator.steps))

    def _wasted(self) -> int:
        return getattr(self.evaluator, "wasted", 0)

    def _size(self, block: Block, stage: Stage) -> int:
        """Candidates to ask for: one, where the first sampling tells its cost; no more than patience allows."""
        if not self.whole:
            return 1
        together = self.options.together or GENERATION
        if not block.budget.patience or block.algorithm.path:
            return together
        return min(together, block.budget.patience - self._fruitless(stage))

    def _tell(self, told: Sequence[tuple[Turn, list[Result]]], stage: Stage) -> None:
        generation = 1 + max((lane.archive.entries[-1].generation for lane in self.lanes if lane.archive), default=-1)
        for turn, results in told:
            spent = sum(result.nfe for result in results)
            stage.spent += spent
            stage.idle += sum(result.nfe for asking, result in zip(turn.asking, results) if not asking)
            stage.candidates += 1
            self.outcome.spent += spent
            self.outcome.recalled += spent if turn.known else -turn.again
            self.outcome.seconds += 0 if turn.known else sum(result.seconds for result in results)
            self.ledger.enter(turn.slot)
            for lane, recipe, asking, result in zip(self.lanes, turn.slot, turn.asking, results, strict=True):
                if asking:
                    complete = is_finished(recipe, self.evaluator.steps)
                    why = _exclusion(result, self._signs(recipe), self.options)
                    row, features = result.row[: len(lane.archive.signs)], result.row[len(lane.archive.signs) :]
                    entry = Entry(recipe, row, result.nfe, result.seconds, generation, complete, why)
                    lane.archive.add(entry, features)

    def _end(self, stage: Stage, budget: Budget, late: Callable[[], bool]) -> str:
        """Why the block ends now, or ""."""
        if self.enough():
            return "stopped"
        if budget.target is not None and all(_reached(lane.archive, budget.target) for lane in self.lanes):
            return "target reached"
        if budget.patience and self._fruitless(stage) >= budget.patience:
            return "patience ended"
        if budget.worth and (gain := self._gain(stage)) < budget.worth:
            return f"worth ended: another image was expected to bring {gain:.2g}"
        if late():
            return "time is up"
        return "budget spent" if stage.spent >= stage.limit else ""

    def _fruitless(self, stage: Stage) -> int:
        """Finished candidates of the block in a row that brought no lane anything better."""
        return min(lane.archive.fruitless(begun) for lane, begun in zip(self.lanes, stage.begun, strict=True))

    def _gain(self, stage: Stage) -> float:
        """What spending on this block as much as an image costs is expected to bring the row that gains most."""
        if not (self.whole and stage.spent):
            return math.inf
        images = stage.spent / (self.whole * len(self.lanes))
        scores = [
            (lane.archive.finished(begun), lane.archive.finished(0, begun))
            for lane, begun in zip(self.lanes, stage.begun, strict=True)
        ]
        return max(
            expected_gain(own, max(before, default=-math.inf)) / (images / max(1, len(own))) for own, before in scores
        )


def _reached(archive: Archive, target: float) -> bool:
    best = archive.best()
    return best is not None and archive.value(best.recipe) >= target


def _notes(searches: Sequence, stage: Stage) -> list[str]:
    """What the running algorithms of all lanes say, and what it cost that they went on side by side."""
    said = [(n, note) for n, search in enumerate(searches, 1) for note in getattr(search, "notes", ())]
    notes = [f"Image {n} of {len(searches)}: {note}" if len(searches) > 1 else note for n, note in said]
    if stage.idle:
        notes.append(
            f"The images of the batch waited for each other on their paths: {stage.idle / stage.spent:.0%} of the "
            "evaluations brought nothing; one image at a time wastes none."
        )
    return notes


def _exclusion(result: Result, signs: Sequence[int], options: Options) -> str:
    """Why a candidate takes no part; raises where NaN is to stop the run."""
    missing = lost(result, signs)
    if not missing:
        return ""
    value = result.row[missing[0]]
    name = options.names[missing[0]] if options.names else f"measure {missing[0] + 1}"
    if options.on_nan == "exclude":
        return result.fault or f"{name} gave {value}"
    if result.fault:
        raise SearchError(
            f"No image is returned: {result.fault}; check the model, its precision and cfg, or set on_nan to exclude."
        )
    raise SearchError(
        f"The verifier {name} gave {value} for a candidate, so that nothing can be ranked by it; "
        "mend the verifier, or set on_nan to exclude."
    )


def _kept(archive: Archive, keep: int) -> list[Recipe]:
    """The finished candidates whose latents must stay: the plain image, the best few, all that may yet win."""
    plain = [entry for entry in archive.entries[:1] if entry.complete]
    return list({e.recipe.id: e.recipe for e in plain + archive.top(keep) + archive.front()}.values())
