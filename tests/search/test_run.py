"""A whole search on the analytic world: what must hold whatever the algorithm, the scores and the budget."""

import itertools
import math
import sys

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from noise_search.search import Account, Block, Budget, NoiseSpace, Options, Search, SearchError, run
from noise_search.search.algorithms import (
    BacktrackingSearch,
    RandomSearch,
    SearchOverPaths,
    ZeroOrderSearch,
)
from noise_search.search.candidates import Gaussian, Neighbour, SeedList
from noise_search.search.plan import estimate

from .worlds import World, archive_of, brightness, given_noise, scripted

driver = sys.modules["noise_search.search.run"]  # in the package, `run` is the function
STEPS = 5

random_search = st.builds(RandomSearch, st.sampled_from([Gaussian(), Neighbour(0.5), SeedList((3, 4, 5, 6, 7, 8))]))
zero_order = st.builds(ZeroOrderSearch, neighbours=st.integers(1, 5), restart_after=st.integers(0, 2))
over_paths = st.builds(
    SearchOverPaths,
    paths=st.integers(1, 3),
    branches=st.integers(1, 6),
    first_stop=st.sampled_from([0.2, 0.4, 0.8]),
    rounds=st.sampled_from([1, 1, 2]),
    explore=st.sampled_from([0.0, 0.5]),
    candidates=st.sampled_from([Gaussian(), SeedList((3, 4, 5))]),
)
algorithms = random_search | zero_order | over_paths
evaluations = st.integers(STEPS, 30 * STEPS)
budgets = st.builds(Budget, evaluations=evaluations) | st.builds(Budget, images=st.integers(1, 24))
numbers = st.sampled_from([0.0, 1.0, -1.0, 1e300, -1e300]) | st.floats(-10, 10)
scores = st.lists(numbers, min_size=1, max_size=20)
scores_and_nan = st.lists(numbers | st.just(math.nan), min_size=1, max_size=8)
rows = st.integers(1, 3)
# What failed is not remembered: beside a row that failed the others may have to solve more again than was recalled.
alone_or_finite = st.tuples(st.just(1), scores_and_nan) | st.tuples(rows, scores)
sizes = st.lists(st.integers(1, 20), min_size=1, max_size=4)
few = settings(max_examples=40, deadline=None)


def chain(*pairs):
    return Search(tuple(Block(algorithm, budget) for algorithm, budget in pairs))


searches = st.lists(st.tuples(algorithms, budgets), min_size=1, max_size=2).map(lambda pairs: chain(*pairs))


class Play:
    """One run: its outcome, its world, and what was observed after each generation."""

    def __init__(
        self, search, rows=1, reward=brightness, memory=None, archive=None, options=None, enough=None, **world
    ):
        self.space = NoiseSpace(given_noise(rows), 11)  # KSampler's noise for seed 11
        shelf = memory.states if memory else None
        self.world = World(self.space, reward, **({"steps": STEPS, "shelf": shelf} | world))
        self.search, self.seen, self.options = search, [], options or Options(keep=2)
        self.memory, self.archive = memory, archive or archive_of()
        self.enough = enough or (lambda: False)
        self.outcome = None

    def go(self):
        try:
            self.outcome = run(
                self.search,
                self.world,
                self.space,
                self.archive,
                self.options,
                self.memory,
                lambda outcome: self.seen.append([lane.archive.best() for lane in outcome.lanes]),
                self.enough,
            )
        finally:
            self.world.path.save(over=self.outcome is not None)
        return self

    def go_if_affordable(self):
        """An error about the budget comes before any evaluation, in one sentence; such examples are left out."""
        try:
            return self.go()
        except SearchError as error:
            if "evaluations are too few" not in str(error):
                raise
            assert self.world.counted == 0
            assume(False)

    @property
    def told(self):
        """What each lane learnt, in order."""
        return [[(e.recipe, e.row, e.nfe, e.complete) for e in lane.archive.entries] for lane in self.outcome.lanes]

    @property
    def asked(self):
        return [[e.recipe.id for e in lane.archive.entries] for lane in self.outcome.lanes]

    @property
    def stages(self):
        return [(stage.limit, stage.spent, stage.candidates, stage.ended) for stage in self.outcome.stages]


