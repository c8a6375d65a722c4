"""A vision-language model as a judge: does the image show the prompt, or how good is it by a rubric."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

import torch

from .answer import Answer, Answering, NotUnderstood
from .verifier import VerifierError

YES = "shows the prompt"
ASPECTS = (
    "accuracy to prompt",
    "originality",
    "visual quality and realism",
    "internal consistency",
    "emotional resonance",
    "overall",
)
FORMS = (YES, *ASPECTS)
QUESTION = 'Does this figure show "{prompt}"? Please answer yes or no.'
RUBRIC = (
    'Judge this image, made for the prompt "{prompt}". Give each of these aspects a number from 0 (worst) to 10 '
    "(best): " + ", ".join(ASPECTS) + ". Answer with one JSON object and nothing else: the aspects, exactly as "
    "written, as its keys, and the numbers as its values."
)
NO_PROBABILITIES = "The server gives no probabilities of words: yes counts 1 and no counts 0, so images tie often."


class VLMJudge:
    """P(yes) to QUESTION (0 to 1), or one aspect of a rubric (0 to 10).

        verifier = Verifier.of(VLMJudge(Endpoint("http://127.0.0.1:11434/v1", "qwen2.5vl:7b")))
        verifier = Verifier.of(VLMJudge(LocalModel("models/noise_search/SmolVLM-Instruct")))

    model  who answers: an Endpoint or a LocalModel
    form   YES, or one of ASPECTS
    Whole numbers tie: of two equal images the earlier stays.
    Sources: Lin et al. 2024, "Evaluating Text-to-Visual Generation with Image-to-Text Generation" (VQAScore); Ma
    et al. 2025, "Inference-Time Scaling for Diffusion Models beyond Scaling Denoising Steps" (the rubric).
    """

    name = "VLMJudge"
    reads = "images"
    sign = 1
    needs_prompt = True

    def __init__(self, model: Answering, form: str = YES):
        if form not in FORMS:
            raise VerifierError(f"{self.name}'s form is {form!r}: choose one of {', '.join(FORMS)}.")
        self.model, self.form = model, form
        self.key = f"{self.name}|{model.key}|{form}"
        self.notes: list[str] = []

    def modules(self) -> Sequence[torch.nn.Module]:
        return self.model.modules()

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        template = QUESTION if self.form == YES else RUBRIC
        questions = [[template.replace("{prompt}", prompt.strip())] for prompt in prompts]
        read = yes_reader(self.notes) if self.form == YES else self._aspect
        return torch.tensor(self.model.ask(images, questions, read, probabilities=self.form == YES))[:, 0]

    def _aspect(self, answer: Answer) -> float:
        return rubric(answer.text)[self.form]


def yes_reader(notes: list[str]) -> Callable[[Answer], float]:
    """`yes`, with a note when the server gives no probabilities."""

    def read(answer: Answer) -> float:
        number = yes(answer)
        if not answer.first and NO_PROBABILITIES not in notes:
            notes.append(NO_PROBABILITIES)
        return number

    return read


def yes(answer: Answer) -> float:
    """P(first word = yes), or 1 and 0 where the server gives no probabilities."""
    if {"yes", "no"} & answer.first.keys():
        return answer.first.get("yes", 0.0)
    said = re.match(r"\W*(yes|no)\b", answer.text.casefold())
    if said is None or answer.first:
        raise NotUnderstood("it does not begin with yes or no")
    return float(said[1] == "yes")


def rubric(text: str) -> dict[str, float]:
    """The aspects' numbers from an answer: one JSON object, whatever stands around it."""
    start, end = text.find("{"), text.rfind("}")
    try:
        found = json.loads(text[start : end + 1])
        named = {str(name).strip().casefold(): value for name, value in found.items()}
    except (ValueError, AttributeError) as cause:
        raise NotUnderstood("it is not a JSON object") from cause
    for aspect in ASPECTS:
        value = named.get(aspect)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 10:
            raise NotUnderstood(f'"{aspect}" is not a number from 0 to 10')
    return {aspect: float(named[aspect]) for aspect in ASPECTS}
