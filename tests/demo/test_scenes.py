"""Prompts and renders of Shapes World."""

import numpy as np
import pytest

from noise_search.demo import scenes, spoil
from noise_search.demo.scenes import Group, Prompt, parse


def test_parse_reads_groups_counts_sizes_and_relations():
    assert parse("A red circle left of a blue square, and above two small green triangles") == Prompt(
        (Group(1, None, "red", "circle"), Group(1, None, "blue", "square"),
         Group(2, "small", "green", "triangle")),
        ((0, "left", 1), (0, "above", 2)),
    )


@pytest.mark.parametrize(
    "text", ["THE Red Circle to the left of the blue square.", "a red circle is left of a blue square",
             "1 red circle left of one blue square"]
)
def test_parse_does_not_mind_case_articles_and_glue(text):
    assert parse(text).text() == "a red circle left of a blue square"


def test_a_relation_belongs_to_the_group_before_it():
    prompt = parse("a red circle and a blue ring above a green cross")
    assert prompt.relations == ((1, "above", 2),)


def test_the_empty_text_is_the_null_prompt():
    assert parse(" ") == Prompt(())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a pink circle", 'does not know the word "pink"; it knows: a, one, two'),
        ("a red", "ends before its last shape"),
        ("a red circle left of", "ends before its last shape"),
        ("left of a red circle", "needs an object before it"),
        ("a red blue circle", "two colours"),
        ("three red circles and two blue squares", "more than 4 objects"),
    ],
)
def test_what_is_not_understood_is_said_in_one_sentence(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        parse(text)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_prompts_survive_being_said_and_read():
    rng = np.random.default_rng(0)
    for _ in range(500):
        prompt = scenes.random_prompt(rng)
        assert parse(prompt.text()) == prompt


def test_held_out_prompts_are_fixed_different_and_never_trained_on():
    prompts = scenes.held_out_prompts(50)
    assert prompts == scenes.held_out_prompts(80)[:50]
    assert prompts != scenes.held_out_prompts(50, seed=1)
    assert len({prompt.text() for prompt in prompts}) == 50
    assert all(scenes.is_held_out(prompt) for prompt in prompts)
    trained = scenes.training_prompts(200, np.random.default_rng(0))
    assert not any(scenes.is_held_out(prompt) for prompt in trained)


def test_spoilt_prompts_can_be_said_and_are_different():
    rng = np.random.default_rng(0)
    prompts = scenes.training_prompts(50, rng)
    for prompt, scene in zip(prompts, scenes.scenes_of(prompts, rng), strict=True):
        wrong = spoil.spoil(prompt, scene, rng)
        assert wrong != prompt
        assert parse(wrong.text()) == wrong
