"""A person's choice as a score. How the person is reached is the caller's: this file hands over a question.

Picks and rankings compare the images of one question with each other, and with the best so far, which is shown
beside them. The number of an image is that of the best so far, plus the places it stands above it, or minus those
below; what was not picked shares one place below all that was. So the best of one question can be compared with the
best of any other, and a number once given never changes. Ratings need no such rule: they share one scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .verifier import Verifier, VerifierError, raw_rows, run

PICK, RANK, RATE = WAYS = ("pick the best", "rank", "rate 1 to 10")
KEEP, NO_SCORE = UNANSWERED = ("keep the best so far", "give no score")


@dataclass(frozen=True)
class Question:
    """What a person is shown.

    images   [n, H, W, 3] in 0-1, and the prompt of each
    way      one of WAYS
    text     what the person is asked
    best     which of the images is the best so far, or None
    """

    images: torch.Tensor
    prompts: Sequence[str]
    way: str
    text: str
    best: int | None = None


Ask = Callable[[Question], "list[int] | None"]
"""The answer: for RATE a whole number of 1 to 10 for each image; else images, the best first, those left out being
worse than all of these and equal among themselves. None where nobody answered."""


def places(order: Sequence[int], count: int) -> list[int]:
    """The place of each image, 0 the first; those left out share the last."""
    return [list(order).index(n) if n in order else len(order) for n in range(count)]


class HumanPick:
    """A measure that asks a person.

        verifier = Verifier.of(HumanPick(ask, PICK))

    shown       images asked about together at most, beside the best so far
    screen      a verifier: of the images handed over together only the best `shown` are asked about
    unanswered  KEEP: none is better than the best so far; NO_SCORE: NaN
    best        (image [H, W, 3], number) of the best so far, or None. Whoever knows all candidates sets it; it is
                brought up to date with each answer
    missed      questions that nobody answered

    Reads images of one search at a time, but for RATE. Numbers: see above; RATE 1 to 10, and 0 where nobody rated.
    """

    name, reads, sign = "Human Pick", "images", 1
    asks = True  # a person, who is asked for a whole generation at once

    def __init__(
        self,
        ask: Ask,
        way: str = PICK,
        text: str = "",
        shown: int = 8,
        screen: Verifier | None = None,
        unanswered: str = KEEP,
    ):
        if way not in WAYS:
            raise VerifierError(f"Human Pick has no way {way!r}: choose one of {', '.join(WAYS)}.")
        if shown < 2:
            raise VerifierError(f"Human Pick's shown is {shown}: give 2 or more.")
        if screen and any(m.reads != "images" for m in screen.measures):
            raise VerifierError("Human Pick's screen must look at finished images: connect another verifier there.")
        self._ask, self._way, self._text, self._shown = ask, way, text.strip(), shown
        self._screen, self._unanswered = screen, unanswered
        self.key = f"human {way} {self._text!r}" + (f" screened by {screen.key}" if screen else "")
        self.needs_prompt = bool(screen and screen.in_need_of_a_prompt)
        self.best: tuple[torch.Tensor, float] | None = None
        self.missed = 0

    @property
    def compares(self) -> bool:
        """Whether its numbers come from comparisons with the best so far."""
        return self._way != RATE

    @property
    def notes(self) -> list[str]:
        missed = [f"Questions of Human Pick that nobody answered: {self.missed}."] if self.missed else []
        return missed + (self._screen.notes if self._screen else [])

    def check_prompt(self, prompt: str) -> None:
        if self._screen:
            self._screen.check_prompts([prompt])

    def modules(self) -> Sequence[torch.nn.Module]:
        return [module for m in self._screen.measures for module in m.modules()] if self._screen else []

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        if self._screen is None:
            parts = range(len(images))
            return torch.cat([self._part(images, prompts, list(part)) for part in _parts(parts, self._shown)])
        rows = raw_rows([run(m, images, prompts, device) for m in self._screen.measures])
        values = self._screen.rule(rows).nan_to_num(-torch.inf)
        return self._part(images, prompts, sorted(values.argsort(descending=True, stable=True)[: self._shown].tolist()))

    def _part(self, images: torch.Tensor, prompts: Sequence[str], shown: list[int]) -> torch.Tensor:
        """Numbers of the images `shown`, and where there is a screen of those that are not."""
        asked = shown if self._screen is None else range(len(images))
        seen, texts = images[shown], [prompts[n] for n in shown]
        answer = self._rate(seen, texts) if self._way == RATE else self._compare(seen, texts)
        if answer is None:
            self.missed += 1
            answer = self._nobody()
        numbers, rest = answer
        given = dict(zip(shown, numbers or [rest] * len(shown), strict=True))
        return torch.tensor([given.get(n, rest) for n in asked])

    def _rate(self, images: torch.Tensor, prompts: Sequence[str]) -> tuple[list[float], float] | None:
        answer = self._ask(Question(images, prompts, self._way, self._text))
        return answer and ([float(x) for x in answer], 0.0)

    def _compare(self, images: torch.Tensor, prompts: Sequence[str]) -> tuple[list[float], float] | None:
        """The numbers of the images, and that of any not shown. The only image there is has nobody to stand above."""
        if self.best is None and len(images) == 1:
            self.best = (images[0], 0.0)
            return [0.0], 0.0
        held, number = self.best or (None, 0.0)
        table = images if held is None else torch.cat([images, held[None].to(images)])
        best = None if held is None else len(images)
        texts = prompts if best is None else [*prompts, prompts[0]]
        order = self._ask(Question(table, texts, self._way, self._text, best))
        if order is None:
            return None
        where = places(order, len(table))
        base = len(order) if best is None else where[best]
        numbers = [number + base - place for place in where[: len(images)]]
        top = max(range(len(images)), key=numbers.__getitem__)
        if best is None or numbers[top] > number:
            self.best = (images[top], numbers[top])
        return numbers, number + base - len(order)

    def _nobody(self) -> tuple[list[float], float]:
        if self._unanswered == NO_SCORE:
            return [], torch.nan
        return [], self.best[1] - 1 if self.compares and self.best else 0.0


def _parts(numbers: range, most: int) -> list[range]:
    """As few parts as possible, none larger than `most`, of nearly equal size."""
    count = -(-len(numbers) // most)
    return [numbers[len(numbers) * k // count : len(numbers) * (k + 1) // count] for k in range(count)]
