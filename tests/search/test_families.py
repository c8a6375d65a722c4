"""The best image of each noise."""

import math

from hypothesis import given
from hypothesis import strategies as st

from noise_search.search import Archive, Recipe
from noise_search.search.archive import Entry
from noise_search.search.families import Families

SCORES = st.one_of(st.integers(-2, 2).map(float), st.just(math.nan))


@given(st.lists(st.tuples(st.integers(0, 3), SCORES, st.booleans()), max_size=24), st.integers(1, 5))
def test_they_are_those_of_a_search_from_scratch_however_often_one_asks(images, every):
    archive = Archive(lambda rows: rows[:, 0], (1,))
    families = Families(archive, lambda recipe: bool(recipe.moves))
    for n, (family, score, complete) in enumerate(images):
        recipe = Recipe("seed", str(family), moves=(("advance", 0, n + 1),))
        archive.add(Entry(recipe, (score,), 1, 0.0, n, complete))
        if n % every == 0:
            families.ranked()
    expected = {}
    for entry in archive.ranked():
        expected.setdefault(entry.recipe.noise, entry.recipe)
    assert families.ranked() == list(expected.values())


def test_the_best_is_there_even_where_it_does_not_count_and_its_family_only_once():
    archive = Archive(lambda rows: rows[:, 0], (1,))
    families = Families(archive, lambda recipe: bool(recipe.moves))
    whole, path = Recipe("seed", "1"), Recipe("seed", "1", moves=(("advance", 0, 2),))
    other = Recipe("seed", "2", moves=(("advance", 0, 2),))
    for n, (recipe, score) in enumerate([(whole, 3.0), (path, 2.0), (other, 1.0), (Recipe("seed", "3"), 0.0)]):
        archive.add(Entry(recipe, (score,), 1, 0.0, n, True))
    assert families.ranked() == [whole, other]
