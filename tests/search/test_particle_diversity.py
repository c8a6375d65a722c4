"""Particle Search with `diversity`: no noise is the ancestor of more particles than it may be."""

import math
from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.search import Recipe
from noise_search.search.algorithms import ParticleSearch
from noise_search.search.algorithms.particles import CHOICES
from noise_search.search.algorithms.resample import RESAMPLERS
from noise_search.search.trajectory import end_of

from .test_algorithms import STEPS, Bench
from .test_family import FAMILY, dice, scores_and_nan
from .worlds import scripted

some = settings(max_examples=100, deadline=None)
log_weights = st.sampled_from([-math.inf, -1e6, 0.0, 0.0, 1e6]) | st.floats(-20, 20)
particles = st.lists(st.tuples(st.integers(0, 4), log_weights), min_size=1, max_size=12)  # (family, weight)
shares = st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]) | st.floats(0, 1)
choices = {name: st.sampled_from(CHOICES[name]) for name in ("tempering", "resampler")}


@dataclass(frozen=True)
class Plain(ParticleSearch):
    """Resampled by the weights alone."""

    def _counts(self, noises, log_w, n, dice):
        return RESAMPLERS[self.resampler](self._weights(log_w), n, dice)


def noises(numbers):
    return [Recipe("seed", str(number)) for number in numbers]


@given(particles, st.integers(1, 12), shares, st.fixed_dictionaries(choices), st.integers(0, 9))
@some
def test_children_are_n_and_no_family_has_more_than_it_may(drawn, n, diversity, own, seed):
    families, log_w = zip(*drawn)
    search = ParticleSearch(diversity=diversity, **own)
    counts = search._counts(noises(families), torch.tensor(log_w, dtype=torch.float64), n, dice(seed))
    scored = [family for family, w in drawn if w > -math.inf] or families
    of_each = Counter()
    for family, count in zip(families, counts, strict=True):
        of_each[family] += count
    assert sum(counts) == n and min(counts) >= 0
    share, fair = max(1, math.floor((1 - diversity) * n + 1e-9)), n // len(set(scored))
    if share * len(set(scored)) >= n:
        assert max(of_each.values()) <= share
    else:  # too few for it: none goes without
        assert all(fair <= of_each[family] <= fair + 1 for family in scored)
    if len(scored) < len(families):
        assert not any(count for count, w in zip(counts, log_w) if w == -math.inf)


@given(particles, st.integers(1, 12), st.fixed_dictionaries(choices), st.integers(0, 9))
@some
def test_without_diversity_children_are_drawn_by_the_weights_alone(drawn, n, own, seed):
    families, log_w = zip(*drawn)
    log_w = torch.tensor(log_w, dtype=torch.float64)
    one, other = (kind(**own)._counts(noises(families), log_w, n, dice(seed)) for kind in (ParticleSearch, Plain))
    assert one == other


@given(FAMILY["particles"], scores_and_nan)
@some
def test_without_diversity_the_same_is_asked(search, scores):
    reward = scripted(scores)

    def asks(kind):
        settings = {name: getattr(search, name) for name in search.__dataclass_fields__} | {"diversity": 0.0}
        return Bench(lambda recipe: reward(None, 0, recipe)[0]).drive(kind(**settings), 60)

    assert asks(ParticleSearch) == asks(Plain)


def finished(search, score):
    """How often each noise is among the finished images of the first round, most often first."""
    bench = Bench(score)
    asked = bench.drive(search, 1 + search.particles * (search.stops + 1))[1:]
    assert len(asked) == search.particles * (search.stops + 1)
    return sorted(Counter(recipe.seed for recipe in asked if end_of(recipe) == STEPS).values(), reverse=True)


one_is_best = {
    "one noise is best by far": lambda recipe: 1.0 * (recipe.seed[-1] == "3"),
    "all are alike": lambda recipe: 0.0,
    "the later the better": lambda recipe: int(recipe.seed) + 0.1 * len(recipe.moves),
}


@pytest.mark.parametrize("score", one_is_best.values(), ids=one_is_best)
@given(st.fixed_dictionaries(choices), st.sampled_from(CHOICES["score"]))
@settings(max_examples=15, deadline=None)
def test_with_full_diversity_every_noise_reaches_the_end(score, own, which):
    search = ParticleSearch(particles=6, stops=3, score=which, diversity=1.0, **own)
    assert finished(search, score) == [1] * 6


@pytest.mark.parametrize(("diversity", "expected"), [(0.0, [8]), (0.25, [6, 2]), (0.5, [4, 4]), (0.75, [2] * 4)])
def test_what_the_best_may_not_have_goes_to_the_next_best(diversity, expected):
    search = ParticleSearch(tempering="infinite", diversity=diversity)
    assert finished(search, lambda recipe: int(recipe.seed)) == expected


def test_a_share_is_counted_exactly_and_any_diversity_keeps_two_noises():
    shares = (0.0, 0.01, 0.3, 0.7, 0.8, 0.9, 1.0)
    of_ten = {share: ParticleSearch(diversity=share)._share(10, 10)[1] for share in shares}
    assert of_ten == {0.0: 10, 0.01: 9, 0.3: 7, 0.7: 3, 0.8: 2, 0.9: 1, 1.0: 1}
    assert finished(ParticleSearch(tempering="infinite", diversity=0.01), lambda recipe: int(recipe.seed)) == [7, 1]


def test_the_funnel_leaves_the_best_of_different_noises():
    search = ParticleSearch(particles=8, stops=1, tempering="infinite", funnel=0.25, diversity=1.0)
    asked = Bench(lambda recipe: int(recipe.seed)).drive(search, 1 + 8 + 2)
    assert sorted(int(recipe.seed) - 100 for recipe in asked[-2:]) == [7, 8]


def test_only_noises_with_a_score_go_on_and_share_the_particles():
    search = ParticleSearch(particles=6, stops=2, diversity=1.0)
    score = {"101": 1.0, "102": 2.0, "100": 0.0}
    assert finished(search, lambda recipe: score.get(recipe.seed, math.nan)) == [3, 3]
    assert finished(search, lambda recipe: 0.0 if recipe.seed == "100" else math.nan) == [1] * 6


def test_diversity_only_acts_where_there_is_resampling():
    def asks(diversity):
        search = ParticleSearch(particles=3, stops=2, strength=0.01, resample_below=0.3, diversity=diversity)
        return Bench(lambda recipe: int(recipe.seed)).drive(search, 10)

    assert asks(1.0) == asks(0.0)
