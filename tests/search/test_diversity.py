"""Maximal marginal relevance against the greedy written out, and what it must keep."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.search import SearchError
from noise_search.search.diversity import cosine_distances, mean_distance, mmr

unhurried = settings(deadline=None)  # a busy machine is no failure


def doubles(numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def greedy(values, distances, k, δ):
    """The definition, one candidate at a time."""
    n, low, high = len(values), min(values), max(values)
    furthest = max((max(row) for row in distances), default=0)

    def relevance(i):
        return (values[i] - low) / (high - low) if high > low else 0.0

    def similarity(i, j):
        return 1 - (distances[i][j] / furthest if furthest > 0 else 0.0)

    chosen = []
    while len(chosen) < min(k, n):
        left = [i for i in range(n) if i not in chosen]
        if not chosen:
            chosen.append(max(left, key=lambda i: values[i]))  # max takes the first of equals
        elif δ == 0:
            chosen.append(max(left, key=lambda i: values[i]))
        else:
            gain = {i: (1 - δ) * relevance(i) - δ * max(similarity(i, j) for j in chosen) for i in left}
            chosen.append(max(left, key=gain.get))
    return chosen


@st.composite
def pools(draw):
    """Values and the distances of points, with ties: coordinates are few."""
    n = draw(st.integers(1, 9))
    values = draw(st.lists(st.sampled_from([-2.0, 0.0, 0.25, 0.5, 1.0, 7.5]), min_size=n, max_size=n))
    points = draw(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 3.0])] * 2), min_size=n, max_size=n))
    return values, [[math.dist(a, b) for b in points] for a in points]


@unhurried
@given(pools(), st.integers(1, 10), st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]))
def test_it_is_the_greedy_written_out(pool, k, δ):
    values, distances = pool
    assert mmr(doubles(values), doubles(distances), k, δ) == greedy(*pool, k, δ)


@unhurried
@given(pools(), st.integers(1, 10), st.floats(0, 1))
def test_the_best_comes_first_and_nobody_twice(pool, k, δ):
    values, distances = map(doubles, pool)
    chosen = mmr(values, distances, k, δ)
    assert values[chosen[0]] == values.max()
    assert len(set(chosen)) == len(chosen) == min(k, len(values))


@unhurried
@given(pools(), st.integers(1, 10))
def test_without_diversity_it_is_the_best_in_order(pool, k):
    values, distances = map(doubles, pool)
    assert mmr(values, distances, k, 0.0) == values.argsort(descending=True, stable=True)[:k].tolist()


@unhurried
@given(pools(), st.integers(1, 10), st.floats(0, 1), st.floats(0.1, 50), st.floats(-9, 9))
def test_scales_of_values_and_distances_do_not_matter(pool, k, δ, scale, shift):
    values, distances = map(doubles, pool)
    chosen, again = mmr(values, distances, k, δ), mmr(values * scale + shift, distances * scale, k, δ)
    if chosen != again:  # only rounding may decide, between candidates that are worth the same
        first = next(n for n, (a, b) in enumerate(zip(chosen, again)) if a != b)
        a, b = (_gain(values, distances, chosen[:first], i, δ) for i in (chosen[first], again[first]))
        assert a == pytest.approx(b, abs=1e-9)


def _gain(values, distances, chosen, i, δ):
    span = values.max() - values.min()
    relevance = (values[i] - values.min()) / span if span > 0 else torch.tensor(0.0)
    furthest = distances.max()
    return ((1 - δ) * relevance + δ * (distances[i, chosen].min() / furthest if furthest > 0 else 0)).item()


def test_diversity_leaves_the_twin_of_the_winner_out():
    values = torch.tensor([1.0, 0.99, 0.6, 0.2])
    points = torch.tensor([[0.0], [0.01], [1.0], [2.0]])
    distances = torch.cdist(points, points)
    assert mmr(values, distances, 2, 0.0) == [0, 1]
    assert mmr(values, distances, 2, 0.5) == [0, 2]
    assert mmr(values, distances, 2, 1.0) == [0, 3]
    spreads = [mean_distance(distances[p][:, p]) for p in (mmr(values, distances, 2, δ) for δ in (0.0, 0.5, 1.0))]
    assert spreads == sorted(spreads) and spreads[0] < spreads[1] < spreads[2]


@pytest.mark.parametrize("δ", [-0.01, 1.01, math.nan])
def test_diversity_is_a_share(δ):
    with pytest.raises(SearchError, match="from 0 .* to 1"):
        mmr(torch.ones(2), torch.zeros(2, 2), 1, δ)


def test_mean_distance_is_over_pairs():
    assert mean_distance(torch.tensor([[0.0, 2.0, 4.0], [2.0, 0.0, 3.0], [4.0, 3.0, 0.0]])) == 3.0
    assert mean_distance(torch.zeros(1, 1)) == 0.0


def test_cosine_distances():
    vectors = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
    wanted = [[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 1.0, 2.0], [1.0, 1.0, 0.0, 1.0], [2.0, 2.0, 1.0, 0.0]]
    assert cosine_distances(vectors).tolist() == wanted
