"""Pictures side by side, each with what is known of it."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from ..search.account import Account, Line
from .lettering import captioned, cut, font, wrapped
from .theme import LIGHT, Theme
from .words import headings, number, origin

WIDTH, GAP, BORDER = 1024, 18, 5
LARGEST = 485  # width of a picture in a gallery: two fill the sheet


def caption(account: Account, line: Line, lane: int = 0) -> list[str]:
    """A heading, then a line each for value, measures, and where the noise came from."""
    ranked = [other.recipe.id for other in account.ranked(lane)]
    place = f"rank {ranked.index(line.recipe.id) + 1} of {len(ranked)}" if line.recipe.id in ranked else "not ranked"
    role = "plain · " if line is account.plain(lane) else "winner · " if ranked[:1] == [line.recipe.id] else ""
    measures = [f"{name} {number(x)}" for name, x in zip(headings(account), line.row)]
    told = [] if line.value in line.row else [f"value {number(line.value)}"]  # one measure alone is the value
    return [role + place, *told, *measures, origin(account, line.recipe)]


def gallery(
    pictures: Sequence[Image.Image],
    captions: Sequence[Sequence[str]],
    winner: int | None = None,
    columns: int = 4,
    width: int = WIDTH,
    title: str = "",
    note: str = "",
    theme: Theme = LIGHT,
    largest: int = LARGEST,
) -> Image.Image:
    """Pictures in rows of `columns`, captions below; the first line of a caption is its heading.

    winner   index of the picture to frame
    note     a sentence below all pictures
    largest  width of a picture at most
    """
    columns = max(1, min(columns, len(pictures)))
    cell = min((width - GAP * (columns + 1)) // columns, largest)
    text = 14 if columns > 2 else round(17 * max(1, width / WIDTH) ** 0.7)
    tall = min(max(round(cell * p.height / p.width) for p in pictures), 2 * cell)
    shown = [ImageOps.contain(p.convert("RGB"), (cell, tall), Image.Resampling.LANCZOS) for p in pictures]
    notes = [captioned(lines, cell, text) for lines in captions]
    step = round(text * 1.4)
    rows = [range(n, min(n + columns, len(shown))) for n in range(0, len(shown), columns)]
    below = [max(len(notes[n]) for n in row) * step for row in rows]
    top = GAP + (round(2 * (text + 3)) if title else 0)
    said = wrapped(note, width - 2 * GAP, font(text)) if note else []
    bottom = len(said) * step + GAP * bool(said)
    sheet = Image.new("RGB", (width, top + sum(tall + 10 + b + GAP for b in below) + bottom), theme.paper)
    draw = ImageDraw.Draw(sheet)
    if title:
        face = font(text + 3, True)
        draw.text((GAP, GAP - 2), cut(title, width - 2 * GAP, face), theme.ink, face)
    y = top
    for row, height in zip(rows, below, strict=True):
        for place, n in enumerate(row):
            x = GAP + place * (cell + GAP)
            _cell(draw, sheet, shown[n], notes[n], (x, y, cell, tall), text, n == winner, theme)
        y += tall + 10 + height + GAP
    for n, words in enumerate(said):
        draw.text((GAP, y + n * step), words, theme.watched, font(text))
    return sheet


def before_after(
    plain: Image.Image, best: Image.Image, captions: Sequence[Sequence[str]], note: str = "", theme: Theme = LIGHT
) -> Image.Image:
    """The plain image and the winner side by side, at their own size where that is up to 1024 pixels wide.

    note  what a person should know when comparing the two
    """
    largest = max(LARGEST, min(max(plain.width, best.width), 1024))
    width = max(WIDTH, 2 * largest + 3 * GAP)
    return gallery([plain, best], captions, winner=1, columns=2, width=width, note=note, theme=theme, largest=largest)


def message(text: str, width: int = WIDTH, theme: Theme = LIGHT) -> Image.Image:
    """A sentence in place of a picture that cannot be drawn."""
    lines = wrapped(text, width - 4 * GAP, font(17))
    sheet = Image.new("RGB", (width, 25 * len(lines) + 4 * GAP), theme.paper)
    draw = ImageDraw.Draw(sheet)
    for n, words in enumerate(lines):
        draw.text((2 * GAP, 2 * GAP + 25 * n), words, theme.faint, font(17))
    return sheet


def frame(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], width: int, theme: Theme) -> None:
    """The winner's frame around a picture that fills left, top, right, bottom."""
    left, top, right, bottom = box
    edge = (left - width, top - width, right + width - 1, bottom + width - 1)
    draw.rectangle(edge, outline=theme.frame, width=width)


def _cell(draw, sheet, picture, notes, box, text: int, framed: bool, theme: Theme) -> None:
    x, y, cell, tall = box
    left, top = x + (cell - picture.width) // 2, y + (tall - picture.height) // 2
    sheet.paste(picture, (left, top))
    if framed:
        frame(draw, (left, top, left + picture.width, top + picture.height), BORDER, theme)
    for n, (words, is_head) in enumerate(notes):
        colour = (theme.frame if framed else theme.ink) if is_head else theme.faint
        draw.text((x, y + tall + 10 + n * round(text * 1.4)), words, colour, font(text, is_head))
