"""The oracle is exact on what the world draws, and says what is wrong."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.demo import oracle, pixels, scenes
from noise_search.demo.scenes import Thing, parse


def sorted_kinds(things):
    return sorted((thing.size, thing.colour, str(thing.shape)) for thing in things)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_every_rendered_scene_is_read_back(seed):
    rng = np.random.default_rng(seed)
    prompt = scenes.random_prompt(rng)
    scene = scenes.scenes_of([prompt], rng)[0]
    image = scenes.render([scene])[0]
    assert sorted_kinds(oracle.read(image)) == sorted_kinds(scene)
    assert all(holds for _, holds in oracle.check(image, prompt))


def test_images_of_viewing_size_are_read_as_well():
    rng = np.random.default_rng(0)
    prompts = scenes.training_prompts(100, rng)
    drawn = scenes.scenes_of(prompts, rng)
    latents = scenes.render(drawn).movedim(-1, 1) * 2 - 1
    images = ((pixels.enlarge(latents) + 1) / 2).movedim(1, -1)
    for image, scene in zip(images, drawn, strict=True):
        assert sorted_kinds(oracle.read(image)) == sorted_kinds(scene)


SCENE = [Thing(8, 16, "big", "red", "circle"), Thing(24, 9, "small", "blue", "square")]


@pytest.mark.parametrize(
    ("text", "false"),
    [
        ("a red circle left of a blue square", []),
        ("a big red circle below a small blue square", []),
        ("a circle and a square", []),
        ("a blue circle left of a red square",
         ["there is a blue circle", "exactly one blue circle", "there is a red square",
          "exactly one red square", "a blue circle left of a red square"]),
        ("a red circle right of a blue square", ["a red circle right of a blue square"]),
        ("a small red circle and a blue square", ["the red circle is small"]),
        ("two red circles and a blue square", ["exactly two red circles", "three objects in all"]),
        ("a red circle", ["one object in all"]),
    ],
)
def test_check_names_exactly_the_facts_that_fail(text, false):
    found = oracle.check(scenes.render([SCENE])[0], parse(text))
    assert [fact for fact, _ in found] == oracle.facts(parse(text))
    assert [fact for fact, holds in found if not holds] == false


def test_scores_are_shares_of_facts():
    images = scenes.render([SCENE, SCENE[:1], []])
    prompt = parse("a red circle and a blue square")
    assert oracle.score_images(images, prompt).tolist() == pytest.approx([1.0, 0.4, 0.0])
    assert oracle.score_images_strict(images, prompt).tolist() == [1.0, 0.0, 0.0]


def test_noise_has_no_facts():
    images = torch.rand(2, 256, 256, 3, generator=torch.Generator().manual_seed(0))
    assert oracle.score_images(images, parse("a red circle")).max() < 0.5
