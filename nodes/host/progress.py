"""What a person sees while a search runs: one bar, a line of text, the best image so far."""

from __future__ import annotations

import logging
import math
import time

import comfy.utils
import torch
from PIL import Image

from ...search.outcome import Outcome
from . import context, page
from .fidelity import names
from .live import Board
from .pictures import to_picture

EVERY = 0.25  # seconds between lines of text, at least


def say(node: str | None, *lines: str) -> None:
    """Live text on a node."""
    if page.server() is not None and node is not None:
        page.server().send_progress_text("\n".join(lines), node)


class Progress:
    """One bar over the whole search, in evaluations of latent rows."""

    def __init__(self, settings, call, scorer, key: str):
        self._settings, self._call, self._scorer = settings, call, scorer
        self._began = self._said = time.monotonic()
        self._bar = None
        self._total = 0.0
        self._best, self._best_place = "", None
        self._evaluator = self._outcome = None
        self.notes: list[str] = []
        now = context.running()
        self._node = now.shown_on if now else None
        self.board = self._board_of(now, key)

    def _board_of(self, now, key: str) -> Board:
        verifier, early = self._settings.verifier, self._settings.early
        signs = [measure.sign for each in (verifier, early) if each for measure in each.measures]
        searched = [*verifier.searched, *(early.searched if early else ())]
        return Board(
            now,
            self._settings.node or (now and now.node_id),
            self._settings.search.name,
            list(zip(names(verifier, early), searched, signs, strict=True)),
            key,
            verifier.relative,
            early=len(early.measures) if early else 0,
            sampler=now.node_id if now else "",
            pictures="" if self._settings.vae else "No VAE is connected, and the verifier needs none.",
        )

    def announce(self, evaluations: float, evaluator, notes: list[str]) -> None:
        self._evaluator, self._total = evaluator, evaluations
        self.board.begin(evaluations)
        self._bar = comfy.utils.ProgressBar(1 if math.isinf(evaluations) else int(evaluations))
        images = f" = {evaluations / (evaluator.whole * self._call.rows):g} images" if evaluator.whole else ""
        size = "as the time allows" if math.isinf(evaluations) else f"up to {evaluations:.0f} evaluations{images}"
        prompt = self._scorer.prompts[0]
        aim = f" for “{prompt[:80]}”" if prompt else ""
        self._say(f"{self._settings.search.name}: {size}{aim}", *notes)

    def step(self, x0, note: str = "") -> None:
        """After each step of the sampler; `note` reports what a person should know."""
        if note:
            self.notes.append(note[0].upper() + note[1:] + ".")
            logging.warning("Noise Search: %s", note)
        self._update()
        if time.monotonic() - self._said > EVERY:
            self._say(self._line())

    def generation(self, outcome: Outcome, evaluator) -> None:
        """After each generation: the best so far."""
        self._outcome = outcome
        winner, better = outcome.winners[0], None
        if winner is not None:
            value = outcome.lanes[0].archive.value(winner.recipe)
            self._best = f"{value:.4g}"
            place = (0, winner.recipe.id)
            if place != self._best_place and place in self._scorer.thumbnails:
                self._best_place, better = place, picture_of(self._scorer.thumbnails[place])
        pictures = {place: to_picture(image) for place, image in self._scorer.thumbnails.items()}
        self._scorer.thumbnails.clear()
        self.board.told(outcome, self._spent(), pictures)
        self._update(better)
        self._say(self._line())

    def done(self, account) -> None:
        best, plain = account.best().value, account.plain().value
        self._say(
            f"Best {best:.4g}, plain {plain:.4g}; {account.seconds:.1f} s",  # a node shows about two short lines
            f"{account.spent} of {total_of(account.estimate)} evaluations, {account.recalled} from the history",
            *account.notes,
        )
        self.board.done(account.spent, account.stages[-1]["ended"])
        if self._bar is not None:
            self._bar.update_absolute(max(1, account.spent), max(1, account.spent))

    def _spent(self) -> int:
        recalled = self._outcome.recalled if self._outcome else 0
        return self._evaluator.counted + recalled

    def _line(self) -> str:
        spent, total = self._spent(), self._total
        text = f"{self._settings.search.name}: {spent} / {total_of(total)} evaluations"
        elapsed, counted = time.monotonic() - self._began, self._evaluator.counted
        if counted and math.isfinite(total) and total > spent:
            text += f", {time_of((total - spent) * elapsed / counted)} left"
        return text + (f", best {self._best}" if self._best else "")

    def _update(self, preview=None) -> None:
        """Move the bar. A picture is sent once, when it is new: each is encoded and costs a step's time or more."""
        spent = self._spent()
        total = max(spent, 1) if math.isinf(self._total) else max(int(self._total), spent, 1)
        self._bar.update_absolute(spent, total, preview)
        self.board.moved(spent)

    def _say(self, *lines: str) -> None:
        self._said = time.monotonic()
        say(self._node, *lines)


def picture_of(picture: torch.Tensor) -> tuple[str, Image.Image, int]:
    return ("JPEG", to_picture(picture), 512)


def total_of(evaluations: float) -> str:
    return "∞" if math.isinf(evaluations) else f"{evaluations:.0f}"


def time_of(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
