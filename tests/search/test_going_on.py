"""Going on from the history: after an interruption, or with a larger budget, as if there had been no end."""

import contextlib
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from noise_search.search import Budget, NoiseSpace, Options, Recipe, SearchError
from noise_search.search.algorithms import RandomSearch
from noise_search.search.history import History
from noise_search.search.lane import Lane
from noise_search.search.plan import estimate
from noise_search.search.trajectory import Path

from .test_rows import ON_PATHS, WHOLE
from .test_run import (
    STEPS,
    Play,
    alone_or_finite,
    chain,
    few,
    over_paths,
    random_search,
    rows,
    scores_and_nan,
    searches,
    sizes,
    zero_order,
)
from .worlds import Flow, Interrupted, Mixture, archive_of, given_noise, scripted, straight

DIGITS = scripted([n / 256 for n in range(256)])


@given(searches, alone_or_finite, sizes, st.integers(0, 60), st.booleans())
@settings(max_examples=80, deadline=None)
def test_going_on_after_an_interruption_equals_the_straight_run(search, rows_and_scores, sizes, stop_after, states):
    rows, scores = rows_and_scores
    assume(not math.isnan(scores[0]))
    settings = {"rows": rows, "reward": scripted(scores), "options": Options(2, on_nan="exclude")}
    settings |= {} if states else {"shelf": None}  # where there is no room for states, they are solved again
    straight = Play(search, **settings)
    try:
        straight.go_if_affordable()
    except SearchError:
        assume(False)
    with History(":memory:") as history:
        broken = Play(search, **settings, memory=history.of("k"), batches=lambda n: sizes[n % len(sizes)])
        broken.world.stop_after = stop_after
        try:
            broken.go()
        except Interrupted:
            assert len(broken.world.scored) == stop_after
        again = Play(search, **settings, memory=history.of("k")).go()
    assert again.outcome.spent - again.outcome.recalled == again.world.counted <= estimate(search, again.world, rows)
    whole = all(not recipe.moves for lane in straight.told for recipe, *_ in lane)
    assert again.told == straight.told
    assert again.stages == straight.stages
    assert again.outcome.spent == straight.outcome.spent
    assert again.world.counted <= straight.world.counted
    if not any(map(math.isnan, scores)):  # what failed is tried again
        assert not {tuple(s) for s in again.world.scored} & {tuple(s) for s in broken.world.scored}
        assert len(again.world.scored) + len(broken.world.scored) == len(straight.world.scored)
    if whole and not any(map(math.isnan, scores)):
        assert again.outcome.recalled == len(broken.world.scored) * STEPS * rows  # and it computes only what is missing


@given(searches, rows, scores_and_nan, st.integers(0, 60))
@few
def test_going_on_beside_a_row_that_failed_stays_within_the_budget(search, rows, scores, stop_after):
    assume(not math.isnan(scores[0]))
    settings = {"rows": rows, "reward": scripted(scores), "options": Options(2, on_nan="exclude")}
    with History(":memory:") as history:
        broken = Play(search, **settings, memory=history.of("k"))
        broken.world.stop_after = stop_after
        with contextlib.suppress(Interrupted, SearchError):
            broken.go_if_affordable()
        again = Play(search, **settings, memory=history.of("k"))
        try:
            again.go()
        except SearchError:
            assume(False)
    assert again.outcome.spent - again.outcome.recalled == again.world.counted <= estimate(search, again.world, rows)


@given(random_search | zero_order, rows, st.integers(1, 12))
@few
def test_twice_the_budget_computes_only_the_second_half(algorithm, rows, images):
    with History(":memory:") as history:
        first = Play(chain((algorithm, Budget(images=images))), rows, memory=history.of("k")).go()
        twice = chain((algorithm, Budget(images=2 * images)))
        second = Play(twice, rows, memory=history.of("k")).go()
    assert second.told == Play(twice, rows).go().told
    assert second.world.counted == second.outcome.spent - first.world.counted
    assert second.outcome.recalled == first.outcome.spent