# --- the budget


@given(searches, rows, scores_and_nan, sizes)
@settings(max_examples=80, deadline=None)
def test_what_is_spent_is_what_the_model_counted_and_within_the_budget(search, rows, scores, sizes):
    assume(not all(map(math.isnan, scores)))
    play = Play(
        search,
        rows,
        scripted(scores),
        options=Options(2, on_nan="exclude"),
        batches=lambda n: sizes[n % len(sizes)],
    )
    try:
        play.go_if_affordable()
    except SearchError as error:
        assert "Every candidate was left out" in str(error)
        return
    limit = estimate(search, play.world, rows)
    assert play.outcome.spent == play.world.counted <= limit
    assert play.outcome.recalled == 0
    left = 0
    for stage, block in zip(play.outcome.stages, search.blocks):
        assert stage.limit == left + block.budget.limit(STEPS * rows)
        assert stage.spent <= stage.limit
        left = stage.limit - stage.spent
    told = [e.nfe for lane in play.outcome.lanes for e in lane.archive.entries]
    assert sum(told) <= play.outcome.spent  # lanes that ride along are paid for too
    assert rows > 1 or sum(told) == play.outcome.spent


@given(random_search, rows, st.integers(1, 20), sizes)
@few
def test_whole_samples_use_the_budget_to_the_last_image(algorithm, rows, images, sizes):
    play = Play(chain((algorithm, Budget(images=images))), rows, batches=lambda n: sizes[n % len(sizes)]).go()
    there_are = 7 if isinstance(algorithm.candidates, SeedList) else math.inf
    assert [len(lane.archive) for lane in play.outcome.lanes] == [min(images, there_are)] * rows


@given(searches, rows)
@few
def test_a_search_that_learns_its_cost_from_the_first_image_makes_the_same_plan(search, rows):
    known, learning = (Play(search, rows, whole=whole).go_if_affordable() for whole in (True, False))
    assert learning.asked == known.asked
    assert learning.outcome.spent == learning.world.counted == known.outcome.spent


def test_a_budget_of_one_image_is_the_plain_image_whatever_the_algorithm():
    for algorithm in (RandomSearch(), ZeroOrderSearch(), SearchOverPaths()):
        for batch in (1, 2):
            play = Play(chain((algorithm, Budget(images=1))), batch).go()
            assert play.asked == [[play.space.base.id]] * batch
            plain = play.world.flow.advance(play.space.given.double(), 0, STEPS, [""] * batch)
            for lane in range(batch):
                assert torch.equal(play.world.latents[lane, play.space.base.id], plain[lane])


@pytest.mark.parametrize(
    ("search", "rows", "sentence"),
    [
        (
            chain((RandomSearch(), Budget(evaluations=4))),
            1,
            "Search Budget: 4 evaluations are too few, one image takes 5; set evaluations to at least 5, "
            "or use images.",
        ),
        (
            chain((ZeroOrderSearch(), Budget(evaluations=9))),
            2,
            "Search Budget: 9 evaluations are too few, one image takes 10 for a batch of 2; set evaluations to at "
            "least 10, or use images.",
        ),
        (
            chain((SearchOverPaths(paths=1, branches=1), Budget(images=2))),
            1,
            "Search Budget: 10 evaluations are too few for Search over Paths, one round of it takes 15; "
            "set evaluations to at least 15, or images to 3.",
        ),
        (
            chain((RandomSearch(), Budget(images=3)), (RandomSearch(), Budget(evaluations=2))),
            1,
            "Search Budget: 2 evaluations are too few, one image takes 5; set evaluations to at least 5, "
            "or use images.",
        ),
    ],
)
def test_too_small_a_budget_states_the_minimum_before_anything_is_paid_for(search, rows, sentence):
    play = Play(search, rows)
    with pytest.raises(SearchError) as caught:
        play.go()
    assert str(caught.value) == sentence
    assert play.world.counted == 0


