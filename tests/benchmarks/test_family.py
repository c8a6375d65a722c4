"""The analytic problems are what they say, nobody finds more than there is, and the numbers read off are right."""

import math

import numpy as np
import pytest
import torch

from noise_search.benchmarks import family, family_picture, family_words, mixture, overhead, plain, problems, words
from noise_search.benchmarks.children import gained, gains
from noise_search.demo.evaluator import WorldTrajectory
from noise_search.search.places import at, place_of
from noise_search.search.variance_preserving import integral, published, raised


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def analytic():
    return {problem.name: problem for problem in problems.analytic()}


def noise(count, seed=5):
    return torch.randn(count, *mixture.LATENT, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("flow, σ", [(True, 0.9), (True, 0.5), (True, 0.1), (False, 10.0), (False, 1.0), (False, 0.1)])
def test_the_denoiser_is_the_mean_of_the_posterior(flow, σ):
    """Tweedie: E[x0 | x] = (x + σ²·∇ log p(x)) / s, the density written out and differentiated by torch."""
    world, a = mixture.clusters(3, mixture.LOW, apart=2.0, flow=flow), 1 - σ if flow else 1
    x = (a * world.image(world.means[:2]) + σ * noise(2)).requires_grad_()
    cosines = mixture.cosines(mixture.SIDE)
    c = cosines @ x @ cosines.T
    v = (a * world.deviations) ** 2 + σ**2
    normal = torch.distributions.Normal(a * world.means * world.deviations, v.sqrt())
    density = normal.log_prob(c[:, None]).flatten(2).sum(2).logsumexp(1)
    (slope,) = torch.autograd.grad(density.sum(), x)
    assert torch.allclose(world.denoise(x.detach(), σ), (x + σ**2 * slope).detach() / a, atol=1e-9)


@pytest.mark.parametrize("diffusion", [published, integral])
def test_raised_by_the_conversion_and_solved_down_samples_are_the_worlds_own(diffusion):
    """One Gaussian, of variance λ in each coefficient: (1−s)²λ + s² where it was raised to, and λ at the end."""
    world, steps = mixture.one_cluster(), 200
    flow = WorldTrajectory(world, [""], steps, 1.0)
    shares, stop, below = flow.sigmas.tolist(), 60, 140
    up = place_of(shares, raised(shares[stop], shares[below], diffusion))
    assert 0 < up < stop and up != int(up)
    σ = at(shares, up)
    x = flow.renoise(flow.advance(noise(100), 0, stop), stop, up, noise(100, seed=6))
    ends = flow.advance(x, up, steps)
    for states, variance in ((x, (1 - σ) ** 2 * world.deviations**2 + σ**2), (ends, world.deviations**2)):
        c = world.coefficients(states) / variance.sqrt()
        assert c.var().item() == pytest.approx(1, abs=0.02)  # 100 × 1024 numbers: 0.005, and Euler's steps
        assert (c**2).mean((0, 1)).sub(1).abs().max() < 0.35  # each frequency: 400 numbers, 0.07


@pytest.mark.parametrize("flow", [True, False])
@pytest.mark.parametrize("again", [False, True])
def test_samples_are_the_mixtures_own(flow, again):
    """Many small steps: every coefficient has its deviation, and every cluster its share. So have samples that are
    noised again and denoised anew, whose first noises were other."""
    world = mixture.clusters(2, mixture.LOW, flow=flow)
    path = WorldTrajectory(world, [""], 100, 1.0)
    x = path.advance(path.start(noise(200)), 0, 100)
    if again:
        x = path.advance(path.renoise(x, 100, 50, noise(200, seed=6)), 50, 100)
    c = world.whitened(x)
    nearest = torch.cdist(c.flatten(1), world.means.flatten(1)).argmin(1)
    assert 0.35 < nearest.double().mean() < 0.65
    assert (c - world.means[nearest]).std() == pytest.approx(1, abs=0.03)


def test_a_latent_and_its_whitened_coefficients_are_two_ways_to_say_the_same():
    world, x = mixture.one_cluster(), noise(2)
    assert torch.allclose(world.image(world.whitened(x)), x)
    assert world.deviations.square().mean() == pytest.approx(1)


def test_bands_share_no_frequency():
    assert not (mixture.band(mixture.LOW) * mixture.band(mixture.HIGH)).any()
    assert mixture.band(mixture.EVERYTHING).all()


def test_projections_have_mean_0_and_deviation_1_over_the_mixture():
    world = mixture.clusters(16, mixture.HIGH)
    which = torch.arange(16).repeat(500)
    images = world.image(world.means[which] + noise(len(which)))
    numbers = problems.projection(world, 2, 9)(images)
    assert torch.allclose(numbers.mean(0), torch.zeros(2).double(), atol=0.05)
    assert torch.allclose(numbers.std(0), torch.ones(2).double(), atol=0.05)


def test_random_search_on_the_linear_problem_is_the_highest_of_normal_numbers(analytic):
    """One Gaussian, so that every Euler step multiplies a coefficient by a known number: plain scores are N(0, s²), and
    the mean of the highest of 16 of them is 1.766 s."""
    problem = analytic["linear"]
    sigmas, gain = problem.world.schedule(problem.steps).double(), torch.ones(16, 16).double()
    for σ, lower in zip(sigmas[:-1], sigmas[1:]):
        λ = problem.world.deviations**2
        kept = (1 - σ) * λ / ((1 - σ) ** 2 * λ + σ**2)  # x̂0 = kept · x
        gain = gain * (1 + (1 - kept) / σ * (lower - σ))
    value = problem.verifier.measures[0].value
    units = torch.eye(1024).double().view(-1, *mixture.LATENT)
    weights = value(problem.world.image(units)).view(mixture.LATENT)  # of each whitened coefficient
    s = (weights * gain / problem.world.deviations).norm().item()
    scores = [family.trial("linear", 1, "random", 16, seed).score[-1] for seed in range(60)]
    assert np.mean(scores) == pytest.approx(1.766 * s, abs=4 * 0.74 * s / math.sqrt(60))


def test_no_image_has_more_than_the_optimum_and_one_has_it(analytic):
    for problem in analytic.values():
        value = problem.verifier.measures[0].value
        for scale in (1, 3, 10):
            if problem.optimum is not None:
                assert value(scale * noise(200)).max() <= problem.optimum
    two, side = problems._two_sides()
    direction = mixture.band(mixture.HIGH) / mixture.band(mixture.HIGH).norm()
    ends = two.image(torch.stack([0 * direction, 5 * direction, 12 * direction]))
    assert problems.deceptive(side)(ends).tolist() == pytest.approx([1, 0, 1], abs=1e-9)


def test_previews_deceive_where_they_are_meant_to_and_guide_elsewhere(analytic):
    deceived, guided = (plain.plain(analytic[name], 128) for name in ("deceptive", "predictable"))
    assert deceived.previews["12.5"] < -0.4 and deceived.previews["50"] > 0.8
    assert guided.previews["12.5"] > 0.8


def test_a_linear_model_of_the_noise_foretells_one_problem_and_not_the_other(analytic):
    seen, unseen = (plain.plain(analytic[name], 512) for name in ("predictable", "unpredictable"))
    assert seen.linear > 0.8 and abs(unseen.linear) < 0.4


def test_rank_correlation():
    assert plain.ranked(np.array([1.0, 2, 3]), np.array([10.0, 20, 90])) == pytest.approx(1)
    assert plain.ranked(np.array([1.0, 2, 2, 3]), np.array([4.0, 3, 3, 1])) == pytest.approx(-1)
    assert plain.ranked(np.array([1.0, 2]), np.array([5.0, 5])) == 0


def test_area_and_reached():
    curve = np.array([[0.0, 1, 1, 2]])  # over log₂: from 0 to 1 it rises, stays to log₂ 3, rises to 2
    by_hand = 0.5 + (math.log2(3) - 1) + 1.5 * (2 - math.log2(3))
    assert family.area(curve)[0] == pytest.approx(by_hand / 2)
    assert family.reached(np.array([[0.0, 1, 1, 2]] * 3), np.array([1.0, 2.0, 3.0])).tolist() == [2, 4, math.inf]


def test_intervals_are_those_of_the_mean_and_infinity_is_none():
    draws = np.array([5.0, *range(1000)])
    assert family.interval(draws) == pytest.approx([5, 25, 975], abs=2)
    assert family.interval(np.array([3.0, *[np.inf] * 99])) == [3.0, None, None]
    values = np.random.default_rng(1).normal(size=(400, 1))
    picks = np.random.default_rng(2).integers(400, size=(2000, 400))
    _, low, high = family.interval(family.means(values, picks)[:, 0])
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(400), rel=0.15)


