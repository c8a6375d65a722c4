"""What a search believes of x̂0 on the way."""

import math

import pytest

from noise_search.search import Archive, Recipe
from noise_search.search.archive import Entry
from noise_search.search.previews import FEWEST, RECENT, WEIGHT, Previews

EARLY, LATE, STEPS = 4, 6, 12


def finished(archive, scores):
    """Images from new noises with these scores: {stop: of x̂0}, of the image."""
    images = []
    for seen, final in scores:
        state, here = Recipe("seed", str(len(archive))), 0
        for stop, score in (*seen.items(), (STEPS, final)):
            state, here = state.then(("advance", here, stop)), stop
            archive.add(Entry(state, (score,), 1, 0.0, 0, stop == STEPS))
        images.append(state)
    return images


@pytest.fixture
def archive():
    return Archive(lambda rows: rows[:, 0], (1,))


@pytest.fixture
def previews(archive):
    return Previews(archive, {EARLY: 0.6, LATE: 0.8})


def test_what_is_assumed_gives_way_to_what_is_seen(archive, previews):
    assert previews.agreement(EARLY) == (0.0, 0, 0.6)
    previews.add(finished(archive, [({EARLY: -n}, n) for n in range(10)]), [EARLY])
    found, n, believed = previews.agreement(EARLY)
    assert (found, n) == (pytest.approx(-1), 10)
    assert believed == pytest.approx((-10 + WEIGHT * 0.6) / (10 + WEIGHT))


def test_a_few_images_tell_nothing(archive, previews):
    previews.add(finished(archive, [({EARLY: -n}, n) for n in range(FEWEST - 1)]), [EARLY])
    assert previews.agreement(EARLY) == (pytest.approx(-1), FEWEST - 1, 0.6)


def test_a_stop_that_failed_is_not_forgotten_while_others_are_looked_at(archive, previews):
    previews.add(finished(archive, [({EARLY: -n}, n) for n in range(8)]), [EARLY])
    failed = previews.agreement(EARLY)
    previews.add(finished(archive, [({LATE: n}, n) for n in range(2 * RECENT)]), [LATE])
    assert previews.agreement(EARLY) == failed
    assert previews.agreement(LATE)[1] == RECENT


def test_previews_without_a_score_are_the_worst(archive, previews):
    previews.add(finished(archive, [({EARLY: math.nan}, n) for n in range(8)]), [EARLY])
    found, n, believed = previews.agreement(EARLY)
    assert (found, n) == (0, 8) and believed == pytest.approx(WEIGHT * 0.6 / (8 + WEIGHT))


def test_images_without_a_score_say_nothing(archive, previews):
    previews.add(finished(archive, [({EARLY: n}, math.nan if n % 2 else n) for n in range(8)]), [EARLY])
    assert previews.agreement(EARLY)[:2] == (pytest.approx(1), 4)