def test_the_minimum_that_the_error_states_is_enough_and_less_is_not():
    def play(n):
        return Play(chain((SearchOverPaths(paths=2, branches=2), Budget(evaluations=n))))

    with pytest.raises(SearchError) as caught:
        play(STEPS + 1).go()
    least = int(str(caught.value).split("at least ")[1].split(",")[0])
    with pytest.raises(SearchError):
        play(least - 1).go()
    assert play(least).go().outcome.spent == least


def test_what_is_left_is_handed_to_the_next_block():
    list_of_2 = RandomSearch(SeedList((3, 4)))
    play = Play(chain((list_of_2, Budget(images=8)), (ZeroOrderSearch(neighbours=2), Budget(images=1)))).go()
    assert [stage.ended for stage in play.outcome.stages] == ["nothing left to try", "budget spent"]
    assert [stage.candidates for stage in play.outcome.stages] == [3, 6]
    assert play.outcome.spent == 9 * STEPS


def test_a_chain_is_one_archive():
    play = Play(chain((RandomSearch(), Budget(images=5)), (RandomSearch(), Budget(images=5)))).go()
    assert [int(e.recipe.seed) for e in play.outcome.lanes[0].archive.entries] == list(range(11, 21))


@pytest.mark.parametrize("generation", [1, 16])
def test_patience_is_counted_within_the_block_and_to_the_candidate(monkeypatch, generation):
    monkeypatch.setattr(driver, "GENERATION", generation)
    best = {14: 5, 17: 6}

    def reward(latent, lane, recipe):
        return [best.get(int(recipe.seed), 0)]

    limit = Budget(images=100, patience=4)
    play = Play(chain((RandomSearch(), limit), (RandomSearch(), limit)), reward=reward).go()
    assert [stage.ended for stage in play.outcome.stages] == ["patience ended"] * 2
    assert [stage.candidates for stage in play.outcome.stages] == [6 + 1 + 4, 4]


def test_a_batch_is_patient_as_long_as_one_of_its_rows():
    def reward(latent, lane, recipe):
        return [int(recipe.seed) if lane and int(recipe.seed) < 20 else 0]

    play = Play(chain((RandomSearch(), Budget(images=100, patience=3))), 2, reward).go()
    assert play.outcome.stages[0].candidates == 9 + 3


@given(algorithms, st.integers(1, 3), st.floats(-2, 2))
@few
def test_a_target_ends_the_whole_chain_when_every_row_reached_it(algorithm, rows, target):
    budget = Budget(images=30, target=target)
    play = Play(chain((algorithm, budget), (RandomSearch(), Budget(images=4))), rows).go_if_affordable()
    reached = [all(best.row[0] >= target for best in bests if best) for bests in play.seen]
    ended = play.outcome.stages[0].ended
    assert (ended == "target reached") == (len(play.outcome.stages) == 1)
    if ended == "target reached":
        assert reached == [False] * (len(reached) - 1) + [True]


def test_a_target_reached_with_the_last_of_the_budget_ends_the_chain_too():
    budget = Budget(images=3, target=-100)
    play = Play(chain((RandomSearch(), budget), (RandomSearch(), budget))).go()
    assert [(stage.candidates, stage.ended) for stage in play.outcome.stages] == [(3, "target reached")]


def test_a_target_needs_a_rule_that_does_not_depend_on_the_others():
    play = Play(chain((RandomSearch(), Budget(images=4, target=1))), options=Options(relative=True))
    with pytest.raises(SearchError, match="^Search Budget: a target score needs a verifier whose score does not"):
        play.go()
    assert play.world.counted == 0


