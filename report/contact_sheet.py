"""Every candidate that is still there, small, best first."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from ..search.account import Account, Line
from .gallery import WIDTH, frame
from .lettering import font, wrapped
from .theme import LIGHT, Theme
from .words import count, left_out, number, of_batch

GAP, TEXT = 10, 12


def contact_sheet(
    account: Account, lines: Sequence[Line], pictures: Sequence[Image.Image], lane: int = 0, theme: Theme = LIGHT
) -> Image.Image:
    """Small pictures of the candidates in `lines`, each with its rank and value, under a sentence that says how
    many there were besides. The winner is framed, and the plain image is named."""
    columns = next(n for n, most in ((6, 18), (8, 48), (12, 10**9)) if len(lines) <= most)
    cell = (WIDTH - GAP * (columns + 1)) // columns
    tall = min(max((round(cell * p.height / p.width) for p in pictures), default=0), 2 * cell)
    said = wrapped(kept_in_words(account, len(lines), lane), WIDTH - 2 * GAP, font(15))
    top, step = 22 * len(said) + 2 * GAP, tall + 2 * TEXT + GAP
    sheet = Image.new("RGB", (WIDTH, top + step * -(-len(lines) // columns) + GAP), theme.paper)
    draw = ImageDraw.Draw(sheet)
    for n, words in enumerate(said):
        draw.text((GAP, GAP + 22 * n), words, theme.ink, font(15))
    ranks = {line.recipe.id: rank for rank, line in enumerate(account.ranked(lane), 1)}
    for n, (line, picture) in enumerate(zip(lines, pictures, strict=True)):
        x, y = GAP + n % columns * (cell + GAP), top + n // columns * step
        shown = ImageOps.contain(picture.convert("RGB"), (cell, tall), Image.Resampling.LANCZOS)
        left, upper = x + (cell - shown.width) // 2, y + (tall - shown.height) // 2
        sheet.paste(shown, (left, upper))
        won = ranks.get(line.recipe.id) == 1
        if won:
            frame(draw, (left, upper, left + shown.width, upper + shown.height), 4, theme)
        _label(draw, (x, y + tall + 5), cell, ranks[line.recipe.id], line, line is account.plain(lane), won, theme)
    return sheet


def kept_in_words(account: Account, kept: int, lane: int = 0) -> str:
    """How many of the candidates are kept, and what became of the others."""
    finished = len(account.ranked(lane))
    place = f" for {of_batch(account, lane)}" if of_batch(account, lane) else ""
    if kept == finished:
        words = f"All {count(finished, 'finished candidate')}{place}, best first."
    else:
        words = (
            f"{kept} of {count(finished, 'finished candidate')}{place}, best first. The latents of the other "
            f"{finished - kept:,} were not kept: raise keep on the search block to see more."
        )
    lost = len(left_out(account, lane))
    return words + (f" {count(lost, 'candidate')} had no score and took no part." if lost else "")


def _label(draw, place, width: int, rank: int, line: Line, plain: bool, won: bool, theme: Theme) -> None:
    """Rank, value, and whether it is the plain image; what does not fit is left away from the end."""
    words = [f"{rank}", number(line.value), *(["plain"] if plain else [])]
    while len(words) > 1 and font(TEXT, True).getlength("  ".join(words)) > width:
        words.pop(0 if plain else -1)  # of the plain image, that it is plain matters more than its rank
    x, y = place
    for n, word in enumerate(words):
        bold = n == 0 or word == "plain"
        draw.text((x, y), word, theme.frame if won else theme.ink if bold else theme.faint, font(TEXT, bold))
        x += font(TEXT, bold).getlength(word + "  ")
