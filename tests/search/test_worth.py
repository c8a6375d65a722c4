"""When a search ends because another image is worth too little: the estimate against truth, and the run's report."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.search import Budget, Options, SearchError
from noise_search.search.algorithms import RandomSearch
from noise_search.search.worth import LEAST, expected_gain, mean_best, promised

from .test_run import Play, chain

numbers = st.floats(-1e300, 1e300)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=7), st.data())
def test_the_mean_best_is_that_over_all_choices(scores, data):
    m = data.draw(st.integers(1, len(scores)))
    each = [max(choice) for choice in itertools.combinations(scores, m)]
    assert mean_best(scores, m) == pytest.approx(sum(each) / len(each))


def quantiles(inverse, n):
    """n scores that stand for a distribution: its quantiles at equal steps."""
    return [inverse((i + 0.5) / n) for i in range(n)]


@pytest.mark.parametrize(
    ("inverse", "gain"),
    [
        (lambda p: -math.log(1 - p), lambda n: 1 / (n + 1)),  # exponential: E[best of n] = 1 + 1/2 + ... + 1/n
        (lambda p: p, lambda n: 1 / ((n + 1) * (n + 2))),  # uniform: E[best of n] = n / (n + 1)
        (lambda p: math.sqrt(p), lambda n: 2 / ((2 * n + 1) * (2 * n + 3))),  # bounded: E[best of n] = 2n / (2n + 1)
    ],
)
@pytest.mark.parametrize("n", [16, 64, 256])
def test_what_the_curve_promises_is_the_gain_of_the_next_of_a_known_distribution(inverse, gain, n):
    assert promised(quantiles(inverse, n)) == pytest.approx(gain(n), rel=0.35)


def test_few_scores_tell_nothing():
    assert expected_gain([float(n) for n in range(LEAST - 1)]) == math.inf


def test_many_equal_scores_promise_none_that_differs():
    assert expected_gain([1.0] * (2 * LEAST - 1)) == math.inf
    assert expected_gain([1.0] * 2 * LEAST) == 0.0


def test_a_search_whose_scores_are_all_the_best_there_is_ends_soon():
    (stage,) = play(256, 0.01, lambda *_: [1.0]).go().outcome.stages
    assert stage.ended == "worth ended: another image was expected to bring 0"
    assert stage.candidates == 2 * LEAST


def test_a_search_that_climbs_is_worth_what_it_brings():
    assert expected_gain([0.5 * n for n in range(20)]) == 0.5


def test_what_was_not_better_than_the_searches_before_brought_nothing():
    scores = [math.sin(n) for n in range(20)]
    assert expected_gain(scores, before=1.0) == 0.0
    assert expected_gain(scores, before=-1.0) > 0.0


@given(st.lists(numbers, max_size=40), numbers)
def test_any_scores_give_a_number_that_is_not_negative(scores, before):
    assert expected_gain(scores, before) >= 0


def play(images, worth, reward, **settings):
    return Play(chain((RandomSearch(), Budget(images=images, worth=worth))), reward=reward, **settings)


def uniform(latent, lane, recipe):
    """Candidate i's score: 0, 1/2, 1/4, 3/4, 1/8, ... : van der Corput's sequence."""
    bits = bin(int(recipe.seed) - 11)[:1:-1]
    return [sum(int(bit) / 2 ** (k + 1) for k, bit in enumerate(bits.rstrip("b")))]


def test_a_block_ends_when_another_image_is_worth_less_and_says_what_it_was_worth():
    run = play(1000, 1 / 1000, uniform).go()
    (stage,) = run.outcome.stages
    assert stage.ended.startswith("worth ended: another image was expected to bring 0.000")
    assert float(stage.ended.split()[-1]) < 1 / 1000
    assert 16 < stage.candidates <= 64  # 1 / ((n + 1)(n + 2)) is below 1 / 1000 from n = 31 on, and half of it is noise
    assert play(1000, 1e-6, uniform).go().outcome.stages[0].candidates > stage.candidates


def test_the_next_block_goes_on_with_what_is_left():
    blocks = ((RandomSearch(), Budget(images=200, worth=1 / 100)), (RandomSearch(), Budget(images=2)))
    stages = Play(chain(*blocks), reward=uniform).go().outcome.stages
    assert stages[0].ended.startswith("worth ended")
    assert sum(stage.candidates for stage in stages) == 202


def test_a_batch_goes_on_as_long_as_one_of_its_rows_gains():
    def reward(latent, lane, recipe):
        return [float(recipe.seed)] if lane else uniform(latent, lane, recipe)

    assert play(200, 0.5, reward, rows=2).go().outcome.stages[0].ended == "budget spent"


def test_scores_that_depend_on_the_others_have_no_worth():
    with pytest.raises(SearchError, match="^Search Budget: worth needs a verifier whose score does not depend"):
        play(4, 0.1, uniform, options=Options(relative=True)).go()


def test_a_negative_worth_is_one_clear_sentence():
    with pytest.raises(SearchError, match="^Search Budget: worth is -1; it cannot be negative.$"):
        Budget(images=4, worth=-1)
