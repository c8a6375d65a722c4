"""What Auto Search measures in a run, and what it then does."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noise_search import report
from noise_search.search import Account, Budget, SearchError
from noise_search.search.algorithms import AutoSearch, RandomSearch
from noise_search.search.rank import rank_correlation, ranks
from noise_search.search.recipe import keyed_seed
from noise_search.search.trajectory import end_of, is_finished
from noise_search.search.worth import exceeding

from .test_run import Play, chain
from .worlds import brightness

STEPS = 12


def play(images, reward=brightness, algorithm=AutoSearch(), before=(), **settings):  # noqa: B008
    return Play(chain(*before, (algorithm, Budget(images=images))), reward=reward, steps=STEPS, **settings)


def unfinished(recipe):
    return not is_finished(recipe, STEPS)


def misled(latent, lane, recipe):
    """x̂0 scores the opposite of what the finished image will."""
    [score] = brightness(latent, lane, recipe)
    return [-score if unfinished(recipe) else score]


def of_the_noise(latent, lane, recipe):
    """A child has its parent's score, so that only new noises gain."""
    return [int(keyed_seed(recipe.noise.id)) % 1000 / 1000]


def told(run):
    return [entry.recipe for entry in run.outcome.lanes[0].archive.entries]


def notes(run):
    return " ".join(run.outcome.stages[0].notes)


def test_where_early_scores_tell_new_noises_are_judged_early_and_the_best_finished():
    run = play(40).go()
    begun = {recipe.noise for recipe in told(run) if unfinished(recipe)}
    finished = {recipe.noise for recipe in told(run) if recipe.noise in begun and not unfinished(recipe)}
    assert len(begun) > 2 * len(finished) > 0
    assert "New noises are judged after" in notes(run)


