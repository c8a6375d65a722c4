"""What a vision-language model answers to a question about an image, wherever the model runs.

`Endpoint` (a server) and `LocalModel` (a folder) both answer: they have `key`, `modules()` and `ask(...)`, which
reads each answer with a function that raises NotUnderstood for one that will not do, and then asks once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from PIL import Image

from .clip_model import to_bytes, to_pil

LIKELIEST = 20
"""First tokens looked at: an answer in which neither yes nor no is among them is not understood."""
LONGEST = 512
"""Tokens in an answer, at most."""
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What the model said, and of its first token the likeliest choices with their probabilities (may be empty)."""

    text: str
    first: dict[str, float]


class NotUnderstood(ValueError):
    """An answer that is not what was asked for; the message says what is wrong with it."""


class Answering(Protocol):
    key: str
    """Changes when the answers would: which model, and how it is shown the images."""

    def modules(self) -> Sequence[torch.nn.Module]:
        """What runs in this process."""

    def ask(
        self,
        images: torch.Tensor,
        questions: Sequence[Sequence[str]],
        read: Callable[[Answer], T],
        probabilities: bool = False,
    ) -> list[list[T]]:
        """For each of the images [n, H, W, 3] in 0-1, `read` of the answers to its questions, in order.

        probabilities  ask for those of the first token; where there are none, `Answer.first` is empty
        Raises VerifierError when the model fails, or when it is not understood twice.
        """


def question_again(question: str, why: NotUnderstood) -> str:
    return f"{question}\n\nYour last answer could not be used: {why}. Answer again, exactly as asked."


def not_understood(who: str, why: NotUnderstood, answer: Answer) -> str:
    return f"{who} was asked twice and not understood: {why}. It said: {answer.text[:120]!r}."


def shown(images: torch.Tensor, side: int) -> list[Image.Image]:
    """Images [n, H, W, 3] in 0-1 as the model gets them: their longer side at most `side` pixels."""
    return [_smaller(image, side) for image in to_pil(to_bytes(images))]


def _smaller(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    if scale >= 1:
        return image
    return image.resize([max(1, round(s * scale)) for s in image.size], Image.Resampling.LANCZOS)
