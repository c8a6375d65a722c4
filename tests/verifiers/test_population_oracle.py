"""Inception Score and Fréchet distance against their formulae written out, and the greedy choice by trying all."""

import numpy as np
import pytest
import scipy.linalg
import torch
import transformers

from noise_search.harness import small_clips
from noise_search.search import Archive, Entry, Recipe
from noise_search.verifiers import (
    Box,
    FrechetDistance,
    ImageStatistic,
    InceptionScore,
    Verifier,
    VerifierError,
    combine,
    population_model,
    population_oracle,
    region,
    watch,
)
from noise_search.verifiers.population_oracle import AMONG, PICKS, FrechetSets, InceptionSets
from noise_search.verifiers.reference_statistics import Statistics, of_images, read, write

from .test_clip_score import pil, pil_processor

IMAGES = small_clips.images(70, 101, n=5)
EARLIER = small_clips.images(40, 60, n=3, seed=7)
REFERENCE = small_clips.images(50, 50, n=9, seed=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_clips.dinov2_classifier_folder(tmp_path_factory.mktemp("models") / "dinov2-small")


@pytest.fixture(scope="module")
def features(folder):
    return population_model(folder, classify=False)


@pytest.fixture(scope="module")
def classifier(folder):
    return population_model(folder, classify=True)


@pytest.fixture(scope="module")
def statistics(features):
    return of_images(REFERENCE.split(4), features)


def inception_score(p):
    """exp(mean KL(p(y|x) ‖ p(y))), in numpy."""
    p = np.asarray(p, dtype=np.float64)
    return np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean())


def frechet(x, mean, covariance):
    """|μ − μ_r|² + tr(Σ + Σ_r − 2 (Σ Σ_r)^½), with scipy's square root of the whole matrix."""
    x = np.asarray(x, dtype=np.float64)
    apart = ((x.mean(0) - mean) ** 2).sum() + np.trace(covariance)
    if len(x) == 1:
        return apart
    own = np.cov(x, rowvar=False)
    return apart + np.trace(own) - 2 * np.trace(scipy.linalg.sqrtm(own @ covariance).real)


def class_tokens(folder, images):
    model = transformers.Dinov2ForImageClassification.from_pretrained(folder).eval()
    pixels = pil_processor(folder)(images=pil(images), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        return model.dinov2(pixels).last_hidden_state[:, 0].numpy(), model(pixels).logits.softmax(1).numpy()


def moments(x):
    return x.mean(0, dtype=np.float64), np.cov(x.astype(np.float64), rowvar=False)


def measured(measure, images=IMAGES):
    return population_oracle(measure).measure(images, [""] * len(images))


def test_the_distance_is_of_the_set_that_the_image_joins(folder, features, statistics):
    tokens, earlier, reference = (class_tokens(folder, i)[0] for i in (IMAGES, EARLIER, REFERENCE))
    rows = measured(FrechetDistance(features, statistics, EARLIER))
    truth = [frechet(np.vstack([earlier, x]), *moments(reference)) for x in tokens]
    torch.testing.assert_close(rows[:, 0].double(), torch.tensor(truth), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(rows[:, 1:], torch.tensor(tokens), atol=1e-4, rtol=0)
    alone = measured(FrechetDistance(features, statistics))[:, 0]
    truth = [frechet(x[None], *moments(reference)) for x in tokens]
    torch.testing.assert_close(alone.double(), torch.tensor(truth), atol=1e-4, rtol=1e-5)
    assert np.std(truth) > 0.1


def test_the_inception_score_is_of_the_set_that_the_image_joins(folder, classifier):
    p, earlier = (class_tokens(folder, i)[1] for i in (IMAGES, EARLIER))
    rows = measured(InceptionScore(classifier, EARLIER))
    truth = [inception_score(np.vstack([earlier, x])) for x in p]
    torch.testing.assert_close(rows[:, 0].double(), torch.tensor(truth), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows[:, 1:], torch.tensor(p), atol=1e-5, rtol=0)
    alone = measured(InceptionScore(classifier))[:, 0]
    certain = len(p[0]) * np.exp((p * np.log(p)).sum(1))
    torch.testing.assert_close(alone.double(), torch.tensor(certain).double(), atol=1e-4, rtol=0)
    assert alone.min() >= 1 and alone.max() <= len(p[0]) and np.std(truth) > 1e-3


def test_large_sets_equal_the_formulae():
    draw = np.random.default_rng(0)
    x, other = draw.normal(size=(70, 12)) @ draw.normal(size=(12, 12)), draw.normal(size=(200, 12)) + 0.3
    mean, covariance = moments(other)
    sets = FrechetSets(torch.tensor(x), Statistics(torch.tensor(mean), torch.tensor(covariance)))
    found = sets.scores(list(range(66)), [66, 67, 68, 69])
    truth = [frechet(np.vstack([x[:66], x[n]]), mean, covariance) for n in range(66, 70)]
    torch.testing.assert_close(found, torch.tensor(truth), atol=1e-6, rtol=1e-9)
    p = draw.dirichlet(np.full(8, 0.3), size=60)
    found = InceptionSets(torch.tensor(p)).scores(list(range(58)), [58, 59])
    truth = [inception_score(np.vstack([p[:58], p[n]])) for n in (58, 59)]
    torch.testing.assert_close(found, torch.tensor(truth), atol=1e-9, rtol=0)
    certain = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]).double()
    torch.testing.assert_close(InceptionSets(certain).scores([0, 1], [2]), torch.tensor([3.0]).double())