def test_where_early_scores_mislead_new_noises_are_soon_sampled_whole():
    run = play(60, misled).go()
    assert "New noises are sampled whole, since x̂0 says too little." in notes(run)
    assert "too far off to judge by" in notes(run)
    later = told(run)[len(told(run)) // 2 :]
    assert not any(map(unfinished, later))


def test_what_the_report_says_of_early_scores_is_what_the_archive_holds():
    run = play(40).go()
    archive, pairs = run.outcome.lanes[0].archive, []
    for image in told(run):
        if image.moves[:1] == (("advance", 0, 4),) and not unfinished(image) and "renoise" not in str(image.moves):
            state = image.noise.then(image.moves[0])
            pairs.append((archive.value(state), archive.value(image)))
    x, y = (torch.tensor(column).argsort().argsort().double() for column in zip(*pairs))
    expected = torch.corrcoef(torch.stack([x, y]))[0, 1]
    assert f"x̂0 after 4 of 12 steps ranked {len(pairs)} finished images" in notes(run)
    assert f"with correlation {expected:.2f}" in notes(run)


def test_children_are_denoised_anew_from_the_ends_of_the_best():
    run = play(40).go()
    entries, seen = run.outcome.lanes[0].archive.entries, set()
    for entry in entries:
        if entry.recipe.moves and entry.recipe.moves[-2:][0][0] == "renoise":
            (_, end, up, _), last = entry.recipe.moves[-2:]
            assert end == STEPS and last == ("advance", up, STEPS)
            before = [e for e in entries if e.generation < entry.generation and e.complete]
            ranked = [e.recipe for e in sorted(before, key=lambda e: -e.row[0])]
            families = list(dict.fromkeys(recipe.noise for recipe in ranked))
            best = [next(recipe for recipe in ranked if recipe.noise == noise) for noise in families]
            parent = entry.recipe.noise.then(*entry.recipe.moves[:-2])
            whole = parent.moves == (("advance", 0, STEPS),)
            parents = best[:1] if up > 4 else [recipe for recipe in best if recipe.moves or recipe == best[0]][:3]
            assert parent in parents or (whole and parent.noise in parents)
            seen.add(up)
    assert seen == {4, 6, 8, 10}


@pytest.mark.parametrize("measure, least, most", [(True, 0.6, 1), (False, 0.15, 0.3)])
def test_measured_the_way_that_gains_has_the_turns_and_else_they_are_equal(measure, least, most):
    entries = play(100, of_the_noise, AutoSearch(measure=measure)).go().outcome.lanes[0].archive.entries
    fresh = sum(entry.nfe for entry in entries if "renoise" not in str(entry.recipe.moves))
    assert least < fresh / (100 * STEPS) < most


def test_what_was_judged_and_waits_is_not_denoised_again():
    late, begun = [], {}
    for entry in play(100, of_the_noise).go().outcome.lanes[0].archive.entries:
        moves = entry.recipe.moves
        if len(moves) == 1:
            begun[entry.recipe.noise] = entry.generation
        elif moves and moves[-1][2] == STEPS and "renoise" not in str(moves):
            assert entry.nfe == STEPS - moves[-2][2]
            late.append(entry.generation - begun[entry.recipe.noise] > 3)
    assert any(late)


def test_what_is_left_in_the_end_is_spent_on_children_that_cost_less():
    """Their rounds are from 1/2, 2/3 and 5/6 of 12 steps in turn: 6, 4 and 2 evaluations each."""
    left = [images * STEPS - play(images).go().outcome.spent for images in range(12, 40)]
    assert all(0 <= n < 2 for n in left)


def test_it_goes_further_than_random_search_for_the_same_evaluations():
    gains = []
    for seed in range(12):
        reward = lambda latent, lane, recipe, seed=seed: [-(latent - math.sin(seed)).abs().sum().item()]  # noqa: E731
        both = [play(24, reward, algorithm).go() for algorithm in (AutoSearch(), RandomSearch())]
        assert all(run.outcome.spent <= 24 * STEPS for run in both)
        auto, random = (run.outcome.winners[0].row[0] for run in both)
        gains.append(auto - random)
    assert sum(gains) > 0


def test_a_sampler_that_cannot_be_cut_samples_all_whole():
    run = play(30)

    def path_cost(i, j):
        raise SearchError("it cannot be stopped")

    run.world.path_cost = path_cost
    run.go()
    assert not any(recipe.moves for recipe in told(run))
    assert len(told(run)) == 30
    assert {recipe.draw for recipe in told(run)} == {"seed", "neighbour"}
    assert notes(run).startswith("The sampling cannot be stopped: every candidate was sampled whole.")


@pytest.mark.parametrize("images", [2, 3, 4])
def test_a_small_budget_is_spent_on_new_noises_sampled_whole(images):
    run = play(images).go()
    assert run.outcome.spent == images * STEPS
    assert len({recipe.noise for recipe in told(run)}) == images and not any(map(unfinished, told(run)))


def test_it_begins_as_random_search_does_whatever_the_budget():
    auto, random = (told(play(40, misled, algorithm).go())[:4] for algorithm in (AutoSearch(), RandomSearch()))
    assert [recipe.noise for recipe in auto] == random and not any(map(unfinished, auto))


def test_the_best_has_no_children_before_six_images_worth_of_new_noises():
    entries = play(40).go().outcome.lanes[0].archive.entries
    first = next(n for n, entry in enumerate(entries) if any(move[0] == "renoise" for move in entry.recipe.moves))
    assert sum(entry.nfe for entry in entries[1:first]) >= 6 * STEPS


def test_the_rows_of_a_batch_stay_side_by_side_so_that_none_is_paid_for_twice():
    run = play(40, rows=3).go()
    paid = sum(entry.nfe for lane in run.outcome.lanes for entry in lane.archive.entries)
    assert paid == run.outcome.spent == run.world.counted
    assert run.outcome.spent > 30 * STEPS * 3
    assert run.outcome.stages[0].notes[0].startswith("Image 1 of 3: ")


def test_it_starts_from_the_best_of_the_blocks_before():
    run = play(30, before=[(RandomSearch(), Budget(images=16))]).go()
    first = next(recipe for recipe in told(run)[16:] if any(move[0] == "renoise" for move in recipe.moves))
    bests = [e for e in run.outcome.lanes[0].archive.entries[: told(run).index(first)] if e.complete]
    assert first.noise == max(bests, key=lambda entry: entry.row).recipe.noise


def test_off_it_measures_nothing_and_finishes_no_noise_to_compare_with():
    run = play(40, misled, AutoSearch(measure=False)).go()
    assert "sampled whole" not in notes(run)
    assert {end_of(recipe) for recipe in told(run) if unfinished(recipe)} == {4}


def test_what_it_did_and_why_is_in_the_report():
    run = play(20).go()
    account = Account.of(
        run.outcome, search=run.search.name, measures=["mean"], searched=[True], forwards=1, estimate=1.0, seconds=1.0,
        shape=[1, 1, 2, 2], seed="11", sampler="euler", steps=STEPS,
    )  # fmt: skip
    table = report.table(Account.from_json(account.to_json()))
    assert run.outcome.stages[0].notes
    assert all(note in table for note in run.outcome.stages[0].notes)


def test_bad_settings_are_one_clear_sentence():
    with pytest.raises(SearchError, match="^Auto Search: width is 0; it must be at least 1.$"):
        AutoSearch(width=0)


# --- what it reckons with


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=9))
def test_ranks_are_counted(scores):
    for score, rank in zip(scores, ranks(scores).tolist()):
        assert rank == sum(other < score for other in scores) + (scores.count(score) - 1) / 2


def test_rank_correlation_is_spearmans():
    assert rank_correlation([1, 2, 3, 4], [1, 4, 9, 16]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    x, y = [3, 1, 4, 2, 5], [1, 2, 3, 4, 5]
    assert rank_correlation(x, y) == pytest.approx(1 - 6 * sum((a - b) ** 2 for a, b in zip(x, y)) / (5 * 24))
    assert rank_correlation([1, 1, 1], [1, 2, 3]) == 0


@pytest.mark.parametrize("shift", [-4, -1, 0, 2])
def test_the_gain_of_an_exponential_is_its_own(shift):
    n = 4000
    scores = [shift - math.log(1 - (i + 0.5) / n) for i in range(n)]
    truth = math.exp(shift) if shift < 0 else shift + 1  # E[(X + s)⁺] for X exponential
    assert exceeding(scores) == pytest.approx(truth, rel=0.03)
