"""Two fidelities: finished candidates are scored by one measure, unfinished ones by another, and never compared."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.search import Archive, Budget, Entry, Options, Recipe, SearchError
from noise_search.search.algorithms import RolloverSearch, SearchOverPaths, SpectralSearch, SuccessiveHalving
from noise_search.search.history import History
from noise_search.search.trajectory import end_of, is_finished

from .test_family import FAMILY
from .test_run import STEPS, Play, chain, scores, sizes
from .worlds import Interrupted, brightness, scripted

few = settings(max_examples=8, deadline=None)
path_algorithms = pytest.mark.parametrize("name", ["halving", "particles", "rollover", "spectral", "backtracking"])


def final(rows):
    assert not rows[:, 0].isnan().any() and rows[:, 1].isnan().all()
    return rows[:, 0]


def early(rows):
    assert rows[:, 0].isnan().all() and not rows[:, 1].isnan().any()
    return -rows[:, 1]


def archive():
    """Column 0 is what finished candidates are scored by, column 1, lower is better, the others."""
    return Archive(final, (1, 0), (early, (0, -1)))


def apart(reward, scale=1.0, shift=0.0):
    """The reward of each kind in its own column."""

    def scored(latent, lane, recipe):
        [score] = reward(latent, lane, recipe)
        return (score, math.nan) if is_finished(recipe, STEPS) else (math.nan, -(scale * score + shift))

    return scored


def played(search, reward, rows=1, **more):
    return Play(search, rows, reward, archive=archive, options=Options(2, on_nan="exclude"), **more)


def test_each_kind_has_its_own_rule_and_only_finished_ones_win():
    found, state = archive(), Recipe("seed", "1").then(("advance", 0, 2))
    found.add(Entry(Recipe("seed", "0"), (3.0, math.nan), 5, 0.0, 0, True))
    found.add(Entry(state, (math.nan, -9.0), 3, 0.0, 1, False))
    found.add(Entry(Recipe("seed", "2"), (4.0, math.nan), 5, 0.0, 1, True))
    assert found.values() == [3.0, 9.0, 4.0]
    assert [entry.recipe.seed for entry in found.ranked()] == ["2", "0"] and found.best().recipe.seed == "2"
    assert [entry.recipe.seed for entry in found.front()] == ["2"]
    assert found.ranked([state])[0].recipe == state
    assert found.signs_of(True) == (1, 0) and found.signs_of(False) == (0, -1)


def test_halving_goes_on_with_the_best_of_the_early_measure_and_returns_the_best_of_the_real_one():
    """Early, dark states are the best; finished, bright images are."""

    def reward(latent, lane, recipe):
        [mean] = brightness(latent, lane, recipe)
        return (mean, math.nan) if is_finished(recipe, STEPS) else (math.nan, mean)

    algorithm = SuccessiveHalving(width=6, keep=0.5, cuts=1, first_stop=0.4)
    play = played(chain((algorithm, Budget(evaluations=STEPS + 6 * 3 + 3 * 3))), reward).go()
    [plain, *rest] = play.outcome.lanes[0].archive.entries
    begun, done = rest[:6], rest[6:]
    assert [end_of(entry.recipe) for entry in rest] == [2] * 6 + [STEPS] * 3
    darkest = sorted(begun, key=lambda entry: entry.row[1])[:3]
    assert [entry.recipe.noise for entry in done] == [entry.recipe.noise for entry in darkest]
    assert play.outcome.winners[0] is max([plain, *done], key=lambda entry: entry.row[0])
    assert play.outcome.spent == play.world.counted == STEPS + 6 * 3 + 3 * 3


@path_algorithms
@given(st.data(), scores, st.integers(1, 2), sizes)
@few
def test_within_the_budget_each_once_and_the_best_finished_one_wins(name, data, scores, rows, sizes):
    search = chain((data.draw(FAMILY[name]), Budget(images=14)))
    play = played(search, apart(scripted(scores)), rows, batches=lambda n: sizes[n % len(sizes)]).go_if_affordable()
    assert play.outcome.spent == play.world.counted <= 14 * STEPS * rows
    assert rows > 1 or len({tuple(slot) for slot in play.world.scored}) == len(play.world.scored)
    for lane, winner in zip(play.outcome.lanes, play.outcome.winners):
        done = [entry for entry in lane.archive.entries if entry.complete]
        assert winner is max(done, key=lambda entry: entry.row[0])


@pytest.mark.parametrize(
    "algorithm",
    [
        SuccessiveHalving(width=6, cuts=2),
        SearchOverPaths(paths=2, branches=3),
        RolloverSearch(noises=4, legs=2, quota=3),
        SpectralSearch(population=4, elites=2, levels=1),
    ],
    ids=lambda algorithm: algorithm.name,
)
@given(st.lists(st.integers(-8, 8).map(float), min_size=2, max_size=9))
@few
def test_another_scale_of_the_early_measure_changes_no_choice(algorithm, scores):
    """Nothing compares the two kinds: early scores far above or far below all real ones give the same search."""
    search = chain((algorithm, Budget(images=14)))
    low, high = (played(search, apart(scripted(scores), 2.0, shift)).go().asked for shift in (-1024.0, 1024.0))
    assert low == high


def test_rollovers_last_leg_draws_its_whole_quota():
    """Whether a finished image is better than its unfinished parent, no number can tell."""
    search = chain((RolloverSearch(noises=2, legs=1, quota=3), Budget(images=8)))

    def children_of_each_noise(play):
        entries = play.go().outcome.lanes[0].archive.entries[1:]
        return list(Counter(entry.recipe.noise for entry in entries if entry.complete).values())

    def rising(latent, lane, recipe):  # a child beats its parent
        return (float(len(recipe.moves)),)

    assert children_of_each_noise(Play(search, reward=rising)) == [1, 1, 1]
    assert children_of_each_noise(played(search, apart(rising))) == [3]


def test_an_early_measure_that_fails_leaves_the_candidate_out_or_stops_with_its_name():
    def reward(latent, lane, recipe):
        lost = recipe.moves and recipe.seed == "12"
        return (0.0, math.nan) if is_finished(recipe, STEPS) else (math.nan, math.nan if lost else 1.0)

    search = chain((SuccessiveHalving(width=3, keep=0.9, cuts=1), Budget(images=5)))
    entries = played(search, reward).go().outcome.lanes[0].archive.entries
    assert [entry.excluded for entry in entries[1:4]] == ["measure 2 gave nan", "", ""]
    stopping = Play(search, 1, reward, archive=archive, options=Options(names=["CLIPScore", "early sharpness"]))
    with pytest.raises(SearchError, match="^The verifier early sharpness gave nan for a candidate"):
        stopping.go()


@given(st.lists(st.integers(-8, 8).map(float), min_size=2, max_size=9), st.integers(0, 30))
@few
def test_going_on_equals_the_straight_run(scores, stop_after):
    search, reward = chain((SuccessiveHalving(width=4, cuts=2), Budget(images=12))), apart(scripted(scores))
    straight = played(search, reward).go()
    with History(":memory:") as history:
        broken = played(search, reward, memory=history.of("k"))
        broken.world.stop_after = stop_after
        try:
            broken.go()
        except Interrupted:
            assert len(broken.world.scored) == stop_after
        again = played(search, reward, memory=history.of("k")).go()
    assert again.asked == straight.asked and again.stages == straight.stages
    rows = [torch.tensor([e.row for e in play.outcome.lanes[0].archive.entries]) for play in (again, straight)]
    torch.testing.assert_close(*rows, equal_nan=True, rtol=0, atol=0)
    assert not {tuple(slot) for slot in again.world.scored} & {tuple(slot) for slot in broken.world.scored}
