"""The rows of a latent batch on their paths, side by side: none starves, and what waiting costs is said."""

import math

import pytest

from noise_search.search import Budget, Options
from noise_search.search.algorithms import (
    AutoSearch,
    BacktrackingSearch,
    CoarseToFineSearch,
    EvolutionarySearch,
    ParticleSearch,
    RandomSearch,
    RolloverSearch,
    ScreenedSearch,
    SearchOverPaths,
    SpectralSearch,
    SuccessiveHalving,
    TreeSearch,
    ZeroOrderSearch,
)
from noise_search.search.algorithms.particles import PRESETS
from noise_search.search.history import History
from noise_search.search.trajectory import end_of, prefixes

from .test_run import STEPS, Play, chain
from .worlds import Interrupted, brightness, scripted

ON_PATHS = {
    "backtracking": BacktrackingSearch(),
    "evolution": EvolutionarySearch(mid_path=(0.3, 0.6)),
    "funnel": ParticleSearch(**PRESETS["funnel"]),
    "particles": ParticleSearch(),
    "paths": SearchOverPaths(rounds=2),
    "rollover": RolloverSearch(noises=8),
    "tree": TreeSearch(),
}
WHOLE = {
    "auto": AutoSearch(),
    "coarse_to_fine": CoarseToFineSearch(levels=1),
    "halving": SuccessiveHalving(),
    "random": RandomSearch(),
    "screened": ScreenedSearch(),
    "spectral": SpectralSearch(levels=1),
    "zero_order": ZeroOrderSearch(),
}
in_rows = pytest.mark.parametrize("rows", [2, 4])


def test_rows_that_lose_their_path_go_on_beside_the_others():
    """Row 1 has no score on its first paths, so that it begins anew while row 0 is half way."""

    def reward(latent, lane, recipe):
        lost = lane == 1 and recipe.moves and recipe.noise.seed in ("12", "13") and end_of(recipe) < STEPS
        return [math.nan if lost else brightness(latent, lane, recipe)[0]]

    search = chain((SearchOverPaths(paths=2, branches=2, first_stop=0.2), Budget(images=40)))
    options = Options(on_nan="exclude")
    play = Play(search, 2, reward, options=options).go()
    assert play.outcome.spent == play.world.counted <= 40 * STEPS * 2
    kinds = [{tuple(m[:3] for m in recipe.moves) for recipe, *_ in told} for told in play.told]
    assert kinds[0] == kinds[1]  # both follow paths to the end
    assert any(recipe.moves and complete for recipe, _, _, complete in play.told[1])


def diverging(algorithm, rows, images, **more):
    """Rows that are scored differently, so that their paths part."""
    scores = scripted([n / 256 for n in range(256)])
    return Play(chain((algorithm, Budget(images=images))), rows, scores, steps=10, **more)


@pytest.mark.parametrize("name", ON_PATHS | WHOLE)
@in_rows
def test_no_row_starves(name, rows):
    """In Rollover Search luck decides how many of a round are finished: the first better child ends a leg."""
    play = diverging((ON_PATHS | WHOLE)[name], rows, images=128).go()
    assert play.outcome.spent == play.world.counted <= 128 * 10 * rows
    spent = [sum(nfe for _, _, nfe, _ in told) for told in play.told]
    finished = [sum(complete for *_, complete in told) for told in play.told]
    assert max(spent) < 1.25 * min(spent)
    assert 1 < max(finished) <= (3 if name == "rollover" else 2) * min(finished)


@pytest.mark.parametrize("name", ["backtracking", "funnel", "particles", "paths", "rollover"])  # a leg at a time
@in_rows
def test_nothing_is_solved_again_for_rows_that_ride_along(name, rows):
    play = diverging(ON_PATHS[name], rows, images=32).go()
    for told in play.told:
        states = {state.id: state.moves[-1] for recipe, *_ in told for state in prefixes(recipe)}
        legs = sum(play.world.path_cost(i, j) for verb, i, j, *_ in states.values() if verb == "advance")
        rest = sum(10 if not recipe.moves else not complete for recipe, _, _, complete in told)  # whole, and previews
        assert sum(nfe for _, _, nfe, _ in told) <= legs + rest
    [stage] = play.outcome.stages
    assert stage.spent == stage.idle + sum(nfe for told in play.told for _, _, nfe, _ in told)


@pytest.mark.parametrize("name", ON_PATHS)
@in_rows
def test_rows_out_of_step_go_on_from_the_history_as_if_straight(name, rows):
    straight = diverging(ON_PATHS[name], rows, images=20).go()
    assert straight.told == diverging(ON_PATHS[name], rows, images=20).go().told
    with History(":memory:") as history:
        broken = diverging(ON_PATHS[name], rows, images=20, memory=history.of("k"))
        broken.world.stop_after = len(straight.world.scored) // 2
        with pytest.raises(Interrupted):
            broken.go()
        again = diverging(ON_PATHS[name], rows, images=20, memory=history.of("k")).go()
        assert again.told == straight.told
        assert again.outcome.stages[0].notes == straight.outcome.stages[0].notes
        assert again.world.counted <= straight.world.counted
        more = diverging(ON_PATHS[name], rows, images=40, memory=history.of("k")).go()
    assert more.told == diverging(ON_PATHS[name], rows, images=40).go().told
    assert more.outcome.recalled > 0


def test_what_waiting_rows_cost_is_said():
    alone, beside = (diverging(BacktrackingSearch(), rows, images=20).go().outcome.stages[0] for rows in (1, 2))
    assert not alone.notes
    assert beside.notes == [
        f"The images of the batch waited for each other on their paths: {beside.idle / beside.spent:.0%} of the "
        "evaluations brought nothing; one image at a time wastes none."
    ]