@given(over_paths, rows)
@few
def test_paths_grow_by_whole_rounds(algorithm, rows):
    least = algorithm.least(Lane(archive_of()(), None, STEPS))
    once = Budget(evaluations=rows * (STEPS + least))
    twice = Budget(evaluations=rows * (STEPS + 2 * least))
    with History(":memory:") as history:
        first = Play(chain((algorithm, once)), rows, memory=history.of("k")).go()
        second = Play(chain((algorithm, twice)), rows, memory=history.of("k")).go()
    assert [told[: len(part)] for told, part in zip(second.told, first.told)] == first.told
    assert second.told == Play(chain((algorithm, twice)), rows).go().told
    assert second.world.counted == second.outcome.spent - first.world.counted


def test_a_finished_search_is_recalled_without_an_evaluation_even_when_its_cost_is_not_known():
    search = chain((RandomSearch(), Budget(images=4)))
    with History(":memory:") as history:
        first = Play(search, memory=history.of("k")).go()
        again = Play(search, memory=history.of("k"), whole=False).go()
    assert again.world.counted == 0
    assert again.told == first.told


def test_a_failed_watch_is_remembered_and_a_failed_score_is_tried_again():
    broken = {"12"}

    def reward(latent, lane, recipe):
        return [math.nan if recipe.seed in broken else 1.0, math.nan]

    search = chain((RandomSearch(), Budget(images=4)))
    settings = {"reward": reward, "archive": archive_of(signs=(1, 0)), "options": Options(on_nan="exclude")}
    with History(":memory:") as history:
        Play(search, memory=history.of("k"), **settings).go()
        broken.clear()
        again = Play(search, memory=history.of("k"), **settings).go()
    assert [slot for [slot] in again.world.scored] == [again.asked[0][1]]
    assert not any(e.excluded for e in again.outcome.lanes[0].archive.entries)


def doubled(algorithm, images, rows=1, history=None, **more):
    """A run of so many images, and one of twice as many that goes on from it."""
    with contextlib.nullcontext(history) if history else History(":memory:") as held:
        for budget in (images, 2 * images):
            search = chain((algorithm, Budget(images=budget)))
            yield Play(search, rows, DIGITS, steps=12, memory=held.of("k"), **more).go()


@pytest.mark.parametrize("images", [24, 33])
@pytest.mark.parametrize("name", ON_PATHS | WHOLE)
def test_a_larger_budget_solves_nothing_again(name, images):
    first, second = doubled((ON_PATHS | WHOLE)[name], images)
    assert second.told == Play(second.search, 1, DIGITS, steps=12).go().told
    last = sum(nfe for recipe, _, nfe, _ in first.told[0] if recipe.id not in second.asked[0])
    assert last <= 12  # tried with what was too little for a round: with more budget there is the round instead
    again = first.world.counted + second.world.counted - second.outcome.spent - last
    assert again <= (3 if name == "tree" else 0)  # which holds 64 states, and solves others again when it needs them
    assert first.outcome.recalled == 0


@pytest.mark.parametrize("rows", [2, 3])
@pytest.mark.parametrize("name", ON_PATHS)
def test_nor_do_the_rows_of_a_batch_solve_much_again(name, rows):
    """A row that waits rides along with states of the others, and some of those are gone."""
    first, second = doubled(ON_PATHS[name], 36, rows)
    whole = Play(second.search, rows, DIGITS, steps=12).go()
    assert second.told == whole.told
    _, without = doubled(ON_PATHS[name], 36, rows, shelf=None)
    again, at_most = (first.world.counted + play.world.counted - whole.world.counted for play in (second, without))
    assert again <= at_most / 2


@pytest.mark.parametrize("name", ON_PATHS)
def test_nor_after_an_interruption(name):
    search = chain((ON_PATHS[name], Budget(images=30)))
    whole = Play(search, 1, DIGITS, steps=12).go()
    with History(":memory:") as history:
        broken = Play(search, 1, DIGITS, steps=12, memory=history.of("k"), batches=lambda n: 1)
        broken.world.stop_after = len(whole.world.scored) // 2
        with pytest.raises(Interrupted):
            broken.go()
        again = Play(search, 1, DIGITS, steps=12, memory=history.of("k"), batches=lambda n: 1).go()
    assert again.told == whole.told
    assert broken.world.counted + again.world.counted <= whole.world.counted + 1  # the x0 of the one not yet scored


