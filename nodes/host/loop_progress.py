"""What a person sees of a loop: one bar over it on Search Loop End, a line of text, the best picture so far."""

from __future__ import annotations

import math
import time

import comfy.utils

from ...search.outcome import Outcome
from .context import Running
from .live import Board
from .loop_values import Values, is_image
from .pictures import to_picture
from .progress import EVERY, picture_of, say, time_of, total_of


class LoopProgress:
    """now: while the End `node` runs, or a copy of it; seeded: the Start; sign: of the scores; key: of the loop."""

    def __init__(
        self, now: Running, node: str, seeded: str, name: str, sign: int, images: float, values: Values, key: str
    ):
        self._shown_on, self._name, self._images, self._values = now.displayed(node), name, images, values
        self.board = Board(now, node, name, [("score", True, sign)], key, unit="images", sampler=seeded)
        self.board.begin(images)
        self._pictures: dict = {}  # of the candidates that the board was not told of
        self._bar = comfy.utils.ProgressBar(1 if math.isinf(images) else int(images), node_id=node)
        self._began = self._said = time.monotonic()
        self._best, self._line = "", ""

    def announce(self, notes: list[str]) -> None:
        size = "as many images as the time allows" if math.isinf(self._images) else f"up to {self._images:g} images"
        self._say(f"{self._name}: {size}", *notes)

    def saw(self, id: str, value: object) -> None:
        """What the loop made for a candidate, before its score is told."""
        if is_image(value):
            self._pictures[0, id] = to_picture(value[0, ..., :3])

    def told(self, outcome: Outcome) -> None:
        """After each candidate, those of the history too."""
        winner, done = outcome.winners[0], outcome.spent
        self.board.told(outcome, done, self._pictures)
        self._pictures = {}
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
        self.board.done(account.spent, account.stages[-1]["ended"])

    def _text(self, outcome: Outcome, winner) -> str:
        done, now = outcome.spent, outcome.spent - outcome.recalled
        text = f"{self._name}: {done} / {total_of(self._images)} images"
        if now and math.isfinite(self._images) and self._images > done:
            text += f", {time_of((self._images - done) * (time.monotonic() - self._began) / now)} left"
        return text + (f", best {winner.row[0]:.4g}" if winner else "")

    def _say(self, *lines: str) -> None:
        self._said = time.monotonic()
        say(self._shown_on, *lines)
