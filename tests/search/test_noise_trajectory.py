"""The ε-greedy noise-trajectory search, Search over Paths in several rounds (arXiv 2506.03164)."""

import math

import pytest
import torch

from noise_search.search import NoiseSpace, Recipe, SearchError
from noise_search.search.algorithms import SearchOverPaths
from noise_search.search.recipe import SEEDS, keyed_seed
from noise_search.search.space import seeded_noise
from noise_search.search.trajectory import Path

from .test_algorithms import SEED, Bench
from .worlds import given_noise

STOPS = [(5, 4, 7), (7, 6, 9), (9, 8, 11)]  # of 11 steps, as one round has them


def injected(recipe):
    """What the last re-noising adds: (seed,) or (seed, λ, seed, ...)."""
    return recipe.moves[-2][3:]


def asked(explore, score, rounds=3, branches=2, paths=1):
    """The branches of one descent, by stop and round."""
    bench = Bench(lambda recipe: score(bench))
    algorithm = SearchOverPaths(paths=paths, branches=branches, rounds=rounds, explore=explore, cosine=0.8)
    each = paths * branches
    drawn = bench.drive(algorithm, 1 + len(STOPS) * rounds * each)[1:]
    return [[drawn[each * (rounds * s + r) :][:each] for r in range(rounds)] for s in range(len(STOPS))]


def later_is_better(bench):
    return len(bench.asked)


def earlier_is_better(bench):
    return -len(bench.asked)


def test_the_first_and_the_last_stop_are_explored_and_the_middle_is_refined():
    first, middle, last = asked(explore=0, score=later_is_better)
    for stop, (at, up, down) in zip((first, middle, last), STOPS):
        for branch in (branch for round_ in stop for branch in round_):
            assert branch.moves[-2][:3] == ("renoise", at, up) and branch.moves[-1] == ("advance", up, down)
    assert all(len(injected(branch)) == 1 for stop in (first, last) for round_ in stop for branch in round_)
    assert [len(injected(branch)) for round_ in middle for branch in round_] == [1, 1, 3, 3, 4, 4]
    seeds = [seed for stop in (first, middle, last) for r in stop for b in r for seed in injected(b)[-1:]]
    assert len(set(seeds)) == len(seeds) == 18


def test_a_near_noise_is_a_neighbour_of_the_best_branch_so_far():
    """Later is better: each round is drawn around the last of the round before."""
    _, middle, _ = asked(explore=0, score=later_is_better)
    for before, after in zip(middle, middle[1:]):
        seed, *near = injected(before[-1])
        for branch in after:
            assert injected(branch)[:-1] == (seed, 0.8, *near[1:])
            assert branch.moves[:-2] == before[-1].moves[:-2]  # from the same state
    _, middle, _ = asked(explore=0, score=earlier_is_better)  # the first of all stays the best
    assert {injected(branch)[:2] for round_ in middle[1:] for branch in round_} == {(*injected(middle[0][0]), 0.8)}
    assert {len(injected(branch)) for round_ in middle[1:] for branch in round_} == {3}


def test_each_state_has_a_best_of_its_own_and_the_best_of_all_go_on():
    first, middle, _ = asked(explore=0, score=later_is_better, paths=2, rounds=2)
    best = [branch for round_ in first for branch in round_][:-3:-1]  # the last two asked
    states = [best[0]] * 2 + [best[1]] * 2
    for round_ in middle:
        assert [branch.moves[:-2] for branch in round_] == [state.moves for state in states]
    assert [injected(b)[0] for b in middle[1]] == [injected(middle[0][n])[0] for n in (1, 1, 3, 3)]


@pytest.mark.parametrize("explore", [0.0, 0.4, 1.0])
def test_a_branch_is_fresh_with_probability_ε(explore):
    """A die for each state and number: fresh where it falls below ε·2⁶⁴."""
    _, middle, _ = asked(explore, later_is_better, rounds=8, branches=8)
    state = Recipe("seed", middle[0][0].seed, moves=middle[0][0].moves[:-2])
    dice = [int(keyed_seed("explore", SEED, state.id, number)) for number in range(8, 64)]
    fresh = [len(injected(branch)) == 1 for round_ in middle[1:] for branch in round_]
    assert fresh == [die < explore * SEEDS for die in dice]
    assert sum(fresh) / len(fresh) == pytest.approx(explore, abs=0.2)


def test_one_round_is_search_over_paths_whatever_the_rest():
    assert asked(0.0, later_is_better, rounds=1) == asked(1.0, later_is_better, rounds=1)


def test_the_price_is_that_of_the_rounds():
    bench = Bench(later_is_better)
    one, three = (SearchOverPaths(paths=2, branches=3, rounds=n).least(bench.lane) for n in (1, 3))
    assert one == 2 * 5 + 6 * (4 + 4 + 3) and three == 2 * 5 + 18 * (4 + 4 + 3)


class Spy:
    """A trajectory that does nothing but keep the noises it is handed."""

    def start(self, noises):
        return noises.double()

    def advance(self, states, i, j, recipes):
        return states

    def renoise(self, states, i, j, noises):
        self.noises = noises
        return states


def test_the_noise_that_is_injected():
    """y = ‖x‖ (λ u + √(1−λ²) w), u = x/‖x‖, w = the unit part of the seed's noise orthogonal to u; then once more."""
    space, spy, λ = NoiseSpace(seeded_noise(given_noise(2), SEED), SEED), Spy(), 0.8
    moves = [("renoise", 2, 1, "5"), ("renoise", 2, 1, "5", λ, "6"), ("renoise", 2, 1, "5", λ, "6", "7")]
    expected = [seeded_noise(space.given, 5).double()]
    for seed in (6, 7):
        x, v = expected[-1].flatten(1), seeded_noise(space.given, seed).double().flatten(1)
        size = x.norm(dim=1, keepdim=True)
        w = v - (v * x).sum(1, keepdim=True) * x / size**2
        y = size * (λ * x / size + math.sqrt(1 - λ**2) * w / w.norm(dim=1, keepdim=True))
        expected.append(y.view_as(expected[0]))
    for move, noise in zip(moves, expected):
        recipe = Recipe.from_json(Recipe("seed", "9").then(("advance", 0, 2), move).to_json())
        Path().solve(spy, space, [[recipe, recipe]], 1)
        torch.testing.assert_close(spy.noises.double(), noise, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"rounds": 0}, "Search over Paths: rounds is 0; it must be at least 1."),
        ({"explore": 1.1}, "Search over Paths: explore is 1.1; it must be from 0 to 1."),
        ({"cosine": 1.0}, "Search over Paths: cosine is 1.0; it must be from 0 to below 1."),
    ],
)
def test_bad_settings_are_one_clear_sentence(wrong, sentence):
    with pytest.raises(SearchError) as caught:
        SearchOverPaths(**wrong)
    assert str(caught.value) == sentence