@pytest.fixture(scope="module")
def found():
    courses = {name: family.measure(name, 2, 16) for name in ("quantised", "deceptive")}
    return courses, {name: family.facts(name, 2) | family.summary(course, 50) for name, course in courses.items()}


def test_every_way_starts_at_the_plain_image_never_gets_worse_and_stays_below_the_optimum(found, analytic):
    for name, courses in found[0].items():
        for course in courses.values():
            assert (course.score[:, 0] == courses[family.RANDOM].score[:, 0]).all()
            assert (np.diff(course.score) >= 0).all() and course.score.max() <= analytic[name].optimum
            assert (course.calls >= 1).all()


def test_a_course_that_is_remembered_is_not_measured_again(found, tmp_path):
    def never(*args):
        raise AssertionError("measured again")

    courses = family.measure("deceptive", 2, 16, only=[family.RANDOM], scratch=tmp_path)
    again = family.measure("deceptive", 2, 16, never, only=[family.RANDOM], scratch=tmp_path)
    assert (again[family.RANDOM].score == courses[family.RANDOM].score).all()
    assert (courses[family.RANDOM].score == found[0]["deceptive"][family.RANDOM].score).all()
    with pytest.raises(AssertionError, match="measured again"):
        family.measure("deceptive", 3, 16, never, only=[family.RANDOM], scratch=tmp_path)


