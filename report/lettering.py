"""Words on pictures: the typeface, and lines that fit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont


@lru_cache(32)
def font(size: int, bold: bool = False):
    """The typeface that comes with matplotlib: the same on every machine, with arrows and Greek."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def wrapped(text: str, width: int, face) -> list[str]:
    """The text in lines no wider than `width`; a word that is too wide is cut."""
    lines, current = [], ""
    for word in text.split():
        longer = f"{current} {word}".strip()
        if current and face.getlength(longer) > width:
            lines.append(current)
            longer = word
        current = cut(longer, width, face)
    return [*lines, current]


def captioned(lines: Sequence[str], width: int, size: int) -> list[tuple[str, bool]]:
    """(text, whether it belongs to the heading) for each line that fits into `width`; the first is the heading."""
    heading, *others = lines
    bold = bool(others)
    fitted = [(text, True) for text in wrapped(heading, width, font(size, bold))]
    return fitted + [(text, False) for line in others for text in wrapped(line, width, font(size))]


def cut(text: str, width: int, face) -> str:
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