def test_a_threshold_needs_that_of_the_rule_of_unfinished_candidates_alone():
    search = chain((BacktrackingSearch(threshold=1.0), Budget(images=4)))
    play = Play(search, options=Options(relative_early=True))
    with pytest.raises(SearchError, match="^Backtracking Search: threshold needs .* Turn use_threshold off, or let"):
        play.go()
    assert play.world.counted == 0
    for threshold, early in ((1.0, False), (None, True)):
        search = chain((BacktrackingSearch(threshold=threshold), Budget(images=4)))
        Play(search, options=Options(relative=True, relative_early=early)).go()


def test_seconds_end_the_search_after_the_candidates_in_flight(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(driver.time, "monotonic", lambda: next(clock))
    play = Play(chain((RandomSearch(), Budget(seconds=6))), batches=lambda n: 1).go()
    assert play.outcome.stages[0].ended == "time is up"
    assert 0 < len(play.outcome.lanes[0].archive) < 10
    assert play.outcome.spent == play.world.counted


def test_enough_ends_the_search_and_keeps_the_best():
    play = Play(chain((RandomSearch(), Budget(images=40)), (RandomSearch(), Budget(images=40))), batches=lambda n: 3)
    play.enough = lambda: len(play.world.scored) >= 6
    play.go()
    assert [stage.ended for stage in play.outcome.stages] == ["stopped"]
    assert len(play.world.scored) == 6
    assert (0, play.outcome.winners[0].recipe.id) in play.world.latents


@pytest.mark.parametrize("budget", [{}, {"patience": 3}, {"target": 1.0}])
def test_a_budget_that_allows_nothing_is_an_error(budget):
    with pytest.raises(SearchError, match="images, evaluations and seconds are all 0"):
        Budget(**budget)


@pytest.mark.parametrize("name", ["images", "evaluations", "seconds", "patience"])
def test_a_negative_budget_is_an_error(name):
    with pytest.raises(SearchError, match=f"^Search Budget: {name} is -1; it cannot be negative.$"):
        Budget(**({"images": 1} | {name: -1}))


def test_evaluations_lost_to_a_failed_allocation_are_spent():
    class Failing(World):
        wasted = 0

        def _score(self, slots):
            if len(slots) > 2:
                self.flow.denoise.rows += len(slots)  # it fails in its first step, and is tried again by halves
                self.wasted += len(slots)
                yield from self._score(slots[:2])
                for n in range(2, len(slots), 2):
                    yield from self._score(slots[n : n + 2])
            else:
                yield from super()._score(slots)

    play = Play(chain((RandomSearch(), Budget(images=30))))
    play.world = Failing(play.space, brightness, STEPS, batches=lambda n: 4)
    play.go()
    assert play.world.wasted > 0
    assert play.outcome.spent == play.world.counted <= 30 * STEPS


# --- same inputs, same asks


@given(searches, rows, scores, sizes, st.integers(1, 20))
@few
def test_asks_do_not_depend_on_batch_nor_generation(search, rows, scores, sizes, generation):
    one = Play(search, rows, scripted(scores), batches=lambda n: sizes[n % len(sizes)]).go_if_affordable()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "GENERATION", generation)
        other = Play(search, rows, scripted(scores), batches=lambda n: 1).go()
    assert one.told == other.told


@given(searches, rows)
@few
def test_the_same_search_twice_is_the_same(search, rows):
    one, other = Play(search, rows).go_if_affordable(), Play(search, rows).go()
    assert one.told == other.told
    assert one.stages == other.stages
    for place, latent in one.world.latents.items():
        assert torch.equal(latent, other.world.latents[place])


