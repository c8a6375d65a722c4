"""What each algorithm asks, by ask and tell alone, beside what was published."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.search import Archive, Entry, NoiseSpace, Recipe, SearchError
from noise_search.search.algorithms import RandomSearch, SearchOverPaths, ZeroOrderSearch
from noise_search.search.candidates import Gaussian, Neighbour, SeedList
from noise_search.search.lane import Lane
from noise_search.search.space import seeded_noise
from noise_search.search.trajectory import end_of

from .worlds import SHAPE, first, given_noise, scripted, straight

SEED, STEPS = 100, 11


class Bench:
    """One lane, scored by a function of the recipe; `asked` collects what the algorithm asked, in order."""

    def __init__(self, score, rounds=40, shape=SHAPE):
        space = NoiseSpace(seeded_noise(given_noise(shape=shape), SEED), SEED)
        self.lane = Lane(Archive(first, (1,)), space, STEPS, noise=straight(STEPS))
        self.score, self.rounds, self.asked = score, rounds, []

    def drive(self, algorithm, most, sizes=(16,)):
        """Ask and tell until `most` candidates were asked in all."""
        search, turn, end = algorithm.start(self.lane), 0, len(self.asked) + most
        while len(self.asked) < end:
            recipes = search.ask(min(sizes[turn % len(sizes)], end - len(self.asked)))
            turn += 1
            if not recipes:
                break
            for recipe in recipes:
                self.add(recipe, turn)
            search.tell()
        return self.asked

    def add(self, recipe, generation=0):
        self.asked.append(recipe)
        value = self.score(recipe)
        complete = not recipe.moves or end_of(recipe) == STEPS
        self.lane.archive.add(Entry(recipe, (value,), 1, 0.0, generation, complete, "" if value == value else "NaN"))


def seeds(recipes):
    return [int(recipe.seed) - SEED for recipe in recipes]


ALGORITHMS = st.one_of(
    st.builds(RandomSearch, st.sampled_from([Gaussian(), Neighbour(0.5), SeedList((SEED, 3, 4, 5, 6))])),
    st.builds(
        ZeroOrderSearch,
        neighbours=st.integers(1, 5),
        candidates=st.sampled_from([Neighbour(), Gaussian(), SeedList((3, SEED, 4, 5, 6, 7))]),
        restart_after=st.integers(0, 2),
    ),
    st.builds(SearchOverPaths, paths=st.integers(1, 3), branches=st.integers(1, 6), rounds=st.integers(1, 3)),
)
SCORES = st.lists(
    st.sampled_from([0.0, 1.0, -1.0, 1e300, -1e300, math.nan]) | st.floats(-10, 10), min_size=1, max_size=20
)


@given(ALGORITHMS, SCORES, st.lists(st.integers(1, 16), min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_asks_do_not_depend_on_how_many_are_asked_at_once(algorithm, scores, sizes):
    reward = scripted(scores)

    def asks(sizes):
        return Bench(lambda recipe: reward(None, 0, recipe)[0]).drive(algorithm, 40, sizes)

    assert asks(sizes) == asks((1,)) == asks((16,))


@given(ALGORITHMS, ALGORITHMS, SCORES)
@settings(max_examples=60, deadline=None)
def test_a_chain_never_asks_for_a_candidate_twice(one, other, scores):
    reward = scripted(scores)
    bench = Bench(lambda recipe: reward(None, 0, recipe)[0])
    bench.drive(one, 20)
    bench.drive(other, 20)  # the archive refuses a second evaluation
    assert len(set(bench.asked)) == len(bench.asked)
    assert bench.asked[0] == bench.lane.space.base


# --- random search


def test_random_search_asks_for_the_seeds_in_order():
    asked = Bench(lambda recipe: 0).drive(RandomSearch(), 20)
    assert seeds(asked) == list(range(20))
    assert {recipe.draw for recipe in asked} == {"seed"}


def test_random_search_over_a_list_ends_with_it_and_leaves_out_the_samplers_own():
    asked = Bench(lambda recipe: 0).drive(RandomSearch(SeedList((SEED + 5, SEED, SEED + 3))), 20)
    assert seeds(asked) == [0, 5, 3]


def test_a_generator_that_repeats_itself_is_asked_for_something_new():
    class Stutter:
        def propose(self, space, index, parent):
            return Recipe("seed", str(index // 3))

    asked = Bench(lambda recipe: 0).drive(RandomSearch(Stutter()), 5)
    assert [recipe.seed for recipe in asked] == [str(SEED), "0", "1", "2", "3"]


# --- zero-order search


def improving(recipe):
    """Later neighbours are better: each round has a new pivot."""
    improving.calls += 1
    return improving.calls


def test_zero_order_search_moves_to_the_best_neighbour():
    improving.calls = 0
    asked = Bench(improving).drive(ZeroOrderSearch(neighbours=3, candidates=Neighbour(0.9)), 10)
    assert asked[0].draw == "seed"
    parents = [asked[0].id] * 3 + [asked[3].id] * 3 + [asked[6].id] * 3
    assert [recipe.parent for recipe in asked[1:]] == parents
    assert all(recipe.setting("cosine") == 0.9 for recipe in asked[1:])
    assert len({recipe.seed for recipe in asked}) == 10


def test_zero_order_search_keeps_its_pivot_when_no_neighbour_beats_it_nor_scores_it_again():
    asked = Bench(lambda recipe: 0).drive(ZeroOrderSearch(neighbours=2), 9)  # ties keep the earlier
    assert {recipe.parent for recipe in asked[1:]} == {asked[0].id}
    assert len(set(asked)) == 9


def test_zero_order_search_sets_a_fruitless_pivot_aside_and_never_loses_it():
    bench = Bench(lambda recipe: 5 if recipe.seed == str(SEED) else 0)
    asked = bench.drive(ZeroOrderSearch(neighbours=2, restart_after=2), 11)
    assert [recipe.draw for recipe in asked] == (["seed"] + ["neighbour"] * 4) * 2 + ["seed"]
    assert seeds([asked[5], asked[10]]) == [1, 2]
    assert {recipe.parent for recipe in asked[6:10]} == {asked[5].id}
    assert bench.lane.archive.best().recipe == asked[0]


def test_zero_order_search_starts_from_the_best_of_the_blocks_before():
    bench = Bench(lambda recipe: 9 if recipe.seed == str(SEED + 3) else 0)
    bench.drive(RandomSearch(), 6)
    asked = bench.drive(ZeroOrderSearch(neighbours=2), 4)[6:]
    assert {recipe.parent for recipe in asked} == {Recipe("seed", str(SEED + 3)).id}


def test_zero_order_search_after_paths_samples_the_winners_noise_first():
    bench = Bench(lambda recipe: len(recipe.moves))
    asked = bench.drive(SearchOverPaths(paths=1, branches=1), 4)
    winner = bench.lane.archive.best().recipe
    assert winner.moves
    asked = bench.drive(ZeroOrderSearch(neighbours=2), 3)[4:]
    assert asked[0] == winner.noise
    assert {recipe.parent for recipe in asked[1:]} == {asked[0].id}


def test_zero_order_search_goes_on_when_nothing_before_had_a_score():
    bench = Bench(lambda recipe: math.nan if recipe.draw == "seed" else 1)
    bench.drive(RandomSearch(), 3)
    asked = bench.drive(ZeroOrderSearch(neighbours=2), 4)[3:]
    assert [recipe.parent for recipe in asked] == [bench.lane.space.base.id] * 2 + [asked[0].id] * 2


# --- search over paths


def test_paths_stop_where_the_flux_implementation_stops():
    assert SearchOverPaths().stops(11) == [(5, 4, 7), (7, 6, 9), (9, 8, 11)]


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.98), st.floats(0.001, 0.5), st.integers(2, 60))
@settings(max_examples=200, deadline=None)
def test_every_plan_goes_down_to_the_end(stop, forward, more, steps):
    plan = SearchOverPaths(first_stop=stop, forward=forward, backward=min(0.99, forward + more)).stops(steps)
    assert 1 <= plan[0][0] < steps
    assert plan[-1][2] == steps
    assert [down for _, _, down in plan[:-1]] == [at for at, _, _ in plan[1:]]
    for at, up, down in plan:
        assert 0 <= up < at < down <= steps
        assert at - up == min(at, max(1, round(forward * steps)))


def test_two_steps_are_the_fewest_to_branch_between():
    assert SearchOverPaths().stops(2) == [(1, 0, 2)]
    with pytest.raises(SearchError, match="needs at least 2 sampling steps"):
        SearchOverPaths().stops(1)


def test_paths_branch_every_state_and_follow_the_best():
    # A branch's score is its number among the asked: the last branches of the last state are the best.
    bench = Bench(lambda recipe: len(bench.asked))
    asked = bench.drive(SearchOverPaths(paths=2, branches=3), 1 + 18 + 6)
    assert seeds(asked[:1]) == [0]
    stages = [asked[1 + 6 * k : 7 + 6 * k] for k in range(4)]
    starts = [Recipe("seed", str(SEED + n)).then(("advance", 0, 5)) for n in (1, 2)]
    assert [recipe.noise.then(recipe.moves[0]) for recipe in stages[0]] == [starts[0]] * 3 + [starts[1]] * 3
    for k, (stop, up, down) in enumerate([(5, 4, 7), (7, 6, 9), (9, 8, 11)]):
        for recipe in stages[k]:
            (_, i, j, _), last = recipe.moves[-2:]
            assert (i, j, *last) == (stop, up, "advance", up, down)
    for earlier, later in zip(stages[:2], stages[1:3]):
        survivors = [earlier[5]] * 3 + [earlier[4]] * 3  # the best first
        assert [recipe.noise.then(*recipe.moves[:-2]) for recipe in later] == survivors
    noises = {recipe.moves[-2][3] for stage in stages[:3] for recipe in stage}
    assert len(noises) == 18
    assert [recipe.seed for recipe in stages[3]] == [str(SEED + 3)] * 3 + [str(SEED + 4)] * 3  # the next round


def test_paths_begin_with_the_best_noises_of_the_blocks_before():
    bench = Bench(lambda recipe: {SEED + 4: 9, SEED + 2: 8}.get(int(recipe.seed), 0))
    bench.drive(RandomSearch(), 6)
    asked = bench.drive(SearchOverPaths(paths=3, branches=1), 3)[6:]
    assert seeds(asked) == [4, 2, 0]


def test_a_path_without_any_score_ends_and_another_begins():
    bench = Bench(lambda recipe: math.nan if recipe.seed == str(SEED + 1) else 0)
    asked = bench.drive(SearchOverPaths(paths=1, branches=2), 9)
    assert [int(recipe.seed) - SEED for recipe in asked] == [0, 1, 1, 2, 2, 2, 2, 2, 2]


def test_a_round_that_cannot_be_paid_for_is_not_begun():
    bench = Bench(lambda recipe: 0)
    search = SearchOverPaths(paths=2, branches=3)
    cost = search.least(bench.lane)
    assert cost == 2 * 5 + 6 * ((3 + 1) + (3 + 1) + 3)
    bench.lane.affords = lambda wanted: wanted < cost
    assert len(bench.drive(search, 20)) == 1


def test_the_states_that_may_be_needed_are_alive_and_no_others():
    bench = Bench(lambda recipe: len(bench.asked))
    search = SearchOverPaths(paths=2, branches=3).start(bench.lane)
    bench.add(*search.ask(1))
    search.tell()
    parents = [Recipe("seed", str(SEED + n)).then(("advance", 0, 5)) for n in (1, 2)]
    assert set(search.alive) == {*parents}
    for recipe in (half := search.ask(4)):
        bench.add(recipe)
    search.tell()
    assert set(search.alive) == {*parents, *half}
    for recipe in (rest := search.ask(4)):
        bench.add(recipe)
    search.tell()
    assert set(search.alive) == {rest[1], rest[0]}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ZeroOrderSearch(neighbours=0), "Zero-Order Search: neighbours is 0; it must be at least 1."),
        (lambda: ZeroOrderSearch(restart_after=-1), "Zero-Order Search: restart_after is -1; it cannot be negative."),
        (lambda: SearchOverPaths(paths=0), "Search over Paths: paths is 0; it must be at least 1."),
        (lambda: SearchOverPaths(branches=0), "Search over Paths: branches is 0; it must be at least 1."),
        (
            lambda: SearchOverPaths(forward=1),
            "Search over Paths: forward is 1; it is a share of the sampling steps, above 0 and below 1.",
        ),
        (
            lambda: SearchOverPaths(forward=0.3, backward=0.2),
            "Search over Paths: backward (0.2) must be larger than forward (0.3), or the path never reaches the end.",
        ),
    ],
)
def test_bad_settings_are_one_clear_sentence(make, sentence):
    with pytest.raises(SearchError) as caught:
        make()
    assert str(caught.value) == sentence
