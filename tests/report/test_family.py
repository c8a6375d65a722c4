"""Who came from whom, and that it can be drawn: checked against the recipes themselves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.report.family import Member, family, places
from noise_search.report.family_tree import LEFT, RIGHT, family_tree, laid_out
from noise_search.search import Block, Budget, Recipe, Search
from noise_search.search.algorithms import (
    BacktrackingSearch,
    EvolutionarySearch,
    ParticleSearch,
    RandomSearch,
    RolloverSearch,
    SearchOverPaths,
    SpectralSearch,
    TreeSearch,
    ZeroOrderSearch,
)
from noise_search.search.trajectory import prefixes

from .searches import random_then_zero_order, searched

unhurried = settings(deadline=None)  # a busy machine is no failure
ALGORITHMS = {
    "random": RandomSearch(),
    "zero-order": ZeroOrderSearch(),
    "evolution": EvolutionarySearch(population=6, elites=3),
    "particles": ParticleSearch(particles=4, stops=3),
    "tree": TreeSearch(),
    "paths": SearchOverPaths(),
    "backtracking": BacktrackingSearch(),
    "rollover": RolloverSearch(noises=5),
    "spectral": SpectralSearch(),
}


def account_of(name, images=30):
    return searched(Search((Block(ALGORITHMS[name], Budget(images=images)),)))[0]


def elders(account, recipe):
    """Every state and noise that a recipe passes through or descends from, nearest first, from its definition."""
    found = [state.id for state in reversed(prefixes(recipe)[:-1])]
    noise = recipe.noise
    if recipe.moves:
        found.append(noise.id)
    while noise.parent in account.lineage:
        noise = account.lineage[noise.parent]
        found.append(noise.id)
    return found


@pytest.mark.parametrize("name", ALGORITHMS)
def test_everyone_descends_from_the_nearest_scored_one_before(name):
    account = account_of(name)
    members = family(account)
    lines = {line.recipe.id: line for line in account.lanes[0]}
    scored = [member for member in members if member.line]
    assert sorted(member.line.recipe.id for member in scored) == sorted(lines)
    for member in scored:
        wanted = next((id for id in elders(account, member.line.recipe) if id in lines), None)
        nearest = next((elder.line.recipe.id for elder in member.ancestry[1:] if elder.line), None)
        assert nearest == wanted


@pytest.mark.parametrize("name", ALGORITHMS)
def test_states_that_were_only_passed_stand_where_families_part(name):
    for member in family(account_of(name)):
        assert member.line or len(member.children) > 1
        assert all(child.parent is member for child in member.children)


def test_paths_of_one_noise_part_at_a_state_that_was_not_scored():
    members = family(account_of("paths", 12))
    parted = [member for member in members if member.line is None]
    assert len(parted) == 2 and all(len(member.children) == 4 for member in parted)
    assert not any(member.parent for member in parted)


def test_fresh_noises_have_no_relatives():
    assert all(member.parent is None and not member.children for member in family(account_of("random")))


def test_a_founder_that_is_sampled_after_its_child_is_still_the_founder():
    account, space, _ = searched(Search((Block(RandomSearch(), Budget(images=1)),)))
    late = Recipe("seed", "7")
    child = late.then(("advance", 0, 3))
    first = account.lanes[0][0]
    for recipe in (child, late):
        account.lanes[0].append(type(first)(recipe, first.row, first.value, 1, 0.0, 1, not recipe.moves))
    members = family(account)
    by_id = {member.line.recipe.id: member for member in members}
    assert len(members) == 3 and by_id[child.id].parent is by_id[late.id]


@st.composite
def trees(draw):
    """Founders of random families, as `family` orders them."""
    members = [Member()]
    for _ in range(draw(st.integers(0, 40))):
        parent = members[draw(st.integers(0, len(members) - 1))]
        members.append(Member(parent=parent))
        parent.children.append(members[-1])
    return members


@unhurried
@given(trees(), st.integers(1, 4), st.data())
def test_no_two_stand_in_the_same_place_and_the_spine_is_straight(members, abreast, data):
    spine = members[data.draw(st.integers(0, len(members) - 1))].ancestry
    found = places(members[0], spine, abreast)
    assert found.keys() == set(members)
    for member in members[1:]:
        assert found[member][0] == found[member.parent][0] + 1
    for generation in {x for x, *_ in found.values()}:
        heights = sorted({y for x, y, _ in found.values() if x == generation})
        assert all(b - a >= 1 - 1e-9 for a, b in zip(heights, heights[1:]))
    assert len(set(found.values())) == len(found)
    assert {found[member][1] for member in spine} == {0.0}


def test_a_line_of_a_thousand_generations_is_no_trouble():
    members = [Member()]
    for _ in range(2000):
        members.append(Member(parent=members[-1]))
        members[-2].children.append(members[-1])
    assert places(members[0], [])[members[-1]] == (2000, 0.0, 0)


@pytest.mark.parametrize("images", [4, 300])
@pytest.mark.parametrize("name", ["zero-order", "evolution", "tree", "random", "chain"])
def test_everybody_is_on_the_sheet_and_no_dot_hides_another(name, images):
    account = (
        account_of(name, images) if name != "chain" else searched(random_then_zero_order((images // 2, images)))[0]
    )
    members = family(account)
    line = next(member for member in members if member.line is account.best()).ancestry
    sheet = laid_out(members, line)
    assert sheet.spots.keys() == set(members)
    assert all(LEFT - 1 <= x <= sheet.width - RIGHT + 1 and 0 < y < sheet.height - 60 for x, y in sheet.spots.values())
    spots = sorted((x, y, sheet.diameter(member)) for member, (x, y) in sheet.spots.items())
    for n, (x, y, size) in enumerate(spots):
        for x2, y2, size2 in spots[n + 1 :]:
            if x2 - x > 20:
                break
            assert max(abs(x2 - x), abs(y2 - y)) >= 0.99 * (size + size2) / 2


def test_each_image_of_a_batch_has_its_own_family():
    account = searched(random_then_zero_order((4, 9)), shape=(3, 4, 8, 8), unseen=(4,))[0]
    for lane in range(3):
        members = family(account, lane)
        assert {id(m.line) for m in members if m.line} == set(map(id, account.lanes[lane]))
        assert family_tree(account, lane).width == 1024
