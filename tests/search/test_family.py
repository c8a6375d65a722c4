"""What must hold of every algorithm that branches, prunes or evolves, and what each one asks."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from noise_search.search import Archive, Budget, NoiseSpace, Options, Recipe, SearchError
from noise_search.search.algorithms import (
    AutoSearch,
    BacktrackingSearch,
    CoarseToFineSearch,
    EvolutionarySearch,
    ParticleSearch,
    RandomSearch,
    RolloverSearch,
    ScreenedSearch,
    SpectralSearch,
    SuccessiveHalving,
    TreeSearch,
)
from noise_search.search.algorithms.particles import CHOICES, PRESETS
from noise_search.search.algorithms.resample import RESAMPLERS
from noise_search.search.algorithms.rollover import CONVERSIONS
from noise_search.search.algorithms.tree import Tree
from noise_search.search.archive import standardised
from noise_search.search.candidates import Gaussian, Neighbour, SeedList
from noise_search.search.candidates.band import blocks
from noise_search.search.candidates.spectral import coefficients
from noise_search.search.diversity import cosine_distances, mean_distance
from noise_search.search.history import History
from noise_search.search.lane import Lane
from noise_search.search.plan import estimate
from noise_search.search.space import seeded_noise
from noise_search.search.trajectory import end_of

from .test_algorithms import SEED, STEPS, Bench, seeds
from .test_run import Play, alone_or_finite, budgets, chain, numbers, scores, sizes
from .worlds import Interrupted, first, scripted, straight

few = settings(max_examples=12, deadline=None)
generators = st.sampled_from([Gaussian(), SeedList((3, 4, 5))])

FAMILY = {
    "auto": st.builds(
        AutoSearch,
        width=st.integers(1, 6),
        children=st.integers(1, 4),
        measure=st.booleans(),
        candidates=generators,
    ),
    "screened": st.builds(ScreenedSearch, drawn=st.integers(1, 5), candidates=generators),
    "halving": st.builds(
        SuccessiveHalving,
        width=st.integers(1, 6),
        keep=st.floats(0.1, 0.9),
        cuts=st.integers(1, 3),
        first_stop=st.floats(0.05, 0.9),
        candidates=generators,
    ),
    "particles": st.builds(
        ParticleSearch,
        particles=st.integers(1, 6),
        stops=st.integers(1, 4),
        **{name: st.sampled_from(choices) for name, choices in CHOICES.items()},
        strength=st.sampled_from([0.1, 10.0, 1e3]),
        resample_below=st.sampled_from([0.3, 1.0]),
        funnel=st.sampled_from([0.25, 1.0]),
        renoise=st.sampled_from([0.05, 0.5, 1.0]),
        diversity=st.sampled_from([0.0, 0.5, 1.0]),
        candidates=generators,
    ),
    "rollover": st.builds(
        RolloverSearch,
        noises=st.integers(1, 5),
        legs=st.integers(1, 4),
        quota=st.integers(1, 4),
        renoise=st.sampled_from([0.05, 0.6, 1.0]),
        candidates=generators,
        conversion=st.sampled_from(list(CONVERSIONS)),
    ),
    "evolution": st.builds(
        EvolutionarySearch,
        population=st.integers(1, 6),
        elites=st.integers(1, 3),
        mutation=st.floats(0.001, 1),
        newcomers=st.floats(0, 0.99),
        diversity=st.sampled_from([0.0, 0.4, 1.0]),
        mid_path=st.sampled_from([(), (), (0.4,), (0.2, 0.7)]),
        candidates=generators,
    ),
    "spectral": st.builds(
        SpectralSearch,
        population=st.integers(1, 6),
        elites=st.integers(1, 4),
        levels=st.integers(1, 3),
        preview=st.sampled_from([0.1, 0.5, 0.9]),
    ),
    "coarse_to_fine": st.builds(
        CoarseToFineSearch,
        levels=st.integers(1, 3),
        per_band=st.integers(1, 4),
        cosine=st.sampled_from([0.0, 0.9]),
        refine=st.sampled_from([0.0, 0.9]),
    ),
    "backtracking": st.builds(
        BacktrackingSearch,
        stops=st.integers(1, 4),
        tries=st.integers(1, 4),
        back=st.sampled_from([0.05, 0.3, 0.9]),
        quantile=st.sampled_from([0.0, 0.5, 1.0]),
        threshold=st.none() | st.floats(-2, 2),
        candidates=generators,
    ),
    "tree": st.builds(
        TreeSearch,
        stops=st.integers(1, 4),
        widening=st.sampled_from([0.2, 1.0]),
        strength=st.sampled_from([0.1, 100.0]),
        exploration=st.sampled_from([0.0, 1.0]),
        rollouts=st.integers(1, 4),
        renoise=st.sampled_from([0.05, 0.6]),
        candidates=generators,
    ),
}
each = pytest.mark.parametrize("name", FAMILY)
scores_and_nan = st.lists(numbers | st.just(math.nan), min_size=1, max_size=8).filter(lambda s: s[0] == s[0])


def plays(data, name, scores, rows, **settings):
    """An affordable search of this algorithm, perhaps in a chain; how to play it."""
    blocks = [(data.draw(FAMILY[name]), data.draw(budgets))]
    blocks.insert(data.draw(st.integers(0, 1)), (RandomSearch(), Budget(images=data.draw(st.integers(1, 3)))))
    search = chain(*blocks[data.draw(st.integers(0, 1)) :])

    def play(**more):
        return Play(search, rows, scripted(scores), options=Options(2, on_nan="exclude"), **settings, **more)

    return play


@each
@given(st.data(), scores_and_nan, st.integers(1, 2), sizes)
@few
def test_within_the_budget_and_the_best_is_kept(name, data, scores, rows, sizes):
    play = plays(data, name, scores, rows)(batches=lambda n: sizes[n % len(sizes)])
    try:
        play.go_if_affordable()
    except SearchError as error:
        assert "Every candidate was left out" in str(error)
        return
    assert play.outcome.spent == play.world.counted <= estimate(play.search, play.world, rows)
    for lane, archive in enumerate(lane.archive for lane in play.outcome.lanes):
        assert archive.entries[0].recipe == play.space.base
        complete = [e for e in archive.entries if e.complete and not e.excluded]
        winner = play.outcome.winners[lane]
        assert winner is max(complete, key=lambda e: e.row[0])
        assert (lane, winner.recipe.id) in play.world.latents
    assert all(stage.ended in ("budget spent", "nothing left to try") for stage in play.outcome.stages)


@each
@given(st.data(), scores, st.integers(1, 2), sizes)
@few
def test_same_inputs_same_asks_whatever_the_batch(name, data, scores, rows, sizes):
    play = plays(data, name, scores, rows)
    one = play(batches=lambda n: sizes[n % len(sizes)]).go_if_affordable()
    other = play(batches=lambda n: 1, whole=False).go()
    assert one.told == other.told


@each
@given(st.data(), alone_or_finite, st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_going_on_equals_the_straight_run(name, data, rows_and_scores, stop_after):
    rows, scores = rows_and_scores
    play = plays(data, name, scores, rows)
    straight = play()
    try:
        straight.go_if_affordable()
    except SearchError:
        assume(False)
    with History(":memory:") as history:
        broken = play(memory=history.of("k"))
        broken.world.stop_after = stop_after
        try:
            broken.go()
        except Interrupted:
            assert len(broken.world.scored) == stop_after
        again = play(memory=history.of("k")).go()
    assert again.told == straight.told
    assert again.stages == straight.stages
    assert again.world.counted <= straight.world.counted


@each
@given(st.data(), scores_and_nan, st.lists(st.integers(1, 16), min_size=1, max_size=4))
@few
def test_asks_do_not_depend_on_how_many_are_asked_at_once(name, data, scores, sizes):
    reward, algorithm = scripted(scores), data.draw(FAMILY[name])

    def asks(sizes):
        return Bench(lambda recipe: reward(None, 0, recipe)[0]).drive(algorithm, 40, sizes)

    assert asks(sizes) == asks((1,)) == asks((16,))


@each
@given(st.data(), scores)
@few
def test_twice_in_a_chain_asks_nothing_twice(name, data, scores):
    reward = scripted(scores)
    bench = Bench(lambda recipe: reward(None, 0, recipe)[0])
    bench.drive(data.draw(FAMILY[name]), 20)
    bench.drive(data.draw(FAMILY[name]), 20)  # the archive refuses a second evaluation
    assert bench.asked[0] == bench.lane.space.base


@each
@given(st.data(), st.integers(2, 12))
@few
def test_its_smallest_plan_is_enough_and_less_is_not(name, data, steps):
    algorithm = data.draw(FAMILY[name])
    least = algorithm.least(Lane(Archive(first, (1,)), None, steps, noise=straight(steps)))
    play = Play(chain((algorithm, Budget(evaluations=steps + least))), steps=steps).go()
    assert play.outcome.spent <= steps + least
    if least:
        assert len(play.outcome.lanes[0].archive) > 1
        with pytest.raises(SearchError, match="evaluations are too few"):
            Play(chain((algorithm, Budget(evaluations=steps + least - 1))), steps=steps).go()
        plain = Play(chain((algorithm, Budget(images=1))), steps=steps)
        assert plain.go().asked == [[plain.space.base.id]]


@pytest.mark.parametrize(
    "algorithm",
    [SuccessiveHalving(), ParticleSearch(), RolloverSearch(), SpectralSearch(), BacktrackingSearch(), TreeSearch()],
    ids=lambda algorithm: algorithm.name,
)
def test_one_step_is_too_few_to_stop_between(algorithm):
    with pytest.raises(SearchError, match=f"^{algorithm.name} needs .* takes 1: raise steps, or use Random Search.$"):
        algorithm.least(Lane(Archive(first, (1,)), None, 1))


# --- successive halving


def test_halving_stops_at_equal_ratios():
    assert SuccessiveHalving(cuts=3).stops(16) == [2, 4, 8, 16]
    assert SuccessiveHalving(cuts=2, first_stop=0.125).stops(20) == [2, 7, 20]
    assert SuccessiveHalving(cuts=5).stops(2) == [1, 2]
    with pytest.raises(SearchError, match="needs at least 2 sampling steps"):
        SuccessiveHalving().stops(1)


def test_halving_promotes_the_best_of_all_that_wait():
    # A candidate's score is its seed's place; the last round's are lower than what waits from the first.
    bench = Bench(lambda recipe: -abs(int(recipe.seed) - SEED - 3) + 0.01 * len(recipe.moves))
    halving = SuccessiveHalving(width=4, keep=0.5, cuts=2, first_stop=0.2)
    asked = bench.drive(halving, 1 + 4 + 2 + 1 + 4 + 2 + 1)
    stops = halving.stops(STEPS)
    assert [(end_of(r), int(r.seed) - SEED) for r in asked[1:8]] == [
        *((stops[0], n) for n in (1, 2, 3, 4)),
        *((stops[1], n) for n in (3, 2)),
        (STEPS, 3),
    ]
    assert seeds(asked[8:]) == [5, 6, 7, 8, 4, 1, 2]
    assert halving.least(bench.lane) == 4 * (stops[0] + 1) + 2 * (stops[1] - stops[0] + 1) + STEPS - stops[1]


def test_halving_keeps_the_states_it_may_promote():
    bench = Bench(lambda recipe: -int(recipe.seed))
    search = SuccessiveHalving(width=4, keep=0.25, cuts=1, first_stop=0.2).start(bench.lane)
    for n in (1, 2, 2, 1):
        for recipe in search.ask(n):
            bench.add(recipe)
        search.tell()
    assert set(search.alive) == {bench.asked[2]}  # the best that did not pass; the next round is new noise
    assert search.ask(1)[0].seed == str(SEED + 5)


# --- particle search


def dice(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("resampler", RESAMPLERS)
@given(st.lists(st.floats(0, 1) | st.just(0.0), min_size=1, max_size=7), st.integers(1, 12), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_children_are_n_and_none_has_no_weight(resampler, w, n, seed):
    assume(sum(w) > 1e-6)
    counts = RESAMPLERS[resampler](torch.tensor(w, dtype=torch.float64), n, dice(seed))
    assert sum(counts) == n
    assert all(count >= 0 and (weight > 0 or not count) for count, weight in zip(counts, w))
    if resampler != "multinomial":
        assert all(abs(count - n * weight / sum(w)) < 1 + 1e-9 for count, weight in zip(counts, w))


@pytest.mark.parametrize("resampler", RESAMPLERS)
@pytest.mark.parametrize("w", [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.25] * 4, [0.7, 0.1, 0.1, 0.1]])
def test_children_have_the_right_means_whatever_their_place(resampler, w):
    w, generator, draws = torch.tensor(w, dtype=torch.float64), dice(), 3000
    counts = torch.tensor([RESAMPLERS[resampler](w, 3, generator) for _ in range(draws)]).double()
    off = (counts.mean(0) - 3 * w).abs()
    assert (off <= 4.5 * counts.std(0) / math.sqrt(draws) + 1e-9).all()


def test_the_highest_draw_falls_to_the_last_that_has_weight(monkeypatch):
    highest = 1 - 2**-24
    monkeypatch.setattr(torch, "rand", lambda n, generator, dtype: torch.full((n,), highest, dtype=dtype))
    w = torch.tensor([0.1] * 10 + [0.0])
    assert (w.cumsum(0) / w.sum())[-1] <= highest  # rounding
    assert RESAMPLERS["multinomial"](w, 3, dice()) == [0] * 9 + [3, 0]


def test_ssp_counts_are_negatively_associated():
    w, generator = torch.full((5,), 0.2, dtype=torch.float64), dice()
    counts = torch.tensor([RESAMPLERS["ssp"](w, 2, generator) for _ in range(3000)]).double()
    off = torch.cov(counts.T) - torch.diag(counts.var(0))
    assert (off < 0.02).all()


def ranks(bench):
    """Scores of the states at a stop: their order in it, so that the last is the best."""
    return lambda recipe: len(bench.asked)


def test_infinite_tempering_gives_all_children_to_the_best_and_ties_share():
    bench = Bench(lambda recipe: 0)
    bench.score = ranks(bench)
    search = ParticleSearch(particles=4, stops=1, tempering="infinite")
    asked = bench.drive(search, 9)
    stop = search.schedule(STEPS)[0]
    assert [recipe.noise.then(recipe.moves[0]) for recipe in asked[5:]] == [asked[4]] * 4
    assert asked[5] == asked[4].then(("advance", stop, STEPS))  # the first child goes on as it is
    assert all(recipe.moves[1][:3] == ("renoise", stop, stop - 1) for recipe in asked[6:])
    assert len({recipe.moves[1][3] for recipe in asked[6:]}) == 3
    tied = Bench(lambda recipe: 0).drive(search, 9)
    assert sorted(seeds(tied[5:])) == [1, 2, 3, 4]


def test_stops_and_numbers_are_the_published_ones():
    assert ParticleSearch().schedule(50) == [10, 20, 30, 40, 50]
    assert ParticleSearch().schedule(3) == [1, 2, 3]
    assert ParticleSearch(particles=16, funnel=0.25).numbers(5) == [16, 11, 8, 6, 4]
    temper = ParticleSearch(strength=1)._temper
    assert temper(0.5) == pytest.approx(1.008**50 - 1)
    assert temper(0.95) == 1  # 1.008^87 is the first above 2


def test_weights_follow_the_tempered_score_in_standard_deviations():
    bench = Bench(lambda recipe: 0)
    values = {1: 0.0, 2: 100.0}
    bench.score = lambda recipe: values.get(int(recipe.seed) - SEED, 0)
    search = ParticleSearch(particles=2, stops=1, tempering="constant", strength=0.5)
    states = bench.drive(search, 3)[1:]
    stop = search.schedule(STEPS)[0]
    log_w = search._log_potentials(bench.lane, {stop: states}, states, 0, stop)
    torch.testing.assert_close(log_w, torch.tensor([-0.5, 0.5], dtype=torch.float64))


@pytest.mark.parametrize(("score", "expected"), [("current", [1, -1]), ("max", [1, 1]), ("difference", [2, -2])])
def test_the_score_may_be_the_current_one_the_rise_or_the_highest(score, expected):
    """Two paths whose scores were 0, 2 and then 2, 0: standardised −1, 1 and 1, −1."""
    bench = Bench(lambda recipe: 2.0 * ((int(recipe.seed) - SEED) % 2 == (len(recipe.moves) == 2)))
    states = [Recipe("seed", str(SEED + n)).then(("advance", 0, 4)) for n in (1, 2)]
    later = [state.then(("advance", 4, 7)) for state in states]
    for recipe in states + later:
        bench.add(recipe)
    search = ParticleSearch(score=score, tempering="constant", strength=1)
    log_w = search._log_potentials(bench.lane, {4: states, 7: later}, later, 4, 7)
    torch.testing.assert_close(log_w, torch.tensor(expected, dtype=torch.float64))


def test_without_resampling_weights_accumulate_and_every_particle_goes_on():
    bench = Bench(lambda recipe: int(recipe.seed))
    search = ParticleSearch(particles=3, stops=2, strength=0.01, resample_below=0.3)
    asked = bench.drive(search, 10)
    assert [len(recipe.moves) for recipe in asked[1:]] == [1] * 3 + [2] * 3 + [3] * 3
    assert not any(move[0] == "renoise" for recipe in asked for move in recipe.moves)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_searches(name):
    play = Play(chain((ParticleSearch(**{"particles": 3} | PRESETS[name]), Budget(images=40)))).go()
    assert any(recipe.moves and complete for recipe, _, _, complete in play.told[0])


# --- rollover


def test_a_better_child_is_taken_at_once_and_its_quota_rolls_over():
    bench = Bench(lambda recipe: 0)
    bench.score = lambda recipe: len(recipe.moves)  # every child beats its parent
    search = RolloverSearch(noises=3, legs=3, quota=2)
    asked = bench.drive(search, 1 + 3 + 3)
    assert search.stops(bench.lane) == [1, 4, 7, 11]
    assert seeds(asked[:4]) == [0, 1, 2, 3]
    assert [len(recipe.moves) for recipe in asked[4:]] == [2, 3, 4]
    assert asked[6] == asked[1].then(("advance", 1, 4), ("advance", 4, 7), ("advance", 7, 11))


def test_a_leg_whose_quota_ends_takes_its_best_child():
    bench = Bench(lambda recipe: 0)
    bench.score = lambda recipe: -len(bench.asked)  # every candidate is worse than the one before
    asked = bench.drive(RolloverSearch(noises=3, legs=2, quota=2), 1 + 3 + 4)
    assert [end_of(recipe) for recipe in asked[1:]] == [1, 1, 1, 6, 6, 11, 11]
    assert asked[4] == asked[1].then(("advance", 1, 6))
    assert asked[5].moves[1][:3] == ("renoise", 1, 0)
    assert asked[6] == asked[4].then(("advance", 6, 11))


# --- evolution


def test_children_descend_from_the_elites_in_turn_beside_newcomers():
    bench = Bench(lambda recipe: 1 if recipe.draw == "seed" and int(recipe.seed) in (SEED + 1, SEED + 3) else 0)
    asked = bench.drive(EvolutionarySearch(population=4, elites=2, mutation=0.6), 12)
    assert seeds(asked[:4]) == [0, 1, 2, 3]
    for generation, newcomer in ((asked[4:8], 4), (asked[8:], 5)):
        assert seeds(generation[:1]) == [newcomer]
        assert [child.parent for child in generation[1:]] == [asked[1].id, asked[3].id, asked[1].id]
        assert {child.setting("cosine") for child in generation[1:]} == {0.8}


def test_evolution_begins_with_the_population_of_the_blocks_before():
    bench = Bench(lambda recipe: -int(recipe.seed))
    bench.drive(RandomSearch(), 5)
    asked = bench.drive(EvolutionarySearch(population=4, newcomers=0), 4)
    assert {child.parent for child in asked[5:]} == {asked[0].id}


def large_bench(seed):
    """Scored by the mean of noises that are large enough to be far apart."""
    space = NoiseSpace(seeded_noise(torch.empty(1, 4, 8, 8), seed), seed)
    bench = Bench(lambda recipe: space.draw(recipe).mean().item())
    bench.lane = Lane(Archive(first, (1,)), space, STEPS)
    return bench


@pytest.mark.parametrize("seed", [0, 1000, 2000])
def test_diversity_keeps_more_families_of_noises_alive(seed):
    def parents_apart(diversity):
        """Mean cosine distance between the noises of which the last 24 candidates are children."""
        bench = large_bench(seed)
        asked = bench.drive(EvolutionarySearch(population=8, elites=4, diversity=diversity), 80)
        space = bench.lane.space
        noises = [space.draw(space[recipe.parent])[0] for recipe in asked[-24:] if recipe.parent]
        return mean_distance(cosine_distances(torch.stack(noises)))

    plain, some, most = map(parents_apart, (0.0, 0.5, 1.0))
    assert some > 1.1 * plain and most > 1.5 * plain


def test_diverse_elites_are_the_best_and_one_that_is_no_near_relative():
    parents = {}
    for diversity in (0.0, 0.3):
        bench = large_bench(0)
        bench.score = lambda recipe: 2 if recipe.parent else -int(recipe.seed)
        fresh = list(bench.drive(RandomSearch(), 3))
        twin = bench.lane.space.add(Neighbour(0.99).propose(bench.lane.space, 1, fresh[0]))
        bench.add(twin)
        bench.score = lambda recipe: -9
        bench.drive(EvolutionarySearch(population=2, elites=2, newcomers=0, diversity=diversity), 2)
        names = {twin.id: "twin", **{recipe.id: n for n, recipe in enumerate(fresh)}}
        parents[diversity] = [names[child.parent] for child in bench.asked[-2:]]
    assert parents == {0.0: ["twin", 0], 0.3: ["twin", 1]}


# --- spectral search


def test_spectral_candidates_keep_the_finer_bands_and_a_gaussians_norm():
    space = NoiseSpace(seeded_noise(torch.empty(2, 3, 8, 6), SEED), SEED)
    low = coefficients(space.given, 2)[0]
    ids = [space.store(torch.stack([μ * torch.ones_like(low), torch.full_like(low, 0.1)])) for μ in (0, 5)]
    for id in ids:
        recipe = Recipe("spectral", "9", space.base.id, (("levels", 1), ("gaussian", id)))
        y = space.draw(space.add(recipe)).double()
        x = space.given.double()
        torch.testing.assert_close(y - blocks(y, 2), x - blocks(x, 2), atol=1e-6, rtol=0)
        fresh = coefficients(space.seeded(9), 2)
        found = coefficients(y, 2)
        torch.testing.assert_close(found.flatten(1).norm(dim=1), fresh.flatten(1).norm(dim=1), atol=1e-5, rtol=0)
    assert found.min() > 0  # five standard deviations above 0, and then renormalised


def test_band_coefficients_are_standard_normal_whatever_the_size():
    x = torch.randn(1, 4000, 5, 3, generator=dice())
    low = coefficients(x, 2)[0].flatten(1)
    assert low.shape[1] == 6
    torch.testing.assert_close(low.T @ low / len(low), torch.eye(6).double(), atol=0.1, rtol=0)


def test_the_gaussian_is_fitted_to_the_elites_and_the_best_is_finished():
    bench = Bench(lambda recipe: 0)
    bench.score = ranks(bench)
    search = SpectralSearch(population=3, elites=2, levels=1, preview=0.3)
    asked = bench.drive(search, 1 + 3 + 1 + 3)
    assert [end_of(recipe) for recipe in asked[1:]] == [3, 3, 3, STEPS, 3, 3, 3]
    assert asked[4] == asked[3].then(("advance", 3, STEPS))
    space = bench.lane.space
    stored = space.stored(asked[5].setting("gaussian"))
    assert stored.dtype == torch.float32  # as it is written down
    mean, spread = stored.double()
    bands = torch.stack([coefficients(space.draw(asked[n].noise), 2)[0] for n in (3, 2)])
    torch.testing.assert_close(mean, bands.mean(0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(spread**2, bands.var(0, correction=0) + 1e-7, atol=1e-6, rtol=1e-5)


# --- coarse to fine


def test_bands_go_from_the_lowest_to_the_finest_around_the_best():
    bench = Bench(lambda recipe: 0, shape=(1, 4, 3))
    bench.score = ranks(bench)
    search = CoarseToFineSearch(levels=2, per_band=2, refine=0.7)
    assert search.bands(4) == [(0, 4), (4, 2), (2, 1)]
    asked = bench.drive(search, 1 + 2 * 4)
    found = [tuple(r.setting(name) for name in ("coarse", "fine", "cosine")) for r in asked[1::2]]
    assert found == [(0, 4, 0.0), (4, 2, 0.0), (2, 1, 0.0), (0, 4, 0.7)]
    assert [r.parent for r in asked[1::2]] == [r.parent for r in asked[2::2]]
    assert [r.parent for r in asked[1::2]] == [r.id for r in asked[0::2][:4]]


@pytest.mark.parametrize(
    ("levels", "shape"),
    [(4, (1, 16, 16)), (4, (1, 8, 8)), (4, (1, 4, 4)), (4, (2, 1, 12)), (6, (1, 32, 32)), (3, (1, 1, 1))],
)
def test_no_band_is_empty(levels, shape):
    bench = Bench(lambda recipe: int(recipe.id, 16), shape=shape)
    noises = [bench.lane.space.draw(recipe) for recipe in bench.drive(CoarseToFineSearch(levels), 30)]
    assert len({noise.numpy().tobytes() for noise in noises}) == len(noises) == 30


# --- backtracking


def test_a_poor_state_is_raised_and_solved_again_until_it_is_good_enough():
    bench = Bench(lambda recipe: 0)
    bench.score = lambda recipe: len(bench.asked)  # the second way down is good enough
    search = BacktrackingSearch(stops=1, tries=5, back=0.2, threshold=3)
    asked = bench.drive(search, 4)
    stop = search.schedule(STEPS)[0]
    assert asked[1] == Recipe("seed", str(SEED + 1)).then(("advance", 0, stop))
    assert asked[2].moves[1][:3] == ("renoise", stop, stop - 2)
    assert asked[2].moves[2] == ("advance", stop - 2, stop)
    assert asked[3] == asked[2].then(("advance", stop, STEPS))


def test_when_the_tries_end_the_best_goes_on():
    scores = iter([0, 1, 3, 2, 0])
    bench = Bench(lambda recipe: next(scores))
    asked = bench.drive(BacktrackingSearch(stops=1, tries=3, threshold=9), 5)
    assert asked[4].moves[:-1] == asked[2].moves


def test_what_finishing_takes_is_kept_back():
    bench = Bench(lambda recipe: 0)
    search = BacktrackingSearch(stops=1, tries=9, threshold=9)
    bench.lane.affords = lambda cost: cost <= search.least(bench.lane) and len(bench.asked) < 2
    asked = bench.drive(search, 9)
    assert [len(recipe.moves) for recipe in asked] == [0, 1, 2]


def test_thresholds_are_learned_from_what_was_seen_at_the_stop():
    bench = Bench(lambda recipe: 0)
    bench.score = lambda recipe: -len(bench.asked)  # the first at each stop is the best
    asked = bench.drive(BacktrackingSearch(stops=1, tries=2), 6)
    assert [len(recipe.moves) for recipe in asked[1:]] == [1, 2, 1, 3, 2]


# --- tree search


def test_rollouts_are_finished_images_that_share_their_beginnings():
    bench = Bench(lambda recipe: int(recipe.seed) == SEED + 2)
    search = TreeSearch(stops=2, rollouts=1, exploration=0)
    asked = bench.drive(search, 30)
    assert all(end_of(recipe) == STEPS for recipe in asked[1:])
    assert asked[1].moves == (("advance", 0, 4), ("advance", 4, 7), ("advance", 7, 11))
    shared = [recipe for recipe in asked[1:] if any(move[0] == "renoise" for move in recipe.moves)]
    assert len([recipe for recipe in shared if int(recipe.seed) == SEED + 2]) > len(shared) / 2  # the good branch grows


def backed_up(score, parents, λ):
    """A tree of finished images below states, in the order of their parents."""
    bench, tree = Bench(score), Tree(2)
    states = [tree.grow(tree.root, 0, Recipe("seed", str(n))) for n in range(max(parents) + 1)]
    images = [tree.grow(states[parent], 1, Recipe("seed", str(SEED + n))).state for n, parent in enumerate(parents)]
    for image in images:
        bench.add(image)
    tree.back_up(bench.lane.archive, images, λ)
    return tree


def soft_mean(values, λ):
    return math.log(sum(math.exp(λ * (v - max(values))) for v in values) / len(values)) / λ + max(values)


def test_values_are_backed_up_softly():
    root, states, images = backed_up(lambda recipe: int(recipe.seed) - SEED, [0, 0], 2.0).values
    assert images == pytest.approx([-1, 1])
    soft = math.log((math.exp(-2) + math.exp(2)) / 2) / 2
    assert root == states == [pytest.approx(soft)]


@given(st.data())
def test_a_value_is_the_soft_mean_of_the_values_below_however_the_tree_grew(data):
    counts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5), "children of each state")
    parents = data.draw(st.permutations([n for n, count in enumerate(counts) for _ in range(count)]), "in order")
    scores = data.draw(st.lists(st.floats(-9, 9), min_size=len(parents), max_size=len(parents)), "scores")
    root, states, images = backed_up(lambda recipe: scores[int(recipe.seed) - SEED], parents, 5.0).values
    z = standardised(scores, scores)
    below = [[z[n] for n, parent in enumerate(parents) if parent == place] for place in range(len(counts))]
    assert images == pytest.approx(z)
    assert states == pytest.approx([soft_mean(values, 5.0) for values in below])
    assert root == [pytest.approx(soft_mean(states, 5.0))]


def test_a_finished_image_without_a_score_counts_as_a_very_poor_one():
    tree = backed_up(lambda recipe: math.nan if int(recipe.seed) == SEED else int(recipe.seed) - SEED, [0, 1, 2], 2.0)
    assert tree.values[1] == pytest.approx([-10, -1, 1])


def test_a_rollout_from_a_stop_pays_for_the_steps_below_it_alone():
    play = Play(chain((TreeSearch(stops=3, rollouts=2), Budget(images=24))), steps=8).go()
    entries = play.outcome.lanes[0].archive.entries
    assert {entry.nfe for entry in entries} > {8}
    assert len(entries) > 24


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SuccessiveHalving(width=0), "Successive Halving: width is 0; it must be at least 1."),
        (lambda: SuccessiveHalving(keep=1), "Successive Halving: keep is 1; it is a share from 0 to 1."),
        (lambda: ParticleSearch(stops=0), "Particle Search: stops is 0; it must be at least 1."),
        (
            lambda: ParticleSearch(score="best"),
            "Particle Search: score is 'best'; use current, difference, max.",
        ),
        (lambda: ParticleSearch(funnel=0), "Particle Search: funnel is 0; it is a share from 0 to 1."),
        (lambda: ParticleSearch(diversity=2), "Particle Search: diversity is 2; it is a share from 0 to 1."),
        (lambda: RolloverSearch(quota=0), "Rollover Search: quota is 0; it must be at least 1."),
        (
            lambda: EvolutionarySearch(diversity=1.5),
            "Evolutionary Search: diversity is 1.5; it must be from 0 to 1.",
        ),
        (
            lambda: EvolutionarySearch(mutation=0),
            "Evolutionary Search: mutation is 0; it must be from 0.001 to 1.",
        ),
        (lambda: SpectralSearch(levels=0), "Spectral Search: levels is 0; it must be from 1 to 12."),
        (
            lambda: CoarseToFineSearch(refine=1.0),
            "Coarse-to-Fine Search: refine is 1.0; it must be from 0 to below 1.",
        ),
        (lambda: BacktrackingSearch(quantile=2), "Backtracking Search: quantile is 2; it must be from 0 to 1."),
        (lambda: TreeSearch(strength=0), "Tree Search: strength is 0; it must be above 0."),
    ],
)
def test_bad_settings_are_one_clear_sentence(make, sentence):
    with pytest.raises(SearchError) as caught:
        make()
    assert str(caught.value) == sentence