def test_every_algorithm_takes_part():
    names = {type(block.algorithm).__name__ for search in family.ways(16).values() for block in search.blocks}
    from noise_search.search import algorithms

    assert names == set(algorithms.__all__) - {"Replay"}


def test_results_are_written_in_words_and_as_a_picture(found, tmp_path):
    long = {"steps": 16} | family.summary({way: found[0]["deceptive"][way] for way in (family.RANDOM, family.AUTO)}, 50)
    noises = gains(found[0]["deceptive"][family.RANDOM].score)
    brought = {"more noises": noises} | gained("deceptive", 2)
    extra = {"machine": words.machine(), "size": "quick", "long": long, "children": brought}
    text = family_words.report({"problems": found[1], **extra})
    assert "--only family --quick`" in text
    assert "From 8 noises to 8 is 0.0, to 16 " in text and "| children from 2/3 |" in text
    assert "takes 6 of 16 evaluations" in text and "would need 24 samples' worth" in text
    assert "a look takes 3: 16 samples' worth are 85 of these" in text
    assert all(f"| {way} |" in text for way in family.ways(16)) and "nan" not in text
    family_picture.draw(found[1], tmp_path / "family.png")
    assert (tmp_path / "family.png").stat().st_size > 10_000


def test_what_each_finds_is_the_mean_over_the_problems_that_have_so_many_samples():
    def problem(samples, deviation, **scores):
        ways = {
            way: {"score": [[x] for x in column], "reaches": {str(samples): [end]}}
            for way, (end, *column) in scores.items()
        }
        return {"samples": samples, "plain": {"deviation": [deviation]}, "ways": ways}

    problems = {
        "small": problem(8, 2.0, random=(8, 1, 2), clever=(3, 1, 4)),
        "large": problem(16, 0.5, random=(16, 0, 1, 2), clever=(None, 0, 2, 1)),
    }
    lines = family_words.ahead_of_random(problems).splitlines()
    assert lines[0] == "|  | 4 | 8 | 16 | random's last after |"
    assert lines[2:] == [
        "| random | +0.00 | +0.00 | +0.00 | 8 to 16 |",
        "| clever | +0.00 | **+1.50** | -2.00 | 3 to > 16 |",
    ]


def test_the_soonest_are_those_that_are_first_where_random_search_gets_with_more_samples():
    def course(*scores):
        rows = np.array([scores, scores], dtype=float)
        return family.Course(rows, rows, np.ones(2), np.ones(2))

    ways = {"quick": course(1, 3, 3, 5), "slow": course(1, 1, 3, 3), "never": course(0, 0, 0, 0)}
    goals = family.soonest(ways, course(0, 0, 0, 3, 3, 3, 3, 5))
    assert goals == {"4": {"quick": 2, "slow": 3}, "8": {"quick": 4}}
    assert "random's 4 quick (2), slow (3); at random's 8 quick (4)." in family_words._soonest(goals)


def test_what_searching_costs_is_measured_and_written_in_words(monkeypatch):
    monkeypatch.setattr(overhead, "LATENT", (4, 16, 16))
    monkeypatch.setattr(overhead, "TIMES", (1, 2))
    found = overhead.measure(20, 1, say=lambda text: None)
    assert set(found["ways"]) == set(family.ways(16))
    text = words.report({"overhead": {**found, "machine": "any"}})
    assert "| 20 samples | 40 samples | 20, with noises | repeats |" in text and "4 × 16 × 16" in text


def test_the_free_model_is_asked_for_exactly_what_the_budget_allows():
    for way, search in family.ways(32).items():
        outcome = overhead.searched(search, draws=False)
        spent = sum(entry.nfe for entry in outcome.lanes[0].archive.entries)
        assert spent == outcome.spent <= 32 * overhead.STEPS, way


def test_every_search_of_a_problem_has_noises_of_its_own(analytic):
    spaces = [analytic["linear"].evaluator(seed).space for seed in (0, 1, 63)]
    drawn = torch.cat([space.seeded(space.seed + index) for space in spaces for index in (0, 1, 127)])
    assert len(drawn.flatten(1).unique(dim=0)) == len(drawn)
