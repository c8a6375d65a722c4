"""The conversion of rollover budget forcing (arXiv 2503.19385) beside numbers and beside its own SDE."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.search import Archive, SearchError
from noise_search.search.algorithms import RolloverSearch
from noise_search.search.algorithms.rollover import CONVERSIONS
from noise_search.search.lane import Lane
from noise_search.search.places import at
from noise_search.search.trajectory import end_of
from noise_search.search.variance_preserving import integral, integral_at, published, raised, share_at, time_of

from .test_algorithms import Bench
from .worlds import Flow, Mixture, first, straight

LEVELS = {  # t: T(t) = ½t²(20 − 0.1) + 0.1t, α = e^(−T/2), σ = √(1 − e^(−T)), σ / (α + σ)
    0.2: (0.418, 0.811395235643, 0.584497879872, 0.418726816097),
    0.5: (2.5375, 0.281182880797, 0.959654202068, 0.773392587408),
    0.9: (8.1495, 0.016996463262, 0.999855549685, 0.983285214520),
    1.0: (10.05, 0.006571586495, 0.999978406892, 0.993471177251),
}


@pytest.mark.parametrize("t", LEVELS)
def test_levels_are_the_published_ones(t):
    T, α, σ, share = LEVELS[t]
    assert integral(t) == pytest.approx(T)
    assert share_at(T) == pytest.approx(share) == pytest.approx(σ / (α + σ))
    assert integral_at(share) == pytest.approx(T) and time_of(share) == pytest.approx(t)


def test_the_ends_of_the_path():
    assert time_of(0) == 0 and share_at(0) == 0
    assert time_of(1) == time_of(0.9999) == 1  # more noise than the conversion has
    assert share_at(math.inf) == 1


def test_a_leg_raises_by_the_integral_of_g_squared():
    """From t = 0.5 to 0.4, g = 3t²: ∫9t⁴ = 9/5·(0.5⁵ − 0.4⁵) = 0.037818, T = 2.5375 + 0.037818."""
    assert raised(LEVELS[0.5][3], share_at(integral(0.4)), published) == pytest.approx(0.776965114681)
    assert raised(1, LEVELS[0.9][3], published) == 1


def test_one_raise_and_the_way_down_are_the_sde():
    """Data of variance 1. The SDE in y, step by step, asks the flow model at x = y/(α+σ) of level σ/(α+σ); a raise and
    the probability-flow ODE keep as much of where they began, and end as wide."""
    n, top, end, steps = 20_000, 0.6, 0.3, 300
    dice = torch.Generator().manual_seed(0)
    noises = torch.randn(steps + 2, n, 1, generator=dice, dtype=torch.float64)
    denoise = Mixture(torch.zeros(1, 1), 1.0)

    def scales(t):
        T = 9.95 * t**2 + 0.1 * t
        return math.exp(-T / 2), math.sqrt(1 - math.exp(-T))

    y, δ = noises[0], (top - end) / steps
    for n_step in range(steps):
        t = top - n_step * δ
        (α, σ), g2, β = scales(t), (3 * t**2) ** 2, 19.9 * t + 0.1
        score = (α * denoise(y / (α + σ), σ / (α + σ)) - y) / σ**2
        y = y + δ * (β / 2 * (y + score) + g2 / 2 * score) + math.sqrt(g2 * δ) * noises[n_step + 1]

    (α, σ), (α_end, σ_end) = scales(top), scales(end)
    low, below = σ / (α + σ), σ_end / (α_end + σ_end)
    up = raised(low, below, published)
    flow = Flow(denoise, [up, *torch.linspace(low, below, 200).tolist()])
    x = flow.renoise(noises[0] / (α + σ), 1, 0, noises[-1])
    x = flow.advance(x, 0, 200, [""] * n) * (α_end + σ_end)
    for end_state in (y, x):
        assert end_state.var().item() == pytest.approx(1, abs=0.04)
        kept = torch.corrcoef(torch.cat([noises[0], end_state], 1).T)[0, 1].item()
        assert kept == pytest.approx(math.exp(-0.9 * (top**5 - end**5)), abs=0.005)  # e^(−½∫9t⁴)


# --- in the search


def test_legs_end_at_equal_shares_of_its_time():
    """t at the steps 1 to 11 of a flow, σ = 1 − n/11: of the stops, the steps nearest to equal parts of it."""
    bench = Bench(lambda recipe: 0)
    times = [time_of(share) for share in straight(11)]
    for legs in (2, 3, 5):
        stops = RolloverSearch(legs=legs, conversion="variance preserving").stops(bench.lane)
        assert stops[0] == 1 and stops[-1] == 11 and len(stops) == legs + 1
        for n, stop in enumerate(stops):
            wanted = times[1] * (1 - n / legs)
            assert abs(times[stop] - wanted) == min(abs(t - wanted) for t in times[1:])


def test_a_child_is_raised_to_between_two_steps():
    bench = Bench(lambda recipe: 0)
    bench.score = lambda recipe: -len(bench.asked)  # every candidate is worse than the one before
    search = RolloverSearch(noises=3, legs=2, quota=2, conversion="variance preserving")
    asked = bench.drive(search, 1 + 3 + 2)
    stop, (first, second) = search.stops(bench.lane)[1], asked[4:]
    assert first == asked[1].then(("advance", 1, stop))
    renoise, advance = second.moves[1:]
    noise = bench.lane.noise
    assert renoise[:2] == ("renoise", 1) and advance == ("advance", renoise[2], stop)
    assert at(noise, renoise[2]) == pytest.approx(raised(noise[1], noise[stop], published), abs=1e-5)


def test_a_leg_that_would_hardly_raise_draws_no_second_child():
    bench = Bench(lambda recipe: 0)
    search = RolloverSearch(noises=2, legs=4, quota=3, conversion="variance preserving")
    stops = search.stops(bench.lane)
    ends = [end_of(recipe) for recipe in bench.drive(search, 40)[1:]]
    noise = bench.lane.noise
    for stop, below in zip(stops, stops[1:]):
        t, lower = time_of(noise[stop]), time_of(noise[below])
        several = 1.8 * (t**5 - lower**5) >= 0.01
        assert (ends.count(below) > ends.count(11)) == (several and below < 11), below


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=12).map(lambda shares: sorted(shares, reverse=True)),
    st.sampled_from(list(CONVERSIONS)),
    st.integers(1, 6),
)
@settings(deadline=None)
def test_whatever_the_schedule_stops_fall_and_children_rise(noise, conversion, legs):
    """It may begin below 1, end above 0, and stand still."""
    lane = Lane(Archive(first, (1,)), None, len(noise) - 1, noise=noise)
    search = RolloverSearch(legs=legs, conversion=conversion)
    stops = search.stops(lane)
    assert stops[0] == 1 and stops[-1] == lane.steps and stops == sorted(set(stops))
    for stop, below in zip(stops, stops[1:]):
        assert 0 <= search._raised(lane, stop, below) <= stop
    assert search.least(lane) > 0


def test_what_is_no_conversion_is_said():
    known = "none, variance preserving, strong variance preserving"
    with pytest.raises(SearchError, match=f"^Rollover Search: conversion is 'vp'; use {known}.$"):
        RolloverSearch(conversion="vp")
