"""Places between two steps of the schedule, and solving from there."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noise_search.search import NoiseSpace, Recipe
from noise_search.search.places import at, descent, place_of
from noise_search.search.space import seeded_noise
from noise_search.search.trajectory import Path

from .worlds import Flow, Mixture, given_noise, straight

NOISE = [1.0, 0.8, 0.5, 0.5, 0.2, 0.0]
schedules = st.lists(st.floats(0, 1), min_size=2, max_size=12).map(lambda shares: sorted(shares, reverse=True))


def test_a_place_is_a_step_or_lies_between_two():
    assert [at(NOISE, place) for place in (0, 1.0, 5)] == [1.0, 0.8, 0.0]
    assert at(NOISE, 0.25) == pytest.approx(0.95)
    assert at(NOISE, 4.5) == pytest.approx(0.1)


def test_where_a_schedule_has_a_share_of_noise():
    assert [place_of(NOISE, share) for share in (1, 0.95, 0.8, 0.6, 0.5, 0.1, 0)] == [0, 0.25, 1, 1.6667, 2, 4.5, 5]
    assert place_of([0.6, 0.3, 0.1], 0.7) == 0  # it begins lower
    assert place_of([0.6, 0.3, 0.1], 0.05) == 2  # it ends higher


@given(schedules, st.floats(0, 1))
def test_the_share_at_that_place_is_the_share(noise, share):
    assert at(noise, place_of(noise, share)) == pytest.approx(min(max(share, noise[-1]), noise[0]), abs=1e-4)


@pytest.mark.parametrize(
    ("i", "j", "stops"),
    [
        (2, 5, [2, 3, 4, 5]),
        (2.25, 5, [2.25, 3, 4, 5]),
        (2.5, 5, [2.5, 4, 5]),  # half a step is not enough
        (2.75, 5, [2.75, 4, 5]),
        (2.75, 3, [2.75, 3]),  # the end always is one
        (0, 1, [0, 1]),
        (3, 3, [3]),
    ],
)
def test_from_between_two_steps_a_solver_goes_on_at_the_steps_below(i, j, stops):
    assert descent(i, j) == stops


def test_a_recipe_may_pass_between_two_steps():
    """By hand: three Euler steps, the forward kernel to a quarter below step 1, two Euler steps."""
    space = NoiseSpace(seeded_noise(given_noise(), 3), 3)
    denoise = Mixture(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2), 0.3)
    moves = ("advance", 0, 3), ("renoise", 3, 1.25, "8"), ("advance", 1.25, 4)
    recipe = Recipe.from_json(space.add(Recipe("seed", "5").then(*moves)).to_json())
    path = Path()
    path.solve(Flow(denoise, straight(4)), space, [[recipe]], 1)

    def euler(x, *sigmas):
        for σ, lower in zip(sigmas, sigmas[1:]):
            x = x + (x - denoise(x, σ)) / σ * (lower - σ)
        return x

    low, high = 0.25, 0.75 - 0.25 / 4
    a = (1 - high) / (1 - low)
    x = euler(seeded_noise(given_noise(), 5).double(), 1, 0.75, 0.5, low)
    x = a * x + (high**2 - (a * low) ** 2) ** 0.5 * seeded_noise(given_noise(), 8).double()
    torch.testing.assert_close(path.gather([[recipe]]), euler(x, high, 0.5, 0.25, 0))
