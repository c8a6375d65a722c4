"""x̂0 at a noise level: which step is looked at, and that a state on the path carries its own and not its parent's."""

import pytest
import torch

from noise_search.search import NoiseSpace, Recipe, SearchError
from noise_search.search.glimpses import Glimpses, Glimpsing, steps_at
from noise_search.search.trajectory import Path, end_of

from .worlds import Flow, Mixture, given_noise

SIGMAS = torch.linspace(1, 0, 7, dtype=torch.float64)  # 1, 5/6, 4/6, 3/6, 2/6, 1/6, 0
STEPS = SIGMAS[:-1].tolist()


class Showing(Flow):
    """A Flow that shows each of its steps; `step` remembers what it showed, by sigma."""

    def __init__(self, glimpses):
        super().__init__(Mixture(torch.stack([torch.full((1, 2, 2), m) for m in (-1.0, 1.0)]), 0.3), SIGMAS)
        self.glimpses = glimpses

    def advance(self, states, i, j, recipes):
        for step in range(i, j):
            self.glimpses.see(self.sigmas[step], self.denoise(states, self.sigmas[step]))
            states = super().advance(states, step, step + 1, recipes)
        return states


def recipe(*moves, seed="5"):
    return Recipe("seed", seed, moves=moves)


DOWN = ("advance", 0, 6)
RECIPES = {
    "from noise": recipe(DOWN),
    "by a stop": recipe(("advance", 0, 4), ("advance", 4, 6)),
    "noised again above the level": recipe(("advance", 0, 5), ("renoise", 5, 2, "9"), ("advance", 2, 6)),
    "noised again below it": recipe(("advance", 0, 5), ("renoise", 5, 4, "9"), ("advance", 4, 6)),
    "not so far yet": recipe(("advance", 0, 2)),
}


def followed(recipe, space, level_sigma):
    """The x̂0 to be carried, by hand: the last one predicted at or above the sigma."""
    flow, seen = Showing(Glimpses({})), None
    x = space.draw(recipe.noise).double()
    for name, i, j, *seed in recipe.moves:
        if name == "renoise":
            x = flow.renoise(x, i, j, space.draw(Recipe("seed", seed[0])))
            continue
        for step in range(i, j):
            if STEPS[step] >= level_sigma - 1e-9:
                seen = flow.denoise(x, STEPS[step])
            x = Flow.advance(flow, x, step, step + 1, [""] * len(x))
    return x, seen


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_state_carries_what_was_seen_on_its_last_descent(recipe):
    space = NoiseSpace(given_noise(2), 11)
    glimpses = Glimpses(steps_at((0.45, 0.9), STEPS, STEPS))
    trajectory, path = Glimpsing(Showing(glimpses), glimpses), Path()
    assert glimpses.sigmas == {0.45: STEPS[3], 0.9: STEPS[1]}
    sibling = Recipe("seed", "6", moves=recipe.moves)
    path.solve(trajectory, space, [[recipe] * 2, [sibling] * 2], 4)
    states = path.gather([[recipe] * 2, [sibling] * 2])
    for k, one in enumerate((recipe, sibling)):
        for level, sigma in glimpses.sigmas.items():
            x, seen = followed(one, space, sigma)
            rows = slice(2 * k, 2 * k + 2)
            torch.testing.assert_close(states[rows, 0], x)
            torch.testing.assert_close(trajectory.seen(states)[level][rows], seen)
    end = end_of(recipe)
    torch.testing.assert_close(trajectory.preview(states, end, ()), Showing(glimpses).preview(states[:, 0], end))


def test_the_nearest_step_counts_the_last_aside():
    assert steps_at((0.01, 0.4, 0.99), STEPS, STEPS) == {0.01: STEPS[4], 0.4: STEPS[4], 0.99: STEPS[0]}
    assert steps_at((0.75,), [1, 0.5, 0], [14.6, 1.0, 0.1]) == {0.75: 1.0}  # of two as near, the later
    with pytest.raises(SearchError, match="at least 2 steps"):
        steps_at((0.4,), [1.0], [1.0])
    assert steps_at((), [1.0], [1.0]) == {}


def test_one_x0_is_held_whatever_the_number_of_steps():
    glimpses = Glimpses({0.4: 0.5})
    for sigma in SIGMAS:
        glimpses.see(float(sigma), sigma)
    assert glimpses.x0 == {0.4: SIGMAS[3]}
