"""What is guessed from a noise: the features, the fit, and a search that uses it only where it is worth something."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.search import Archive, NoiseSpace, SearchError
from noise_search.search.algorithms import RandomSearch, ScreenedSearch
from noise_search.search.algorithms.screened import ROUND, UNSCREENED
from noise_search.search.archive import Entry
from noise_search.search.candidates import SeedList
from noise_search.search.lane import Lane
from noise_search.search.screening import BEGINS, STAYS, beats_chance, coarse, guess
from noise_search.search.space import seeded_noise


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        ((4, 16, 16), 64), ((4, 17, 23), 64), ((16, 8, 8), 64), ((16, 5, 8, 8), 16), ((64, 32), 64), ((4, 1, 9), 16),
        ((9,), 9), ((2, 2, 4, 4, 4), 16),
    ],  # fmt: skip
)
def test_features_are_block_means_of_unit_variance(shape, count):
    noises = torch.randn(400, *shape, generator=torch.Generator().manual_seed(0))
    found = torch.stack([coarse(noise) for noise in noises])
    assert found.shape == (400, count)
    assert found.var(0).mean() == pytest.approx(1, abs=0.3)  # blocks of uneven sides overlap


def test_features_are_those_of_the_blocks():
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1))
    assert coarse(noise)[5].item() == pytest.approx(noise[0, 2:4, 2:4].double().sum().item() / 2, abs=1e-9)


def test_a_guess_is_the_ridge_fit_to_ranks_with_the_strength_that_leaves_one_out_best():
    draw = torch.Generator().manual_seed(2)
    known, new = (torch.randn(n, 6, generator=draw, dtype=torch.float64) for n in (40, 9))
    scores = (known @ torch.tensor([2.0, -1, 0, 0, 0, 0], dtype=torch.float64)).exp()  # ranks undo the exponential
    y = scores.argsort().argsort().double()
    y = (y - y.mean()) / y.std()

    def fit(x, y, at, strength):
        centre = x.mean(0)
        weights = torch.linalg.solve((x - centre).T @ (x - centre) + strength * 6 * torch.eye(6), (x - centre).T @ y)
        return (at - centre) @ weights

    def left_out(strength):  # with centre and target of all: the closed form's own terms
        x, errors = known - known.mean(0), []
        for n in range(len(x)):
            rest = torch.arange(len(x)) != n
            weights = torch.linalg.solve(x[rest].T @ x[rest] + strength * 6 * torch.eye(6), x[rest].T @ y[rest])
            errors.append((y[n] - x[n] @ weights) ** 2)
        return torch.stack(errors).mean()

    strength = min((0.1, 1.0, 10.0), key=left_out)
    torch.testing.assert_close(guess(known, scores.tolist(), new), fit(known, y, new, strength))
    assert guess(known, [3.0] * 40, new).tolist() == [0.0] * 9


def test_a_correlation_beats_chance_by_fishers_z():
    assert not beats_chance(1.0, 7, STAYS) and beats_chance(1.0, 8, BEGINS)
    assert beats_chance(0.30, 32, STAYS) and not beats_chance(0.29, 32, STAYS)  # tanh(1.6449 / √29) = 0.2963
    assert beats_chance(0.45, 32, BEGINS) and not beats_chance(0.44, 32, BEGINS)  # tanh(2.6 / √29) = 0.4484
    assert not beats_chance(-1.0, 32, STAYS)


def layout(noise):
    """Linear in the coarse numbers."""
    return coarse(noise)[:8].sum().item()


def texture(noise):
    """Nothing that block means could tell."""
    return noise.flatten()[::7].double().pow(2).sum().item()


def searched(reward, algorithm, seed=11, images=64):
    """(seeds and scores in order, notes) of a search whose score is a function of the noise."""
    space = NoiseSpace(seeded_noise(torch.zeros(1, 4, 16, 16), seed), seed)
    lane = Lane(Archive(lambda rows: rows[:, 0], (1,)), space, 4)
    running = algorithm.start(lane)
    while asked := running.ask(min(5, images - len(lane.archive))):
        for recipe in asked:
            lane.archive.add(Entry(recipe, (reward(space.draw(recipe)[0]),), 4, 0.0, 0, True))
        running.tell()
    told = [(int(entry.recipe.seed), entry.row[0]) for entry in lane.archive.entries]
    return told, " ".join(getattr(running, "notes", ()))


def test_where_the_noise_tells_it_finds_more():
    gains = []
    for seed in range(0, 8000, 1000):
        screened, notes = searched(layout, ScreenedSearch(), seed)
        random, _ = searched(layout, RandomSearch(), seed)
        assert len(screened) == len(random) == 64 and notes.startswith("Screening is on")
        gains.append(max(score for _, score in screened) - max(score for _, score in random))
    assert sum(gains) / len(gains) > 1  # a third of the score's standard deviation, √8


def test_where_the_noise_tells_nothing_it_is_off_and_says_so():
    notes = [searched(texture, ScreenedSearch(), seed)[1] for seed in range(0, 8000, 1000)]
    assert sum(note.startswith("Screening is off") and "not surely better than chance" in note for note in notes) >= 7


def test_while_nothing_is_known_it_asks_what_random_search_asks():
    told, notes = searched(texture, ScreenedSearch(), 5, images=16)
    assert told == searched(texture, RandomSearch(), 5, images=16)[0]
    assert "has not begun" in searched(texture, ScreenedSearch(), 5, images=8)[1]


def test_two_of_a_round_come_as_they_are_drawn():
    told, _ = searched(layout, ScreenedSearch(drawn=4), 0, images=128)
    seeds = [seed for seed, _ in told]
    rounds = [seeds[n : n + ROUND] for n in range(0, 128, ROUND)]
    screened = [n for n, round_ in enumerate(rounds) if round_ != list(range(round_[0], round_[0] + ROUND))]
    assert len(screened) >= 5 and screened == list(range(screened[0], 16))
    drawn = ROUND * screened[0]
    for round_ in rounds[screened[0] :]:
        assert round_[:UNSCREENED] == [drawn, drawn + 1]
        drawn += UNSCREENED + 4 * (ROUND - UNSCREENED)
        assert max(round_) < drawn


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60))
def test_nothing_is_lost_of_a_short_list(count):
    algorithm = ScreenedSearch(drawn=3, candidates=SeedList(tuple(range(100, 100 + count))))
    told, _ = searched(layout, algorithm, 7, images=200)
    assert sorted(seed for seed, _ in told) == [7, *range(100, 100 + count)]


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(SearchError, match="drawn is 0"):
        ScreenedSearch(drawn=0)
