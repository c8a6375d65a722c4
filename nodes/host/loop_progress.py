"""What a person sees of a loop: one bar over it on Search Loop End, a line of text, the best picture so far."""

from __future__ import annotations

import math
import time

import comfy.utils

from ...search.run import Outcome
from .loop_values import Values, is_image
from .progress import EVERY, picture_of, say, time_of, total_of


class LoopProgress:
    """node: the End that runs; shown_on: the one on the page, where it is a copy."""

    def __init__(self, node: str, shown_on: str, name: str, images: float, values: Values):
        self._shown_on, self._name, self._images, self._values = shown_on, name, images, values
        self._bar = comfy.utils.ProgressBar(1 if math.isinf(images) else int(images), node_id=node)
        self._began = self._said = time.monotonic()
        self._best, self._line = "", ""

    def announce(self, notes: list[str]) -> None:
        size = "as many images as the time allows" if math.isinf(self._images) else f"up to {self._images:g} images"
        self._say(f"{self._name}: {size}", *notes)

    def told(self, outcome: Outcome) -> None:
        """After each candidate, those of the history too."""
        winner, done = outcome.winners[0], outcome.spent
        picture = None
        if winner is not None and winner.recipe.id != self._best:
            self._best, value = winner.recipe.id, self._values.get(winner.recipe.id)
            picture = picture_of(value[0, ..., :3].cpu()) if is_image(value) else None
        total = max(done, 1) if math.isinf(self._images) else max(int(self._images), done)
        self._bar.update_absolute(done, total, picture)
        if time.monotonic() - self._said > EVERY:
            self._say(self._text(outcome, winner))

    def done(self, account) -> None:
        best, plain = account.best().row[0], account.plain().row[0]
        self._say(
            f"Best {best:.4g}, plain {plain:.4g}; {account.seconds:.1f} s",
            f"{account.spent} of {total_of(self._images)} images, {account.recalled} from the history",
            *account.notes,
        )
        self._bar.update_absolute(max(1, account.spent), max(1, account.spent))

    def _text(self, outcome: Outcome, winner) -> str:
        done, now = outcome.spent, outcome.spent - outcome.recalled
        text = f"{self._name}: {done} / {total_of(self._images)} images"
        if now and math.isfinite(self._images) and self._images > done:
            text += f", {time_of((self._images - done) * (time.monotonic() - self._began) / now)} left"
        return text + (f", best {winner.row[0]:.4g}" if winner else "")

    def _say(self, *lines: str) -> None:
        self._said = time.monotonic()
        say(self._shown_on, *lines)
