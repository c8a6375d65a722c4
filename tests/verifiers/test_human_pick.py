"""A person's answers as numbers, by the rule written out; a person with a taste of their own always gets the best."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.verifiers import HumanPick, ImageStatistic, Verifier, VerifierError, combine, region
from noise_search.verifiers.human_pick import KEEP, NO_SCORE, PICK, RANK, RATE
from noise_search.verifiers.region import Box
from noise_search.verifiers.verifier import run

CPU = torch.device("cpu")


def grey(*levels):
    """Images that a person tells apart by how bright they are."""
    return torch.tensor(levels, dtype=torch.float32)[:, None, None, None].expand(-1, 4, 4, 3)


def brightness(image):
    return image.mean().item()


class Person:
    """Likes bright images. `seen`: the levels of each question; `answers`: how it answers."""

    def __init__(self, silent=False):
        self.silent, self.seen, self.questions = silent, [], []

    def __call__(self, question):
        self.questions.append(question)
        levels = [round(brightness(image), 4) for image in question.images]
        self.seen.append(levels)
        order = sorted(range(len(levels)), key=lambda n: -levels[n])
        if self.silent:
            return None
        if question.way == RATE:
            return [max(1, round(10 * level)) for level in levels]
        return order[:1] if question.way == PICK else order


def numbers(measure, images):
    return run(measure, images, ["a prompt"] * len(images), CPU)[:, 0].tolist()


def test_picks_of_two_rounds():
    person = Person()
    measure = HumanPick(person, PICK)
    assert numbers(measure, grey(0.1, 0.5, 0.3)) == [0, 1, 0]
    assert numbers(measure, grey(0.2, 0.4)) == [0, 0]  # the best so far, 1, stays: they stand one below
    assert numbers(measure, grey(0.9, 0.6)) == [2, 1]  # one above the best so far; the other beside it
    assert person.seen == [[0.1, 0.5, 0.3], [0.2, 0.4, 0.5], [0.9, 0.6, 0.5]]
    assert [question.best for question in person.questions] == [None, 2, 2]


def test_a_ranking_counts_places_from_the_best_so_far():
    measure = HumanPick(Person(), RANK)
    assert numbers(measure, grey(0.1, 0.5, 0.3)) == [1, 3, 2]  # places 2, 0, 1 of three: 3 - place
    assert numbers(measure, grey(0.9, 0.2, 0.7)) == [5, 2, 4]  # 3, with two above and one below


def test_the_answer_may_leave_images_out():
    measure = HumanPick(lambda question: [2], RANK)
    assert numbers(measure, grey(0.1, 0.5, 0.3, 0.4)) == [0, 0, 1, 0]
    measure = HumanPick(lambda question: [], PICK)
    assert numbers(measure, grey(0.1, 0.5)) == [0, 0]
    assert measure.best[1] == 0 and brightness(measure.best[0]) == pytest.approx(0.1)


def test_ratings_are_the_numbers():
    assert numbers(HumanPick(Person(), RATE), grey(0.1, 0.5, 0.96)) == [1, 5, 10]


@settings(deadline=None, max_examples=60)
@given(
    rounds=st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=9, unique=True), min_size=1, max_size=6),
    way=st.sampled_from([PICK, RANK, RATE]),
    shown=st.integers(2, 5),
)
def test_the_highest_number_is_always_that_of_the_image_liked_best(rounds, way, shown):
    person = Person()
    measure = HumanPick(person, way, shown=shown)
    levels, given_numbers = [], []
    for each in rounds:
        levels += [x / 1000 for x in each]
        given_numbers += numbers(measure, grey(*[x / 1000 for x in each]))
        top = [level for level, number in zip(levels, given_numbers) if number == max(given_numbers)]
        if way == RATE:
            assert given_numbers == [max(1, round(10 * level)) for level in levels]
        else:
            assert top[0] == max(levels)  # of equals the first counts
    assert all(len(seen) <= shown + (way != RATE) for seen in person.seen)


def test_a_screen_looks_first():
    person = Person()
    darkest = Verifier.of(ImageStatistic("exposure", "lower"))
    measure = HumanPick(person, PICK, shown=2, screen=darkest)
    assert numbers(measure, grey(0.9, 0.1, 0.5, 0.3)) == [0, 0, 0, 1]
    assert person.seen == [[0.1, 0.3]]
    assert numbers(measure, grey(0.8, 0.7, 0.35)) == [1, 2, 1]  # 0.8 was not shown, and stands with what was not picked
    assert person.seen[1] == [0.7, 0.35, 0.3]


class Chooses:
    """Answers what it is told to."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, question):
        return self.answer


def test_a_screen_with_the_answer_that_nothing_is_better():
    measure = HumanPick(Chooses([2]), PICK, shown=2, screen=Verifier.of(ImageStatistic("exposure")))
    measure.best = grey(0.5)[0], 4.0
    assert numbers(measure, grey(0.1, 0.2, 0.3)) == [3, 3, 3]


@pytest.mark.parametrize(("way", "first", "later"), [(PICK, 0, 3), (RANK, 0, 3), (RATE, 0, 0)])
def test_nobody_answers(way, first, later):
    measure = HumanPick(Person(silent=True), way, unanswered=KEEP)
    assert numbers(measure, grey(0.1, 0.5)) == [first, first]
    measure.best = grey(0.5)[0], 4.0
    assert numbers(measure, grey(0.1, 0.9)) == [later, later]
    assert measure.notes == ["Questions of Human Pick that nobody answered: 2."]
    silent = HumanPick(Person(silent=True), way, unanswered=NO_SCORE)
    assert run(silent, grey(0.1, 0.5), ["", ""], CPU).isnan().all()


def test_one_image_with_nothing_to_compare_it_with_is_not_asked_about():
    person = Person()
    assert numbers(HumanPick(person, PICK), grey(0.3)) == [0] and not person.seen
    assert numbers(HumanPick(person, RATE), grey(0.3)) == [3] and person.seen


def test_beside_another_verifier():
    both = combine([Verifier.of(HumanPick(Person(), RANK)), Verifier.of(ImageStatistic("exposure", "lower"))])
    rows = both.measure(grey(0.1, 0.5, 0.3), [""] * 3)
    assert both.rule(rows).tolist() == [-2, -2, -2]  # first by one is last by the other


def test_another_question_is_another_search():
    keys = [HumanPick(Person(), way, text).key for way in (PICK, RANK) for text in ("", "the prettiest?")]
    assert len(set(keys)) == 4


def test_what_cannot_be_asked():
    with pytest.raises(VerifierError, match="no way 'guess': choose one of pick"):
        HumanPick(Person(), "guess")
    with pytest.raises(VerifierError, match="a person looks at whole images"):
        region(Verifier.of(HumanPick(Person())), Box(0, 0, 0.5, 0.5))