def by_trying_all(score, better, x, earlier):
    """The greedy choice as it is told: every set is scored from scratch."""
    taken = []
    while len(taken) < len(x):
        left = [n for n in range(len(x)) if n not in taken]
        scores = [score(np.vstack([*earlier, *x[taken], x[n]])) for n in left]
        taken.append(left[better(scores)])
    return taken


@pytest.mark.parametrize("earlier", [None, EARLIER])
def test_values_are_the_greedy_choice(folder, features, classifier, statistics, earlier):
    images = small_clips.images(60, 60, n=7, seed=3)
    tokens, p = class_tokens(folder, images)
    reference = class_tokens(folder, REFERENCE)[0]
    before_tokens, before_p = class_tokens(folder, earlier) if earlier is not None else ([], [])
    distance = population_oracle(FrechetDistance(features, statistics, earlier))
    values = distance.rule(distance.measure(images, [""] * 7).double())
    order = by_trying_all(lambda x: frechet(x, *moments(reference)), np.argmin, tokens, before_tokens)
    assert values.argsort(descending=True).tolist() == order and sorted(values.tolist()) == list(range(-7, 0))
    score = population_oracle(InceptionScore(classifier, earlier))
    rows = score.measure(images, [""] * 7).double()

    def alone_by_certainty(x):
        return inception_score(x) if len(x) > 1 else np.exp((x * np.log(x)).sum())

    order = by_trying_all(alone_by_certainty, np.argmax, p, before_p)
    assert score.rule(rows).argsort(descending=True).tolist() == order
    assert score.relative and score.tail == 5 and distance.tail == 64


def entry(name, row, complete=True):
    return Entry(Recipe("seed", str(name)), tuple(row), 1, 0.0, 0, complete)


def archived(verifier, rows, complete=lambda n: True):
    archive = Archive(verifier.rule, [m.sign for m in verifier.measures])
    m = len(verifier.measures)
    for n, row in enumerate(rows.tolist()):
        archive.add(entry(n, row[:m], complete(n)), row[m:])
    return archive


def test_the_best_so_far_is_never_lost_and_its_latent_is_kept(features, statistics):
    verifier = population_oracle(FrechetDistance(features, statistics))
    rows = verifier.measure(small_clips.images(48, 48, n=30, seed=5), [""] * 30)
    for n in range(1, 31):
        archive = archived(verifier, rows[:n])
        best = archive.best()
        assert best.row[0] == rows[:n, 0].min() and best in archive.front()


def test_images_that_are_not_finished_join_no_set(features, statistics):
    verifier = population_oracle(FrechetDistance(features, statistics))
    rows = verifier.measure(small_clips.images(48, 48, n=12, seed=6), [""] * 12)
    rows[0] = rows[rows[:, 0].argmin()]  # an unfinished one as good as the best, before it
    archive = archived(verifier, rows, complete=lambda n: n % 3 != 0)
    finished = [n for n in range(12) if n % 3]
    assert archive.best().row[0] == rows[finished, 0].min()
    values = torch.tensor(archive.values())
    among = torch.tensor(archived(verifier, rows[finished]).values())
    assert values[finished].argsort().tolist() == among.argsort().tolist()
    own = rows[:, 0].argsort(stable=True).tolist()
    for n in (0, 3, 6, 9):  # the others where their own number puts them
        assert values[n] == -1 - own.index(n)


def test_a_large_archive_is_ordered_soon(features, statistics):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(300, 64, generator=draw).double()
    verifier = population_oracle(FrechetDistance(features, statistics))
    heads = FrechetSets(x, statistics).scores([], list(range(300)))
    values = verifier.rule(torch.cat([heads[:, None], x], 1))
    order, own = values.argsort(descending=True).tolist(), heads.argsort().tolist()
    assert order[0] == own[0] and order[AMONG:] == own[AMONG:] and sorted(order[:AMONG]) == sorted(own[:AMONG])
    assert order[:PICKS] != own[:PICKS]


