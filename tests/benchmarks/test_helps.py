"""The benchmark's parts run, and what they read off a search is right."""

import numpy as np
import pytest

from noise_search.benchmarks import helps, picture, words
from noise_search.demo.scenes import held_out_prompts
from noise_search.demo.world import STEPS, World


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmark")


@pytest.fixture(scope="module")
def courses(scratch):
    return helps.measure(held_out_prompts(2), 4, scratch, say=lambda text: None)


def test_every_way_starts_at_the_plain_image_and_never_gets_worse(courses):
    for name, course in courses.items():
        if name != helps.MORE_STEPS:
            assert np.array_equal(course.score[:, 0], courses[helps.RANDOM].score[:, 0])
        if name not in (helps.MORE_STEPS, helps.ORACLE):
            assert (np.diff(course.score) >= 0).all()
    assert (np.diff(courses[helps.ORACLE].facts) >= 0).all()
    assert (courses[helps.ORACLE].facts >= courses[helps.RANDOM].facts).all()


def test_what_was_measured_is_not_computed_again(courses, scratch, monkeypatch):
    monkeypatch.setattr(World, "denoise", lambda *_: pytest.fail("computed again"))
    again = helps.measure(held_out_prompts(2), 4, scratch, say=lambda text: None)
    assert all(np.array_equal(again[name].score, course.score) for name, course in courses.items())


def test_results_are_written_in_words_and_as_a_picture(courses, tmp_path):
    found = {"machine": "any", **helps.summary(courses, draws=50)}
    picture.draw(found, tmp_path / "helps.png")
    assert (tmp_path / "helps.png").stat().st_size > 10_000
    text = words.report({"helps": found})
    assert f"{4 * STEPS} = 4 samples" in text and "nan" not in text
