"""Asking a person: a question waits on the server until a page answers it, time is up, or the search is cancelled."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

import comfy.model_management

from ...verifiers.human_pick import PICK, RATE, Question
from . import context, live, page
from .pictures import to_picture

LARGEST = 768  # pixels of a picture on the page
LOOK = 0.1  # seconds between two looks at whether the user cancelled
PENDING: dict[str, Pending] = {}
"""By token. Read by the server's own thread; a question is put there whole, and taken away whole."""


class Pending:
    """A question that waits. `pictures` are JPEGs; `seconds` 0 waits without end."""

    def __init__(self, question: Question, seconds: float):
        now = context.running()
        self.token, self.question, self.prompt_id = uuid.uuid4().hex, question, now.prompt_id if now else ""
        self.pictures = [page.jpeg(to_picture(image), LARGEST) for image in question.images]
        self.late = time.monotonic() + seconds if seconds else None
        self._answer: list[int] | None = None
        self._answered = threading.Event()
        self._lock = threading.Lock()

    def give(self, answer: list[int] | None) -> bool:
        """The first answer counts; whether this is it. None: nobody will answer."""
        with self._lock:
            if self._answered.is_set():
                return False
            self._answer = answer
            self._answered.set()
            return True

    def wait(self) -> list[int] | None:
        """Until the answer, or until time is up. Raises ComfyUI's own exception when the user cancels."""
        while not self._answered.wait(LOOK):
            comfy.model_management.throw_exception_if_processing_interrupted()
            if self.late and time.monotonic() >= self.late:
                return None
        return self._answer

    def content(self) -> dict:
        """As a page is told."""
        asked = self.question
        return {
            "token": self.token,
            "prompt": self.prompt_id,
            "way": asked.way,
            "text": asked.text,
            "about": list(dict.fromkeys(asked.prompts)),
            "count": len(self.pictures),
            "best": asked.best,
            "seconds_left": None if self.late is None else max(0.0, self.late - time.monotonic()),
        }


def asker(seconds: float) -> Callable[[Question], list[int] | None]:
    """An Ask for HumanPick that waits so long; 0 waits without end."""

    def ask(question: Question) -> list[int] | None:
        if not page.anyone_there():
            return None
        pending = Pending(question, seconds)
        live.tell(pending.prompt_id)
        PENDING[pending.token] = pending
        page.send("question", pending.content())
        try:
            return pending.wait()
        finally:
            PENDING.pop(pending.token, None)
            page.send("answered", {"token": pending.token})

    return ask


def leave_as_it_is(prompt_id: str) -> None:
    """Answer what this prompt asks: nothing is better than the best so far; ratings stay unanswered."""
    for pending in list(PENDING.values()):
        best = pending.question.best
        if pending.prompt_id == prompt_id:
            pending.give(None if pending.question.way == RATE else [] if best is None else [best])


def checked(question: Question, answer: object) -> list[int]:
    """An answer from outside. Raises ValueError, with a sentence, where it does not answer the question."""
    count = len(question.images)
    if not isinstance(answer, list) or not all(type(n) is int for n in answer):
        raise ValueError("The answer must be a list of whole numbers.")
    if question.way == RATE:
        if len(answer) != count or not all(1 <= n <= 10 for n in answer):
            raise ValueError(f"The answer must be {count} ratings of 1 to 10.")
        return answer
    if len(set(answer)) != len(answer) or not all(0 <= n < count for n in answer):
        raise ValueError(f"The answer must name images, each once, by numbers of 0 to {count - 1}.")
    if question.way == PICK and len(answer) > 1:
        raise ValueError("The answer must name one image, or none.")
    return answer
