"""Recipes and the noises they draw."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.search import NoiseSpace, Recipe, SearchError
from noise_search.search.candidates import Gaussian, Neighbour, SeedList
from noise_search.search.candidates.neighbour import neighbour
from noise_search.search.recipe import keyed_seed
from noise_search.search.space import KEPT, seeded_noise

from .worlds import given_noise

LIKE = torch.empty(3, 4, 5, 6)


def torch_noise(seed, *shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=dtype)


def space_of(seed, rows=3, batch_index=None):
    like = torch.empty(rows, 4, 5, 6)
    return NoiseSpace(seeded_noise(like, seed, batch_index), seed, batch_index)


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_seeded_noise_is_torchs_own_stream(seed):
    assert torch.equal(seeded_noise(LIKE, seed), torch_noise(seed, 3, 4, 5, 6))


def test_seeded_noise_takes_the_latents_dtype():
    assert torch.equal(seeded_noise(LIKE.half(), 5), torch_noise(5, 3, 4, 5, 6, dtype=torch.float16))


def test_batch_index_takes_rows_of_one_stream_in_its_own_order():
    generator = torch.Generator("cpu").manual_seed(9)
    stream = [torch.randn(1, 4, 5, 6, generator=generator) for _ in range(6)]
    expected = torch.cat([stream[5], stream[0], stream[5]])
    assert torch.equal(seeded_noise(LIKE, 9, [5, 0, 5]), expected)


def test_candidate_0_is_the_noise_that_the_sampler_was_handed():
    handed = torch_noise(1, 3, 4, 5, 6) * 0.5
    space = NoiseSpace(handed, 7)
    assert space.base.draw == "given"
    assert torch.equal(space.draw(space.base), handed)
    assert NoiseSpace(torch_noise(7, 3, 4, 5, 6), 7).base == Recipe("seed", "7")
    assert space_of(7, batch_index=[4, 2, 2]).base == Recipe("seed", "7")


def test_a_given_noise_is_never_mistaken_for_another():
    one, other = NoiseSpace(given_noise(seed=1), 7), NoiseSpace(given_noise(seed=2), 7)
    child = one.add(Neighbour().propose(one, 1, one.base))
    with pytest.raises(SearchError, match="connect that node's noise"):
        other.draw(one.base)
    other.add(one.base)
    with pytest.raises(SearchError, match="connect that node's noise"):
        other.draw(child)


@given(st.integers(0, 2**64 - 1), st.integers(1, 50))
@settings(max_examples=30, deadline=None)
def test_gaussian_candidate_i_is_the_noise_of_seed_plus_i_modulo_2_to_64(seed, i):
    space = space_of(seed, rows=1)
    recipe = Gaussian().propose(space, i, space.base)
    assert int(recipe.seed) == (seed + i) % 2**64
    assert torch.equal(space.draw(recipe), torch_noise((seed + i) % 2**64, 1, 4, 5, 6))


@given(st.floats(0, 0.999), st.integers(0, 2**32), st.floats(1e-3, 1e3))
@settings(max_examples=60, deadline=None)
def test_neighbours_keep_the_norm_and_stand_at_the_cosine_row_by_row(cosine, seed, scale):
    x, v = torch_noise(seed, 2, 3, 2, 2, 2, dtype=torch.float64)
    x = x * torch.tensor([scale, 1, 1 / scale], dtype=torch.float64).view(3, 1, 1, 1)
    y = neighbour(x, v, cosine)
    a, b = x.flatten(1), y.flatten(1)
    torch.testing.assert_close(b.norm(dim=1), a.norm(dim=1), rtol=1e-12, atol=0)
    found = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    torch.testing.assert_close(found, torch.full_like(found, cosine), rtol=0, atol=1e-12)


def test_a_larger_cosine_is_closer():
    x, v = torch_noise(3, 2, 3, 2, 2, 2, dtype=torch.float64)
    distances = [(neighbour(x, v, λ) - x).norm().item() for λ in (0.0, 0.5, 0.9, 0.99, 0.9999)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.02 * x.norm().item()


def test_a_row_of_zeros_is_its_own_neighbour():
    x = torch.stack([torch.zeros(2, 2), torch.ones(2, 2)])
    y = neighbour(x, torch_noise(3, 2, 2, 2), 0.9)
    assert torch.equal(y[0], x[0])
    assert y.isfinite().all()


def test_neighbours_are_drawn_from_parent_and_key_alone():
    a, b = space_of(7), space_of(7)
    recipe = a.add(Neighbour(0.9).propose(a, 3, a.base))
    torch_noise(0, 100).sum()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert torch.equal(a.draw(recipe), b.draw(b.add(recipe)))
    assert torch.equal(torch.get_rng_state(), state)
    expected = neighbour(torch_noise(7, 3, 4, 5, 6), torch_noise(int(recipe.seed), 3, 4, 5, 6), 0.9)
    assert torch.equal(a.draw(recipe), expected)


@pytest.mark.parametrize("cosine", [-0.1, 1, 2])
def test_a_cosine_outside_its_range_is_one_clear_sentence(cosine):
    with pytest.raises(SearchError, match=rf"^Neighbour Candidates: cosine is {cosine}; it must be .*\.$"):
        Neighbour(cosine)


def test_keyed_seeds_depend_on_the_key_alone():
    assert keyed_seed("path", 1, "ab") == keyed_seed("path", 1, "ab") == "12320348776694904306"
    assert len({keyed_seed("path", 1, n) for n in range(1000)}) == 1000
    assert all(0 <= int(keyed_seed(n)) < 2**64 for n in range(100))


def test_a_long_lineage_replays_to_the_same_noise_in_another_process_memory():
    space = space_of(7, rows=2)
    line = [space.base]
    for index in range(1, 1501):
        line.append(space.add(Neighbour(0.9).propose(space, index, line[-1])))
    last = [space.draw(recipe) for recipe in line][-1]
    told = [Recipe.from_json(recipe.to_json()) for recipe in space.lineage(line[-1])]
    again = space_of(7, rows=2)
    for recipe in told:
        again.add(recipe)
    assert told == line
    assert torch.equal(again.draw(told[-1]), last)


def test_the_noises_held_do_not_grow_with_the_noises_drawn():
    space = space_of(7, rows=1)
    for index in range(1, 40):
        space.draw(Gaussian().propose(space, index, space.base))
    assert len(space._drawn) == KEPT


def test_lanes_with_their_own_recipes_take_their_own_rows():
    space = space_of(7, rows=2)
    a, b = Recipe("seed", "1"), Recipe("seed", "2")
    rows = space.rows_of([a, b])
    assert torch.equal(rows[0], torch_noise(1, 2, 4, 5, 6)[0])
    assert torch.equal(rows[1], torch_noise(2, 2, 4, 5, 6)[1])


def test_a_missing_parent_and_an_unknown_generator_are_said():
    space = space_of(7)
    with pytest.raises(SearchError, match="load its whole lineage"):
        space.draw(Recipe("neighbour", "1", "0123456789abcdef", (("cosine", 0.9),)))
    with pytest.raises(SearchError, match="'wavelet' is not known"):
        space.draw(Recipe("wavelet", "1"))
    with pytest.raises(SearchError, match="lacks its 'cosine'"):
        space.draw(Recipe("neighbour", "1", space.base.id))


# --- recipes as text

numbers = st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(numbers | st.text(max_size=5) | st.booleans(), lambda v: st.lists(v, max_size=3), max_leaves=4)
indices = st.integers(0, 99)
seeds = st.integers(0, 2**64 - 1).map(str)
moves = st.one_of(
    st.tuples(st.just("advance"), indices, indices), st.tuples(st.just("renoise"), indices, indices, seeds)
)
recipes = st.builds(
    Recipe,
    st.sampled_from(["seed", "given", "neighbour"]),
    seeds | st.just(""),
    st.text("0123456789abcdef", min_size=16, max_size=16) | st.just(""),
    st.dictionaries(st.text(max_size=5), values, max_size=3).map(lambda d: tuple(d.items())),
    st.lists(moves, max_size=3).map(tuple),
)


@given(recipes)
def test_a_recipe_survives_json(recipe):
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.to_json() == recipe.to_json()
    assert (again.draw, again.seed, again.parent, again.moves) == (
        recipe.draw,
        recipe.seed,
        recipe.parent,
        recipe.moves,
    )
    assert len(recipe.id) == 16


@given(recipes, recipes)
def test_two_recipes_are_equal_just_when_their_content_is(one, other):
    assert (one == other) == (json.loads(one.to_json()) == json.loads(other.to_json()))


def test_the_order_of_settings_makes_no_difference():
    assert Recipe("x", settings=(("b", 1), ("a", 2))) == Recipe("x", settings=(("a", 2), ("b", 1)))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"draw":"seed"}', Recipe("seed", "-1").to_json(), Recipe("seed", "x").to_json()],
)
def test_text_that_is_no_recipe_is_said(text):
    with pytest.raises(SearchError, match="^This text is no candidate's recipe"):
        Recipe.from_json(text)


# --- seed lists


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", (7,)),
        ("7, 42,100-103,", (7, 42, 100, 101, 102, 103)),
        (" 3;2\n2 3 1 ", (3, 2, 1)),
        (str(2**64 - 1), (2**64 - 1,)),
    ],
)
def test_seed_lists_are_read_in_order_and_each_seed_once(text, expected):
    assert SeedList.parse(text).seeds == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Seed List: there is no seed in it; write whole numbers such as 7, 42, 100-115."),
        (" , ", "Seed List: there is no seed in it; write whole numbers such as 7, 42, 100-115."),
        ("1 cat", "Seed List: 'cat' is no seed; write whole numbers such as 7, 42, 100-115."),
        ("-5", "Seed List: '-5' is no seed; write whole numbers such as 7, 42, 100-115."),
        ("1.5", "Seed List: '1.5' is no seed; write whole numbers such as 7, 42, 100-115."),
        ("9-3", "Seed List: '9-3' is out of range; seeds go upwards, from 0 to 2**64 - 1."),
        (str(2**64), f"Seed List: '{2**64}' is out of range; seeds go upwards, from 0 to 2**64 - 1."),
        ("0-100000", "Seed List: the range '0-100000' is too long; 100000 seeds are the most it may hold."),
    ],
)
def test_a_bad_seed_list_is_one_clear_sentence(text, sentence):
    with pytest.raises(SearchError) as caught:
        SeedList.parse(text)
    assert str(caught.value) == sentence


def test_a_seed_list_ends():
    space = space_of(7)
    seeds = SeedList((5, 9))
    assert [seeds.propose(space, i, space.base) for i in (1, 2, 3)] == [Recipe("seed", "5"), Recipe("seed", "9"), None]
