"""EvoSearch's mutation of half-finished images, in Evolutionary Search (arXiv 2505.17618)."""

import math

import pytest
import torch

from noise_search.search import Budget, SearchError
from noise_search.search.algorithms import EvolutionarySearch, RandomSearch
from noise_search.search.lane import Lane

from .test_algorithms import STEPS, Bench, seeds
from .test_run import Play, chain
from .worlds import archive_of


def later_is_better(bench):
    return lambda recipe: len(bench.asked)


def bred(score=later_is_better, generations=4, **settings):
    """The generations that it asks for, from the first."""
    bench = Bench(None)
    bench.score = score(bench)
    algorithm = EvolutionarySearch(population=3, newcomers=0.0, **settings)
    asked = bench.drive(algorithm, 3 * generations)
    return [asked[n : n + 3] for n in range(0, len(asked), 3)]


LEGS = (("advance", 0, 3), ("advance", 3, 6), ("advance", 6, 11))  # 0.3 and 0.5 of 11 steps


def test_generations_mutate_noises_then_the_states_at_each_stop_in_turn():
    first, noises, early, late, again = bred(generations=5, mid_path=(0.5, 0.3))
    assert first[0].moves == () and [recipe.moves for recipe in first[1:]] == [LEGS, LEGS]
    assert [recipe.moves for recipe in noises] == [LEGS] * 3
    assert {recipe.parent for recipe in noises} == {first[-1].noise.id}
    for recipe in early:
        assert recipe.moves[0] == LEGS[0] and recipe.noise == noises[-1].noise
        assert recipe.moves[1][:3] == ("renoise", 3, 2) and recipe.moves[2:] == (("advance", 2, 3), *LEGS[1:])
    for recipe in late:
        assert recipe.moves[:4] == early[-1].moves[:4] and recipe.noise == early[-1].noise
        assert recipe.moves[4][:3] == ("renoise", 6, 5) and recipe.moves[5:] == (("advance", 5, 6), ("advance", 6, 11))
    assert {recipe.parent for recipe in again} == {late[-1].noise.id} and again[0].draw == "neighbour"
    drawn = [move[3] for recipe in early + late for move in recipe.moves if move[0] == "renoise"]
    assert len(set(drawn)) == 6  # one of the first three stands in all the later


def test_without_it_nothing_is_cut():
    generations = bred()
    assert not any(recipe.moves for generation in generations for recipe in generation)
    assert not EvolutionarySearch().path and EvolutionarySearch(mid_path=(0.5,)).path
    assert EvolutionarySearch().least(Bench(None).lane) == 0
    assert EvolutionarySearch(mid_path=(0.5, 0.3)).least(Bench(None).lane) == STEPS


def test_a_plain_image_is_followed_to_the_stop_it_is_mutated_at():
    """Candidate 0 is the best: its own way down to the stop, then a mutation."""
    bench = Bench(lambda recipe: 0 if recipe.moves else 1)
    asked = bench.drive(EvolutionarySearch(population=2, newcomers=0.0, mid_path=(0.3,)), 6)
    assert seeds(asked[:2]) == [0, 1] and asked[2].parent == asked[0].id
    for recipe in asked[4:]:
        assert recipe.noise == asked[0] and recipe.moves[0] == LEGS[0] and recipe.moves[1][:3] == ("renoise", 3, 2)


def test_the_mutation_is_x_plus_σ_ε_with_the_forward_kernel_of_a_flow():
    """x′ = a·x + √(σ′² − a²σ²)·ε with a = (1−σ′)/(1−σ): σ = 1/2 at the stop and σ′ = 3/4 one step above it."""
    search = chain((EvolutionarySearch(population=2, newcomers=0.0, mid_path=(0.5,)), Budget(images=8)))
    play = Play(search, steps=4, reward=lambda latent, lane, recipe: (float(len(recipe.moves)),)).go()
    child = next(e.recipe for e in play.outcome.lanes[0].archive.entries if "renoise" in [m[0] for m in e.recipe.moves])
    flow, space = play.world.flow, play.space
    x = flow.advance(flow.start(space.draw(child)), 0, 2, ["0"])
    a = (1 - 0.75) / (1 - 0.5)
    ε = space.seeded(int(child.moves[1][3])).double()
    raised = a * x + math.sqrt(0.75**2 - a**2 * 0.5**2) * ε
    expected = flow.advance(raised, 1, 4, ["0"])
    play.world.path.solve(flow, space, [[child]], 1)
    torch.testing.assert_close(play.world.path.gather([[child]]), expected)


def test_a_parents_states_are_not_solved_again():
    """Every child pays for the steps below its mutation alone; in the last generation from a stop at 2 of 4: 3."""
    search = chain((EvolutionarySearch(population=20, newcomers=0.0, mid_path=(0.5,)), Budget(images=60)))
    play = Play(search, steps=4, reward=lambda latent, lane, recipe: (float(len(recipe.moves)),)).go()
    entries = play.outcome.lanes[0].archive.entries
    prices = {e.nfe for e in entries if any(move[0] == "renoise" for move in e.recipe.moves)}
    assert len(entries) > 40 and prices == {3}
    assert play.outcome.spent == play.world.counted == sum(e.nfe for e in entries)


def test_it_goes_on_from_the_search_before_it():
    search = chain(
        (RandomSearch(), Budget(images=5)),
        (EvolutionarySearch(population=3, newcomers=0.4, mid_path=(0.4,)), Budget(images=8)),
        (EvolutionarySearch(population=3, newcomers=0.4, mid_path=(0.4,)), Budget(images=8)),
    )
    play = Play(search, 2).go()
    for lane in play.outcome.lanes:
        assert sum(entry.recipe.moves == () for entry in lane.archive.entries) == 5
        assert len(lane.archive) > 15


@pytest.mark.parametrize("share", [1.0, 0.0, -0.5])
def test_a_share_is_above_0_and_below_1(share):
    with pytest.raises(SearchError) as caught:
        EvolutionarySearch(mid_path=(0.5, share))
    assert str(caught.value) == (
        f"Evolutionary Search: mid_path holds {share}; it takes shares of the sampling steps, above 0 and below 1."
    )


def test_one_step_has_no_middle():
    lane = Lane(archive_of()(), None, 1)
    with pytest.raises(SearchError) as caught:
        EvolutionarySearch(mid_path=(0.5,)).least(lane)
    assert str(caught.value) == (
        "Evolutionary Search: mid_path needs at least 2 sampling steps, and the sampler takes 1: raise steps, or "
        "clear mid_path."
    )


def test_stops_that_fall_together_are_one():
    assert EvolutionarySearch(mid_path=(0.3, 0.29, 0.99, 0.001)).stops(11) == [1, 3, 10]
