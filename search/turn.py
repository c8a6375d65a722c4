"""One generation: what the lanes ask is laid side by side, recalled, priced, cut to the budget, evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from .evaluation import Evaluator, Memory, Result, Slot
from .recipe import Recipe
from .trajectory import Ledger, kind_of


@dataclass
class Turn:
    """One recipe for each lane, evaluated together.

    slot    a recipe for every lane, all of one kind
    asking  False for lanes that only ride along, having nothing of the kind to ask; they are not told
    known   results of an earlier run, where it evaluated all that are asked
    price   evaluations of all rows; for a known turn what they would be now
    again   evaluations on top of the price, to solve again states that an earlier run had solved; below 0 where
            such a state is still at hand although the plan needed it no longer
    """

    slot: Slot
    asking: Sequence[bool]
    known: list[Result] | None = None
    price: int = 0
    again: int = 0


def side_by_side(queues: Sequence[list[Recipe]], told: Sequence[int], ledger: Ledger) -> list[Turn]:
    """Takes turns from what the lanes asked until one of them must be told before it can ask more; what is
    left waits. So no lane idles while another finishes its round. Lanes that are at different places of their
    paths cannot be evaluated together: some go on, and the others ride along. So that none falls behind, the lane
    that was told least leads, with what most of the others ask too.

    told  candidates that each lane was told so far
    """
    if len(queues) == 1:
        alone = [Turn([recipe], [True]) for recipe in queues[0]]
        queues[0].clear()
        return alone
    asking = [lane for lane, queue in enumerate(queues) if queue]
    kinds = [[kind_of(recipe) for recipe in queue] for queue in queues]
    told, ahead, turns = list(told), ledger.copy(), []
    while asking and all(queues[lane] for lane in asking):
        leader = min(asking, key=told.__getitem__)
        kind = max(kinds[leader], key=lambda kind: sum(kind in asked for asked in kinds))
        own: list[Recipe | None] = [None] * len(queues)
        for lane, asked in enumerate(kinds):
            if kind in asked:
                place = asked.index(kind)
                own[lane] = queues[lane].pop(place)
                asked.pop(place)
        slot = [recipe or ahead.rider(lane, leader, own[leader]) for lane, recipe in enumerate(own)]
        turns.append(Turn(slot, [recipe is not None for recipe in own]))
        told = [n + goes_on for n, goes_on in zip(told, turns[-1].asking)]
        ahead.enter(slot)
    return turns


def recall(turns: Sequence[Turn], memory: Memory | None) -> None:
    """Lanes that only ride along have nothing to recall: whether they were evaluated with the others once, or are
    to be evaluated later for their own sake, makes no difference to the plan."""
    for turn in turns if memory else ():
        lanes = enumerate(zip(turn.slot, turn.asking, strict=True))
        results = [memory.recall(lane, recipe) if asking else Result((), 0, 0) for lane, (recipe, asking) in lanes]
        turn.known = None if None in results else results


def price(turns: Sequence[Turn], ledger: Ledger, evaluator: Evaluator, whole: int, credit: int) -> None:
    """What each turn costs. What an earlier run evaluated costs here what it would without that run, so that both
    make the same plan: there it may have been cheaper, beside others that had solved a part of its path.

    A run that goes on from an earlier one may lack states that the earlier one had solved. Solving them again
    is not charged a second time while there is `credit`, the price of what was recalled and not computed. So
    neither computes more than its budget. Credit can run out where the rows of a batch go on from candidates of
    different turns: the run then ends a little earlier.
    """
    rows = len(turns[0].slot)
    paths = [turn for turn in turns if turn.slot[0].moves]
    alone = dict(zip(map(id, paths), ledger.costs([t.slot for t in paths], evaluator.noise, evaluator.path_cost)))
    new: list[Slot] = []
    before = 0
    for turn in turns:
        if turn.known:
            each = alone.get(id(turn), max(result.nfe for result in turn.known))
            turn.known = [replace(result, nfe=each) for result in turn.known]
            turn.price = each * rows
            credit += turn.price
        elif not turn.slot[0].moves:
            turn.price = whole * rows
        else:
            new.append(turn.slot)
            total = evaluator.cost(new)
            lacking = total - before - alone[id(turn)] * rows
            turn.again = min(lacking, credit - credit % rows)
            turn.price, before = alone[id(turn)] * rows + lacking - turn.again, total
            credit -= turn.again


def fitting(turns: Sequence[Turn], left: float) -> list[Turn]:
    """The first turns that together can be paid for."""
    fit = []
    for turn in turns:
        left -= turn.price
        if left < 0:
            break
        fit.append(turn)
    return fit


def remembered(
    turns: Sequence[Turn],
    results: Iterable[list[Result]],
    memory: Memory | None,
    signs: Callable[[Recipe], Sequence[int]],
) -> Iterator[tuple[Turn, list[Result]]]:
    """Each turn and its results, in order; fewer where `results`, those of the turns that are not known, end early.
    What is new is remembered as it comes."""
    coming = iter(results)
    for turn in turns:
        told = turn.known or next(coming, None)
        if told is None:
            return
        if not turn.known:
            share = turn.again // len(turn.slot)
            told = [replace(result, nfe=result.nfe - share) for result in told]
            _remember(turn, told, memory, signs)
        yield turn, told


def _remember(
    turn: Turn, results: Sequence[Result], memory: Memory | None, signs: Callable[[Recipe], Sequence[int]]
) -> None:
    """Record what was asked. A searched measure that failed is no fact to remember."""
    told = [fact for asking, *fact in zip(turn.asking, range(len(results)), turn.slot, results, strict=True) if asking]
    if memory is not None:
        memory.record([(lane, recipe, result) for lane, recipe, result in told if not lost(result, signs(recipe))])


def lost(result: Result, signs: Sequence[int]) -> list[int]:
    """The searched measures that gave no number."""
    return [n for n, sign in enumerate(signs) if sign and not math.isfinite(result.row[n])]
