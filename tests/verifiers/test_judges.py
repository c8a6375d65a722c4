"""VLM Judge and Prompt Checklist against a fake server: good answers, nonsense, slow, 429, 500, dropped."""

import json
import threading
import time

import pytest
import torch

from noise_search.harness.chat_server import DROP, chat_server, words
from noise_search.verifiers import Endpoint, PromptChecklist, Verifier, VerifierError, VLMJudge
from noise_search.verifiers.prompt_checklist import outline
from noise_search.verifiers.vlm_judge import ASPECTS

IMAGES = torch.linspace(0, 1, 4)[:, None, None, None].expand(4, 20, 30, 3)


def judge(url, form="shows the prompt", **settings):
    return VLMJudge(Endpoint(url, "judge", pause=0.01, **settings), form)


def score(measure, images=IMAGES):
    return Verifier.of(measure).measure(images, ["a cat"] * len(images))[:, 0]


def brightness(asked):
    return asked.image.getpixel((0, 0))[0] / 255


def test_probability_of_yes_and_the_question_and_image_sent():
    def answer(asked):
        p = 0.1 + 0.8 * brightness(asked)
        return "Yes", words(Yes=p * 0.75, yes=p * 0.25, No=0.99 - p)

    with chat_server(answer) as (url, asked):
        measure = judge(url, side=15)
        torch.testing.assert_close(score(measure), 0.1 + 0.8 * (IMAGES[:, 0, 0, 0] * 255).round() / 255)
    assert {a.question for a in asked} == {'Does this figure show "a cat"? Please answer yes or no.'}
    assert {a.image.size for a in asked} == {(15, 10)} and {a.body["model"] for a in asked} == {"judge"}
    assert measure.notes == [] and all(a.body["temperature"] == 0 for a in asked)


def test_without_probabilities_yes_is_one_with_a_note():
    with chat_server(lambda asked: "**Yes**, it does." if brightness(asked) > 0.5 else "no") as (url, _):
        measure = judge(url)
        assert score(measure).tolist() == [0, 0, 1, 1]
    assert len(measure.notes) == 1 and "no probabilities" in measure.notes[0]


def test_rubric_in_any_wrapping():
    def answer(asked):
        numbers = dict.fromkeys(ASPECTS, 3) | {"overall": 10 * brightness(asked)}
        return f"Here you are:\n```json\n{json.dumps(numbers)}\n```"

    with chat_server(answer) as (url, asked):
        measured = score(judge(url, "overall"))
    torch.testing.assert_close(measured, 10 * (IMAGES[:, 0, 0, 0] * 255).round() / 255)
    assert all(aspect in asked[0].question for aspect in ASPECTS) and "logprobs" not in asked[0].body


@pytest.mark.parametrize(
    ("form", "nonsense", "why"),
    [
        ("overall", "Seven out of ten!", "it is not a JSON object"),
        ("overall", json.dumps(dict.fromkeys(ASPECTS, 11)), "is not a number from 0 to 10"),
        ("overall", json.dumps(dict.fromkeys(ASPECTS[1:], 5)), '"accuracy to prompt" is not a number'),
        ("shows the prompt", "Maybe.", "does not begin with yes or no"),
        ("shows the prompt", ("Perhaps", words(Perhaps=0.9, Hm=0.1)), "does not begin with yes or no"),
    ],
)
def test_nonsense_is_asked_about_once_more_and_is_then_an_error(form, nonsense, why):
    with chat_server(lambda asked: nonsense) as (url, asked), pytest.raises(VerifierError, match=why) as raised:
        score(judge(url, form), IMAGES[:1])
    assert "asked twice and not understood" in str(raised.value) and "judge at http" in str(raised.value)
    assert len(asked) == 2 and "could not be used" in asked[1].question


def test_nonsense_once_is_no_harm():
    with chat_server(lambda asked: "yes" if "could not be used" in asked.question else "Well") as (url, _):
        assert score(judge(url)).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "trouble",
    [
        (429, {"Retry-After": "0"}, b"slow down"),
        (500, {}, b"oops"),
        (503, {}, b""),
        DROP,
        b"<html>",
        b'{"choices": []}',
    ],
)
def test_passing_trouble_is_tried_again(trouble):
    count = iter(range(100))
    with chat_server(lambda asked: trouble if next(count) < 2 else "yes") as (url, asked):
        assert score(judge(url, in_flight=1), IMAGES[:2]).tolist() == [1, 1]
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ((429, {}, b"slow down"), r"answered 429: slow down \(3 tries\)"),
        ((500, {}, b"oops"), r"answered 500: oops \(3 tries\)"),
        (DROP, r"the connection failed: .*\(3 tries\)"),
        (b"<html>", r"the reply is no chat completion: .*<html>.*\(3 tries\)"),
    ],
)
def test_lasting_trouble_is_an_error_and_never_a_zero(trouble, message):
    with chat_server(lambda asked: trouble) as (url, asked), pytest.raises(VerifierError, match=message):
        score(judge(url, retries=2), IMAGES[:1])
    assert len(asked) == 3


