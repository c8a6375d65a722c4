"""Class probability: how sure an image classifier is that the image shows one class."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import torch

from .image_model import image_model
from .verifier import VerifierError

PROBABILITY, LOGIT = FORMS = ("probability", "logit")


class ClassProbability:
    """The target class's probability (softmax over all classes) or logit.

        verifier = Verifier.of(ClassProbability("models/clip_vision/dinov2-base-imagenet1k-1-layer", "goldfish"))

    path    a transformers folder with an image classifier
    target  the class: its label, one of the names in its label ("tench, Tinca tinca"), or its number; empty: the
            prompt names it
    form    PROBABILITY (0 to 1), or LOGIT, which still tells apart images that are all near 1
    half    run in float16 on a GPU
    """

    name = "ClassProbability"
    reads = "images"
    sign = 1

    def __init__(self, path: Path | str, target: str = "", form: str = PROBABILITY, half: bool = False):
        if form not in FORMS:
            raise VerifierError(f"{self.name}'s form is {form!r}: choose one of {', '.join(FORMS)}.")
        self.model = image_model(path, classify=True)
        self.target, self.form, self.half = target.strip(), form, half
        self.needs_prompt = not self.target
        if self.target:
            class_number(self.target, self.model.labels)
        self.key = f"{self.name}|{self.model.key}|{self.target}|{form}|{'half' if half else 'float'}"
        self.notes: list[str] = []

    def modules(self) -> Sequence[torch.nn.Module]:
        return [self.model.module]

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        wanted = [class_number(self.target or prompt.strip(), self.model.labels) for prompt in prompts]
        logits = self.model.logits(images, device, self.half)
        numbers = logits if self.form == LOGIT else logits.softmax(1)
        return numbers[torch.arange(len(wanted)), wanted]


def class_number(target: str, labels: Sequence[str]) -> int:
    """Which class is meant. Raises VerifierError, with the labels that come near, when none or several are."""
    if target.isdigit() and int(target) < len(labels):
        return int(target)
    wanted = target.casefold()
    whole = [i for i, label in enumerate(labels) if label.casefold() == wanted]
    parts = [i for i, label in enumerate(labels) if wanted in _names(label)]
    found = whole or parts
    if len(found) == 1:
        return found[0]
    if found:
        raise VerifierError(f"Class {target!r} could be number {' or '.join(map(str, found))}: give the number.")
    near = difflib.get_close_matches(wanted, [name for label in labels for name in _names(label)], 3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"give a label or a number below {len(labels)}."
    raise VerifierError(f"ClassProbability's model has no class {target!r}: {hint}")


def _names(label: str) -> list[str]:
    return [name.strip().casefold() for name in label.split(",")]