def test_combined_it_is_its_own_number(features, statistics):
    oracle, exposure = population_oracle(FrechetDistance(features, statistics)), Verifier.of(ImageStatistic("exposure"))
    both = combine([exposure, oracle], "product", [1, 0])
    rows = both.measure(IMAGES, [""] * 5)
    assert rows.shape == (5, 2 + 64)
    torch.testing.assert_close(rows[:, 1:], oracle.measure(IMAGES, [""] * 5)[:, [0, *range(1, 65)]])
    torch.testing.assert_close(both.rule(rows).float(), rows[:, 0])
    ranked = combine([exposure, oracle]).rule(rows)
    by_hand = combine([exposure, Verifier.of(ImageStatistic("contrast", "lower"))]).rule(rows[:, :2])
    torch.testing.assert_close(ranked, by_hand)


def test_watched_or_watching_it_keeps_its_features(features, statistics):
    oracle, exposure = population_oracle(FrechetDistance(features, statistics)), Verifier.of(ImageStatistic("exposure"))
    images, prompts = small_clips.images(60, 60, n=7, seed=3), [""] * 7
    alone = oracle.rule(oracle.measure(images, prompts).double())
    far = Statistics(statistics.mean + 1, statistics.covariance)
    for verifier in (watch(oracle, exposure), watch(oracle, population_oracle(FrechetDistance(features, far)))):
        torch.testing.assert_close(verifier.rule(verifier.measure(images, prompts).double()), alone)
    watching = watch(exposure, oracle)
    rows = watching.measure(images, prompts)
    torch.testing.assert_close(watching.rule(rows), exposure.rule(rows))


def test_a_region_has_its_features(features, statistics):
    oracle = population_oracle(FrechetDistance(features, statistics))
    cut = region(oracle, Box(0, 0, 0.5, 1)).measure(IMAGES, [""] * 5)
    torch.testing.assert_close(cut, oracle.measure(IMAGES[:, :, :50], [""] * 5))


def test_a_recalled_search_reads_the_chosen_by_itself(features, statistics):
    before = measured(FrechetDistance(features, statistics, EARLIER)).double()
    fresh = population_oracle(FrechetDistance(features, statistics, EARLIER))
    assert fresh.rule(before).tolist() == population_oracle(fresh.measures[0]).rule(before).tolist()
    assert fresh.measures[0]._chosen.shape == (3, 64)


def test_keys_follow_what_changes_the_numbers(features, classifier, statistics):
    other = Statistics(statistics.mean + 1, statistics.covariance, statistics.kind)
    keys = [
        InceptionScore(classifier).key,
        InceptionScore(classifier, EARLIER).key,
        InceptionScore(classifier, half=True).key,
        FrechetDistance(features, statistics).key,
        FrechetDistance(features, other).key,
    ]
    assert len(set(keys)) == 5


def test_statistics_are_the_moments_and_come_back(folder, features, statistics, tmp_path):
    mean, covariance = moments(class_tokens(folder, REFERENCE)[0])
    torch.testing.assert_close(statistics.mean, torch.tensor(mean), atol=1e-5, rtol=0)
    torch.testing.assert_close(statistics.covariance, torch.tensor(covariance), atol=1e-4, rtol=0)
    write(statistics, tmp_path / "photos.npz")
    again = read(tmp_path / "photos.npz")
    assert torch.equal(again.mean, statistics.mean) and torch.equal(again.covariance, statistics.covariance)
    assert (again.kind, again.count) == ("dinov2 64", 9)
    np.savez(tmp_path / "theirs.npz", mu=mean, sigma=covariance)
    assert read(tmp_path / "theirs.npz").kind == "" and FrechetDistance(features, read(tmp_path / "theirs.npz"))


def test_bad_statistics_are_one_sentence(features, statistics, tmp_path):
    with pytest.raises(VerifierError, match="two images or more, and there are 1"):
        of_images([REFERENCE[:1]], features)
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "shapes.npz", mu=np.zeros(3), sigma=np.zeros((2, 2)))
    np.savez(tmp_path / "nan.npz", mu=np.full(2, np.nan), sigma=np.zeros((2, 2)))
    np.savez(tmp_path / "code.npz", mu=np.array([{}], dtype=object), sigma=np.zeros((1, 1)))
    for name, message in {
        "text.npz": "holds no statistics: make one with",
        "other.npz": "holds no statistics",
        "shapes.npz": "no vector and square matrix",
        "nan.npz": "not finite",
        "code.npz": "plain numbers",
    }.items():
        with pytest.raises(VerifierError, match=message):
            read(tmp_path / name)
    for other in (
        Statistics(torch.zeros(3), torch.zeros(3, 3)),
        Statistics(statistics.mean, statistics.covariance, "inception-fid"),
    ):
        with pytest.raises(VerifierError, match="choose the model that made them"):
            FrechetDistance(features, other)