def test_refusals_are_not_tried_again():
    for status, hint in {401: "NOISE_SEARCH_API_KEY", 404: "the model's name", 400: "answered 400", 302: "302"}.items():
        reply = (status, {"Location": "http://127.0.0.1:1/"}, b"no")
        with (
            chat_server(lambda asked, reply=reply: reply) as (url, asked),
            pytest.raises(VerifierError, match=hint),
        ):
            score(judge(url), IMAGES[:1])
        assert len(asked) == 1


def test_too_slow_is_an_error_that_says_so():
    with (
        chat_server(lambda asked: time.sleep(2) or "yes") as (url, _),
        pytest.raises(VerifierError, match=r"no answer within 0.3 seconds \(2 tries\)"),
    ):
        score(judge(url, seconds=0.3, retries=1), IMAGES[:1])


def test_several_images_are_in_flight_and_come_back_in_order():
    together = threading.Barrier(4, timeout=20)

    def answer(asked):
        together.wait()
        time.sleep(0.3 * (1 - brightness(asked)))
        return "Yes", words(Yes=0.1 + 0.8 * brightness(asked))

    with chat_server(answer) as (url, _):
        measured = score(judge(url, in_flight=4))
    assert measured.argsort().tolist() == [0, 1, 2, 3]


class Cancelled(Exception):
    pass


def test_a_cancel_ends_the_waiting_at_once():
    def cancel():
        raise Cancelled

    with chat_server(lambda asked: time.sleep(5) or "yes") as (url, _):
        start = time.monotonic()
        with pytest.raises(Cancelled):
            judge(url, between=cancel).measure(IMAGES, ["a cat"] * 4, torch.device("cpu"))
        assert time.monotonic() - start < 3


def test_the_key_goes_to_its_own_server_only(monkeypatch):
    monkeypatch.setenv("NOISE_SEARCH_API_KEY", "secret")
    with chat_server(lambda asked: "yes") as (url, asked):
        score(judge(url), IMAGES[:1])
        monkeypatch.setenv("NOISE_SEARCH_API_URL", url + "/")
        score(judge(url), IMAGES[:1])
        score(judge(""), IMAGES[:1])
    assert [a.headers.get("Authorization") for a in asked] == [None, "Bearer secret", "Bearer secret"]
    assert "secret" not in judge(url).key


def test_bad_settings_are_refused_before_anything_is_asked(monkeypatch):
    monkeypatch.delenv("NOISE_SEARCH_API_URL", raising=False)
    for url in ("", "file:///etc/passwd", "localhost:11434/v1"):
        with pytest.raises(VerifierError, match="give one such as http://127.0.0.1:11434/v1"):
            Endpoint(url, "judge")
    with pytest.raises(VerifierError, match="model has no name"):
        Endpoint("http://127.0.0.1:1/v1", " ")
    endpoint = Endpoint("http://127.0.0.1:1/v1", "judge")
    with pytest.raises(VerifierError, match="has no questions"):
        PromptChecklist(endpoint, " \n")
    assert VLMJudge(endpoint).needs_prompt and PromptChecklist(endpoint, "Is {prompt} there?").needs_prompt
    assert not PromptChecklist(endpoint, "A dog?").needs_prompt


def test_a_server_that_is_not_there_is_found_out_at_once():
    with chat_server(lambda asked: "yes") as (url, asked):
        Endpoint(url, "judge").check()
    with pytest.raises(VerifierError, match="No server answers at .*: start it"):
        Endpoint(url, "judge").check()
    assert asked == []


QUESTIONS = """
Is there a dog?
    Is the dog brown?
        Is the brown dog asleep?
    Is the dog small?
Is "{prompt}" true?
"""


def test_outline_gives_parents():
    questions, parents = outline(QUESTIONS)
    assert questions[1] == "Is the dog brown?" and parents == [None, 0, 1, 0, None]


def test_checklist_counts_what_depends_on_a_no_as_zero():
    def answer(asked):
        p = {"Is there": 0.8, "Is the dog brown": 0.3, "Is the brown": 0.9, "Is the dog small": 0.6}
        p = next((value for start, value in p.items() if asked.question.startswith(start)), 0.5)
        return "Yes", words(Yes=p, No=1 - p)

    with chat_server(answer) as (url, asked):
        endpoint = Endpoint(url, "judge")
        mean, least = (score(PromptChecklist(endpoint, QUESTIONS, how), IMAGES[:2]) for how in ("mean", "minimum"))
    torch.testing.assert_close(mean, torch.full((2,), (0.8 + 0.3 + 0.0 + 0.6 + 0.5) / 5))
    assert least.tolist() == [0, 0]
    assert 'Is "a cat" true? Please answer yes or no.' in {a.question for a in asked} and len(asked) == 20
