"""The candidates of a run as pictures: each decoded once and alone, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management
import numpy as np
import torch
from PIL import Image

from ... import report
from ...report.theme import Theme
from ...search import SearchError
from ...search.account import Line
from .run import Run

THUMBNAIL = 256


def to_image(picture: Image.Image) -> torch.Tensor:
    """ComfyUI's IMAGE [1, H, W, 3] of a PIL picture."""
    return torch.from_numpy(np.array(picture.convert("RGB")).astype(np.float32) / 255)[None]


def to_picture(image: torch.Tensor) -> Image.Image:
    """A PIL picture of an image [H, W, 3] in 0-1."""
    return Image.fromarray((image.clamp(0, 1) * 255).round().byte().cpu().numpy())


class Pictures:
    """What reports show of one image of a run's latent batch.

    Every method gives a PIL picture; where there is nothing to decode with, a sentence that says so.
    """

    def __init__(self, run: Run, row: int, theme: Theme):
        self._run, self._row, self._theme = run, row, theme
        self._account, self._kept = run.account, run.kept(row)
        self._decoded: dict[str, Image.Image] = {}

    def gallery(self, k: int) -> Image.Image:
        """The plain image, then the best k besides it."""
        plain = self._account.plain(self._row)
        lines = [line for line in self._kept if line is plain]
        lines += [line for line in self._kept if line is not plain][:k]
        winner = next((n for n, line in enumerate(lines) if line is self._account.best(self._row)), None)
        return self._or_why(
            lambda: report.gallery(
                [self._picture(line) for line in lines],
                [self._caption(line) for line in lines],
                winner,
                title=self._account.search,
                theme=self._theme,
            )
        )

    def before_after(self) -> Image.Image:
        """The plain image and the winner, large."""
        plain, best = self._account.plain(self._row), self._account.best(self._row)
        note = report.warning(self._account, self._row)
        if plain is best:
            note = "No candidate was better than the plain image, so that both are the same."

        def drawn() -> Image.Image:
            after = self._picture(best)
            if any(line is plain for line in self._kept):
                before = self._picture(plain)
            else:
                why = f"The plain image was left out: {plain.excluded}." if plain.excluded else "It was not kept."
                before = report.message(why, after.width, self._theme)
            return report.before_after(before, after, [self._caption(plain), self._caption(best)], note, self._theme)

        return self._or_why(drawn)

    def contact_sheet(self) -> Image.Image:
        """All candidates that are kept, small."""
        return self._or_why(
            lambda: report.contact_sheet(
                self._account, self._kept, [self._small(line) for line in self._kept], self._row, self._theme
            )
        )

    def _or_why(self, draw) -> Image.Image:
        if not self._kept:
            why = "No candidate was kept, so that there are no pictures: connect an IMAGE to Search Loop End's value."
            return report.message(why, theme=self._theme)
        try:
            return draw()
        except SearchError as why:
            return report.message(str(why), theme=self._theme)

    def _caption(self, line: Line) -> Sequence[str]:
        return report.caption(self._account, line, self._row)

    def _picture(self, line: Line) -> Image.Image:
        if line.recipe.id not in self._decoded:
            self._decoded[line.recipe.id] = self._decode(line)
        return self._decoded[line.recipe.id]

    def _small(self, line: Line) -> Image.Image:
        """Not remembered: there may be hundreds."""
        picture = (self._decoded.get(line.recipe.id) or self._decode(line)).copy()
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        return picture

    def _decode(self, line: Line) -> Image.Image:
        comfy.model_management.throw_exception_if_processing_interrupted()
        return to_picture(self._run.images(self._row, [line])[0])