CHAINS = {  # what the first block is given, and then
    "images": (Budget(images=24), Budget(images=48)),
    "patience": (Budget(images=64, patience=5), Budget(images=64, patience=30)),
    "worth": (Budget(images=64, worth=0.03), Budget(images=64, worth=0.005)),
}


@pytest.mark.parametrize("how", CHAINS)
@pytest.mark.parametrize("name", ON_PATHS | {"auto": WHOLE["auto"]})
def test_nor_where_another_block_follows(name, how):
    algorithm, after = (ON_PATHS | WHOLE)[name], (WHOLE["random"], Budget(images=6))
    with History(":memory:") as history:
        first, second = (
            Play(chain((algorithm, budget), after), 1, DIGITS, steps=12, memory=history.of("k")).go()
            for budget in CHAINS[how]
        )
    straight = Play(second.search, 1, DIGITS, steps=12).go()
    assert second.told == straight.told and first.outcome.recalled == straight.outcome.recalled == 0
    known = {recipe.id for recipe, *_ in first.told[0]}
    new = sum(nfe for recipe, _, nfe, _ in straight.told[0] if recipe.id not in known)
    assert second.world.counted <= new + (6 if name == "tree" else 0)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", ON_PATHS)
def test_nothing_comes_from_a_history_that_is_empty(name, rows):
    """The second block takes up where the first could not go on."""
    blocks = (ON_PATHS[name], Budget(images=24)), (WHOLE["auto"], Budget(images=16))
    with History(":memory:") as history:
        play = Play(chain(*blocks), rows, DIGITS, steps=8, memory=history.of("k")).go()
    assert play.outcome.recalled == 0
    assert play.outcome.spent == play.world.counted


@pytest.mark.parametrize("name", ["auto", "backtracking", "particles", "rollover"])
def test_states_do_not_pile_up_from_budget_to_budget(name):
    with History(":memory:") as history:
        for images in range(24, 48, 3):
            search = chain(((ON_PATHS | WHOLE)[name], Budget(images=images)))
            play = Play(search, 1, DIGITS, steps=12, memory=history.of("k")).go()
        once = Play(search, 1, DIGITS, steps=12, memory=history.of("another")).go()
        assert play.told == once.told
        assert len(history.of("k").states.places()) <= len(history.of("another").states.places())


def test_a_smaller_budget_leaves_the_states_of_a_larger_one():
    with History(":memory:") as history:
        _, large = doubled(ON_PATHS["backtracking"], 12, history=history)
        left = sorted(history.of("k").states.places())
        small, again = doubled(ON_PATHS["backtracking"], 12, history=history)
        assert small.world.counted == again.world.counted == 0
        assert sorted(history.of("k").states.places()) == left == sorted(large.world.path.states)


def test_a_state_that_is_not_finite_is_not_gone_on_from():
    """A model that fails once has not failed for good."""

    class Failing(Flow):
        def advance(self, states, i, j, recipes):
            after = super().advance(states, i, j, recipes)
            return after * torch.tensor([math.nan, 1.0]).view(2, 1, 1, 1)

    with History(":memory:") as history:
        space = NoiseSpace(given_noise(), 11)
        slots = [[Recipe("seed", seed).then(("advance", 0, 2))] for seed in "12"]
        path = Path(history.of("k").states)
        path.solve(Failing(Mixture(torch.zeros(1, 1, 2, 2), 0.3), straight(4)), space, slots, 2)
        path.save()
        assert history.of("k").states.places() == [(0, slots[1][0].id)]


def test_states_come_back_to_the_last_digit():
    with History(":memory:") as history:
        space = NoiseSpace(torch.randn(1, 4, 8, 8), 7)
        state = space.base.then(("advance", 0, 2))
        path = Path(history.of("k").states)
        path.solve(Flow(Mixture(torch.zeros(1, 4, 8, 8), 0.3), straight(4)), space, [[state]], 1)
        path.save()
        again = Path(history.of("k").states)
        assert list(again.states) == [(0, state.id)]
        assert torch.equal(again.gather([[state]]), path.gather([[state]]))
        again.keep([[]])  # nothing that it has come to: it may still come to this one
        assert (0, state.id) in again.states
        again.keep([[state]])
        again.keep([[]])
        again.save()
        assert not history.of("k").states.places()