@given(algorithms, rows)
@few
def test_latents_do_not_depend_on_the_batch_they_were_sampled_in(algorithm, rows):
    search = chain((algorithm, Budget(images=20)))
    one, other = (Play(search, rows, batches=lambda n, k=k: k).go_if_affordable() for k in (1, 7))
    assert one.asked == other.asked
    for place, latent in one.world.latents.items():
        torch.testing.assert_close(latent, other.world.latents[place], rtol=0, atol=1e-10)


@given(algorithms)
@few
def test_each_row_of_a_batch_searches_by_itself(algorithm):
    """Row b of a batch learns what it would learn were the other rows scored otherwise."""
    search = chain((algorithm, Budget(images=25)))

    def others(latent, lane, recipe):
        return brightness(latent, lane, recipe) if lane == 1 else [len(recipe.id + recipe.seed) % 7]

    one, other = Play(search, 2).go_if_affordable(), Play(search, 2, others).go()
    assert one.told[1] == other.told[1]


# --- the best


@given(searches, rows, scores_and_nan)
@few
def test_the_best_so_far_is_never_lost(search, rows, scores):
    assume(not math.isnan(scores[0]))
    play = Play(search, rows, scripted(scores), options=Options(2, on_nan="exclude"))
    try:
        play.go_if_affordable()
    except SearchError as error:
        assert "Every candidate was left out" in str(error)
        return
    for lane in range(rows):
        bests = [best[lane].row[0] for best in play.seen if best[lane]]
        assert bests == sorted(bests)
        entries = [e for e in play.outcome.lanes[lane].archive.entries if e.complete and not e.excluded]
        winner = play.outcome.winners[lane]
        assert winner is max(entries, key=lambda e: e.row[0])  # the first of equals
        assert (lane, winner.recipe.id) in play.world.latents


def mean_rank(rows):
    """Higher is better; the mean over measures of the share of candidates that one is not below."""
    return torch.stack([(column[:, None] >= column).double().mean(1) for column in rows.T]).mean(0)


def z_sum(rows):
    return ((rows - rows.mean(0)) / rows.std(0, correction=0).clamp_min(1e-12)).sum(1)


@pytest.mark.parametrize("rule", [mean_rank, z_sum])
@pytest.mark.parametrize("keep", [0, 3])
@given(algorithm=algorithms, rows=rows, values=st.lists(st.integers(-4, 4), min_size=2, max_size=20))
@settings(max_examples=25, deadline=None)
def test_the_final_winner_of_a_relative_rule_was_kept(rule, keep, algorithm, rows, values):
    play = Play(
        chain((algorithm, Budget(images=25))),
        rows,
        scripted([float(v) for v in values], measures=2),
        archive=archive_of(rule, (1, 1)),
        options=Options(keep, relative=True),
    ).go_if_affordable()
    for lane, winner in enumerate(play.outcome.winners):
        assert (lane, winner.recipe.id) in play.world.latents
    assert all((lane, play.space.base.id) in play.world.latents for lane in range(rows))


# --- failures


@given(algorithms, st.integers(1, 2))
@few
def test_nan_stops_the_run_with_the_verifiers_name(algorithm, rows):
    play = Play(
        chain((algorithm, Budget(images=20))),
        rows,
        lambda latent, lane, recipe: [1.0, math.nan],
        archive=archive_of(signs=(1, 1)),
        options=Options(names=["mean", "sharpness"]),
    )
    with pytest.raises(SearchError, match="^The verifier sharpness gave nan for a candidate"):
        play.go_if_affordable()


def test_nan_of_a_measure_that_is_only_watched_stops_nothing():
    play = Play(
        chain((RandomSearch(), Budget(images=3))),
        reward=lambda latent, lane, recipe: [1.0, math.nan],
        archive=archive_of(signs=(1, 0)),
    ).go()
    assert len(play.outcome.lanes[0].archive) == 3


