"""The search turned inside out: whoever evaluates does so between two steps of it, and it finds the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noise_search.search import Block, Budget, NoiseSpace, Options, Result, Search, SearchError, run
from noise_search.search.algorithms import EvolutionarySearch, RandomSearch, ZeroOrderSearch
from noise_search.search.run import stepwise

from .test_run import few
from .worlds import World, archive_of, brightness, given_noise

BLOCKS = [Block(RandomSearch(), Budget(images=5)), Block(ZeroOrderSearch(2), Budget(images=6, patience=5)),
          Block(EvolutionarySearch(), Budget(images=7))]  # fmt: skip


def chain(places):
    return Search(tuple(BLOCKS[n] for n in places))


chains = st.lists(st.integers(0, 2), min_size=1, max_size=3).map(chain)


def drive(steps, evaluate):
    """Every order, and the outcome."""
    orders, results = [], None
    while True:
        try:
            orders.append(steps.send(results))
        except StopIteration as end:
            return orders, end.value
        results = [evaluate(slot) for slot in orders[-1].slots]


def told(outcome):
    return [[(e.recipe, e.row) for e in lane.archive.entries] for lane in outcome.lanes]


@given(chains, st.integers(1, 3), st.integers(0, 5))
@few
def test_it_finds_what_run_finds_however_many_are_asked_together(search, rows, together):
    space = NoiseSpace(given_noise(rows), 11)
    straight = run(search, World(space, brightness), space, archive_of(), Options())
    space = NoiseSpace(given_noise(rows), 11)
    world = World(space, brightness)

    def evaluate(slot):
        (results,) = world.evaluate([slot], lambda: False)
        return results

    orders, outcome = drive(stepwise(search, world, space, archive_of(), Options(together=together)), evaluate)
    assert told(outcome) == told(straight)
    assert all(len(order.slots) <= (together or 16) for order in orders)


def test_a_batch_searched_as_one_candidate():
    """KSampler's noise for the whole batch, one score, one winner."""
    space = NoiseSpace(given_noise(rows=3), 11, whole=True)
    drawn = []

    def evaluate(slot):
        drawn.append(space.rows_of(slot))
        return [Result((float(len(drawn)),), 1, 0.0)]

    _, outcome = drive(stepwise(chain([0]), World(space, brightness), space, archive_of(), Options()), evaluate)
    assert len(outcome.lanes) == 1 and [e.recipe.seed for e in outcome.winners] == ["15"]
    assert all(torch.equal(noise, given_noise(rows=3, seed=11 + n)) for n, noise in enumerate(drawn))


def test_what_was_told_before_an_end_is_remembered():
    class Memory(dict):
        def recall(self, lane, recipe):
            return self.get(recipe.id)

        def record(self, facts):
            self.update({recipe.id: result for _, recipe, result in facts})

    space, memory = NoiseSpace(given_noise(), 11), Memory()

    def begun():
        return stepwise(chain([0]), World(space, brightness), space, archive_of(), Options(together=1), memory)

    steps = begun()
    next(steps)
    steps.send([[Result((0.5,), 6, 0.0)]])
    steps.close()
    assert next(begun()).slots[0][0].seed == "12" and len(memory) == 1


def test_checks_come_before_the_first_order():
    space = NoiseSpace(given_noise(), 11)
    search = Search((Block(RandomSearch(), Budget(evaluations=2)),))
    with pytest.raises(SearchError, match="2 evaluations are too few"):
        next(stepwise(search, World(space, brightness), space, archive_of(), Options()))
