"""Generators that change a part of the noise: what they leave, and that the whole stays N(0, I)."""

from itertools import count, islice, takewhile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.search import NoiseSpace, Recipe, SearchError
from noise_search.search.candidates import Gaussian, LowFrequency, Masked, Mix, Neighbour, SeedList
from noise_search.search.candidates.band import Band, blocks
from noise_search.search.space import seeded_noise

few = settings(max_examples=15, deadline=None)
sides = st.integers(1, 9)


def space_of(*shape, seed=7):
    return NoiseSpace(seeded_noise(torch.empty(shape), seed), seed)


def drawn(space, generator, index=1):
    return space.draw(space.add(generator.propose(space, index, space.base)))


@given(sides, sides, st.integers(1, 4))
@few
def test_blocks_are_an_orthogonal_projection_whatever_the_size(h, w, size):
    x, y = torch.randn(2, 1, 2, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(h * w))
    low = blocks(x, size)
    torch.testing.assert_close(blocks(low, size), low)
    torch.testing.assert_close((low * y).sum(), (x * blocks(y, size)).sum())
    assert all((low[..., i, :] == low[..., i - 1, :]).all() for i in range(1, h) if i % size)


def test_low_frequency_candidates_change_the_lowest_band_alone():
    space = space_of(2, 3, 8, 12)
    x, y = space.given.double(), drawn(space, LowFrequency(2)).double()
    torch.testing.assert_close(y - blocks(y, 4), x - blocks(x, 4), atol=1e-6, rtol=0)
    fresh = space.seeded(int(LowFrequency(2).propose(space, 1, space.base).seed)).double()
    torch.testing.assert_close(blocks(y, 4), blocks(fresh, 4), atol=1e-6, rtol=0)


def test_a_band_leaves_what_is_coarser_and_what_is_finer():
    space = space_of(1, 1, 8, 8)
    change = (drawn(space, Band(coarse=4, fine=2)) - space.given).double()
    torch.testing.assert_close(blocks(change, 4), torch.zeros_like(change), atol=1e-6, rtol=0)
    torch.testing.assert_close(blocks(change, 2), change, atol=1e-6, rtol=0)
    assert change.abs().max() > 0.1


@pytest.mark.parametrize("cosine", [0.0, 0.8])
@pytest.mark.parametrize("make", [lambda c: LowFrequency(1, c), lambda c: Masked(RAMP, cosine=c)])
def test_the_whole_stays_white_noise(make, cosine):
    space = space_of(1, 400, 3, 4)
    y = torch.cat([drawn(space, make(cosine), n) for n in range(1, 21)], 1)[0].flatten(1).double()
    covariance = y.T @ y / len(y)
    torch.testing.assert_close(covariance, torch.eye(12).double(), atol=0.15, rtol=0)


RAMP = torch.linspace(0, 1, 12).view(1, 3, 4)


def test_the_cosine_is_that_between_the_bands():
    space = space_of(1, 50, 16, 16)
    x, y = (blocks(n.double(), 2).flatten() for n in (space.given, drawn(space, LowFrequency(1, 0.9))))
    assert abs(torch.dot(x, y) / x.norm() / y.norm() - 0.9) < 0.02


@pytest.mark.parametrize("inside", [True, False])
def test_masked_candidates_change_one_side_of_the_mask(inside):
    space = space_of(3, 2, 4, 5, 6)  # a video
    mask = torch.zeros(2, 10, 12)
    mask[0, :4], mask[1, :, :6] = 1, 1
    same = (drawn(space, Masked(mask, inside)) == space.given).flatten(1, 2).all(1)
    for row, expected in enumerate([mask[0], mask[1], mask[0]]):
        painted = expected[::2, ::2].bool()
        assert torch.equal(same[row], ~painted if inside else painted)


def test_a_masked_recipe_names_its_mask_and_draws_again_where_the_space_holds_it():
    space, elsewhere = space_of(1, 1, 3, 4), space_of(1, 1, 3, 4)
    recipe = Recipe.from_json(Masked(RAMP).propose(space, 5, space.base).to_json())
    with pytest.raises(SearchError, match="names a mask or tensor .* not at hand"):
        elsewhere.draw(recipe)
    [(id, mask)] = space.needed(recipe).items()
    assert elsewhere.store(mask) == id == recipe.setting("mask")
    assert torch.equal(elsewhere.draw(recipe), space.draw(recipe))
    assert Masked(RAMP * 0.5).propose(space, 5, space.base) != recipe


def test_a_noise_that_is_held_need_not_be_drawable():
    space, noise = space_of(1, 1, 3, 4), torch.ones(1, 1, 3, 4)
    recipe = Recipe("unknown", "5", parent="0" * 16)
    space.hold(recipe, noise)
    assert torch.equal(space.draw(recipe.then(("advance", 0, 2))), noise)
    child = Neighbour(0.9).propose(space, 1, recipe)
    assert space.draw(child).norm() == pytest.approx(noise.norm().item())


def test_each_generator_uses_the_parent_it_is_given():
    space = space_of(1, 1, 4, 4)
    pivot = space.add(Recipe("seed", "99"))
    for generator in (LowFrequency(1), Masked(RAMP), Mix(Neighbour(), LowFrequency(1))):
        assert generator.propose(space, 2, pivot).parent == pivot.id


@given(st.floats(0, 1), st.integers(0, 6), st.integers(0, 6))
@few
def test_a_mix_gives_every_candidate_of_both_once(share, firsts, seconds):
    space = space_of(1, 1, 2, 2)
    lists = [SeedList(tuple(range(100 * k, 100 * k + n))) for k, n in ((1, firsts), (2, seconds))]
    mix = Mix(*lists, share)
    seeds = [int(r.seed) for r in takewhile(bool, (mix.propose(space, n, space.base) for n in count(1)))]
    assert sorted(seeds) == [*lists[0].seeds, *lists[1].seeds]


def test_the_shares_of_a_mix_are_even():
    space = space_of(1, 1, 2, 2)
    mix = Mix(Neighbour(), Gaussian(), 0.25)
    draws = [mix.propose(space, n, space.base).draw for n in islice(count(1), 12)]
    assert draws == ["seed", "seed", "seed", "neighbour"] * 3


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: LowFrequency(0), "Low-Frequency Candidates: levels is 0; it must be from 1 to 12."),
        (lambda: LowFrequency(2, 1.0), "Low-Frequency Candidates: cosine is 1.0; it must be from 0 to below 1."),
        (lambda: Masked(RAMP, cosine=-1), "Masked Candidates: cosine is -1; it must be from 0 to below 1."),
        (lambda: Mix(None, None, 2), "Mix Candidates: share is 2; it must be from 0 to 1."),
        (
            lambda: drawn(space_of(1, 1, 3, 4), Masked(torch.zeros(1, 6, 8))),
            "Masked Candidates: the mask leaves nothing to change; paint it, or use the other side.",
        ),
        (
            lambda: drawn(space_of(1, 8, 9), LowFrequency()),
            "Candidates by frequency need a latent with height and width; use Gaussian Candidates.",
        ),
    ],
)
def test_bad_input_is_one_clear_sentence(make, sentence):
    with pytest.raises(SearchError) as caught:
        make()
    assert str(caught.value) == sentence