def test_excluded_candidates_are_reported_and_never_win():
    def reward(latent, lane, recipe):
        return [math.inf if recipe.seed == "12" else -1.0]

    play = Play(
        chain((RandomSearch(), Budget(images=3))), reward=reward, options=Options(on_nan="exclude", names=["mean"])
    ).go()
    assert [e.excluded for e in play.outcome.lanes[0].archive.entries] == ["", "mean gave inf", ""]
    assert play.outcome.winners[0].recipe == play.space.base


def test_when_nothing_has_a_score_there_is_no_winner():
    play = Play(
        chain((RandomSearch(), Budget(images=3))), reward=lambda *_: [math.nan], options=Options(on_nan="exclude")
    )
    with pytest.raises(SearchError, match="^Every candidate was left out"):
        play.go()


# --- memory


@pytest.mark.parametrize("algorithm", [RandomSearch(), ZeroOrderSearch(), SearchOverPaths(paths=2, branches=3)])
def test_the_tensors_held_do_not_grow_with_the_candidates_tried(algorithm):
    """Steadily worse scores, so that the front is one candidate; with any others it grows by their best."""

    def held(images):
        scores = itertools.count(0, -1)
        search = chain((algorithm, Budget(images=images)))
        play = Play(search, 2, lambda latent, lane, recipe: [next(scores)], batches=lambda n: 4).go()
        states = play.world.path.states.values()
        return play.world.most_held, len(play.space._drawn), sum(s.untyped_storage().nbytes() for s in states)

    small, large = held(60), held(240)
    assert large == small


def test_a_state_that_stays_does_not_keep_its_batch_in_memory():
    play = Play(chain((SearchOverPaths(paths=1, branches=6), Budget(images=11))), batches=lambda n: 6)
    play.observed = []
    play.world.keep = lambda finished, alive: (
        World.keep(play.world, finished, alive),
        play.observed.extend(s.untyped_storage().nbytes() / s.nbytes for s in play.world.path.states.values()),
    )
    play.go()
    assert set(play.observed) == {1.0}


# --- the account


@given(searches, rows, scores_and_nan)
@few
def test_the_account_survives_json(search, rows, scores):
    assume(not math.isnan(scores[0]))
    play = Play(search, rows, scripted(scores), options=Options(2, on_nan="exclude"))
    try:
        play.go_if_affordable()
    except SearchError:
        assume(False)
    account = Account.of(
        play.outcome,
        search=search.name,
        measures=["mean"],
        searched=[True],
        forwards=7,
        estimate=math.inf,
        seconds=1.5,
        shape=list(play.space.given.shape),
        seed=str(2**64 - 1),
        sampler="euler",
        steps=STEPS,
        notes=["a note"],
    )
    text = account.to_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    again = Account.from_json(text)
    assert again.to_json() == text
    assert again.estimate == math.inf
    assert again.seed == str(2**64 - 1)
    for lane in range(rows):
        assert again.best(lane).recipe == play.outcome.winners[lane].recipe
        assert again.plain(lane).recipe == play.space.base
        curve = again.curve(lane)
        assert [line.value for _, line in curve] == sorted(line.value for _, line in curve)
        if curve:
            assert curve[-1][1].recipe == again.best(lane).recipe
            assert curve[-1][0] == sum(line.nfe for line in again.lanes[lane])
    elsewhere = NoiseSpace(play.space.given, 11)
    for recipe in again.lineage.values():
        elsewhere.add(recipe)
    best = again.best(0).recipe
    assert torch.equal(elsewhere.draw(best), play.space.draw(best))


def test_an_account_without_limit_survives_json():
    play = Play(chain((RandomSearch(SeedList((3, 4))), Budget(seconds=1000)))).go()
    facts = dict.fromkeys(("measures", "searched", "shape"), [1]) | dict.fromkeys(("search", "seed", "sampler"), "")
    account = Account.of(play.outcome, **facts, forwards=0, estimate=math.inf, seconds=0.0, steps=STEPS)
    assert account.stages[0]["limit"] == math.inf
    assert Account.from_json(account.to_json()).stages == account.stages
