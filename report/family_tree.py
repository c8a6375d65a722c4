"""Who came from whom, drawn: generations from left to right, coloured by score, the winner's line in bold."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..search.account import Account
from .family import Member, family, places
from .figure import blank, literal, picture
from .theme import LIGHT, SCALE, Theme
from .words import count, number, of_batch

WIDTH, WIDEST, TALLEST = 1024, 2400, 4000  # pixels
HEAD, FOOT, LEFT, RIGHT, LARGE = 84, 80, 48, 48, 12.0  # its margins, and the diameter of a dot at most
LABELLED = 60  # candidates up to which each has its value beside it
SCORED = {"candidate": "o", "preview on the path": "s"}
UNSCORED = {"left out": ("x", 0.6), "passed, not scored": (".", 0.4)}  # marker, and its share of a dot's area

Spots = dict[Member, tuple[float, float]]


@dataclass
class Sheet:
    """Where every member stands, in pixels from the top left.

    tree      those with relatives; `across` pixels from one generation to the next, `down` between neighbours,
              `size` the diameter of a dot. Those in `followers` stand in a row behind a sibling.
    single    those without: drawn afresh, and no parents; they stand in rows below, large
    """

    tree: Spots
    followers: set[Member]
    single: Spots
    across: float
    down: float
    size: float
    width: int
    height: int

    @property
    def spots(self) -> Spots:
        return self.tree | self.single

    def diameter(self, member: Member) -> float:
        return LARGE if member in self.single else self.size


def family_tree(account: Account, lane: int = 0, theme: Theme = LIGHT) -> Image.Image:
    """The family of all candidates of one image of the latent batch.

    Circles are finished images, squares previews on the path, crosses left out; a small point is a state that
    was passed and not scored. Candidates without relatives stand in rows below, in order of evaluation: after a
    search that draws every noise afresh there is nothing else.
    """
    members = family(account, lane)
    best = account.best(lane)
    line = next(member for member in members if member.line is best).ancestry
    sheet = laid_out(members, line)
    figure = blank(sheet.width, sheet.height, theme)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, sheet.width), ylim=(sheet.height, 0))
    axes.axis("off")
    _generations(axes, sheet, theme)
    _edges(axes, sheet, line, theme)
    shades = _dots(axes, sheet, account, lane, line, theme)
    _values(axes, sheet, account, lane, theme)
    _titles(axes, sheet, account, lane, theme)
    _legend(figure, shades, sheet, theme)
    return picture(figure)


def laid_out(members: Sequence[Member], line: Sequence[Member]) -> Sheet:
    """Families below one another, then rows of those who have none.

    line  the winner's ancestry, which is drawn straight
    """
    founders = [member for member in members if member.parent is None]
    families = [member for member in founders if member.children]
    single = [member for member in founders if not member.children]
    for abreast in (1, 2, 3, 4, 6, 8):  # as many as it takes to be no taller than wide
        rows, tall = _stacked(families, line, abreast)
        if tall < 60:
            break
    steps = max((generation for generation, *_ in rows.values()), default=0)
    down = min(28.0, max(6.0, 720 / max(1.0, tall)), TALLEST / max(1.0, tall))
    size = min(LARGE, 0.75 * down)
    behind = (size + 2) * max((seat for *_, seat in rows.values()), default=0)
    across = min(240.0, (WIDTH - LEFT - RIGHT - behind) / max(1, steps))
    across = max(across, min(14.0 + behind, (WIDEST - LEFT - RIGHT - behind) / max(1, steps)))
    width = max(WIDTH, round(LEFT + RIGHT + behind + across * steps))
    tree = {m: (LEFT + across * x + (size + 2) * n, HEAD + 30 + down * (y + 0.5)) for m, (x, y, n) in rows.items()}
    bottom = HEAD + (30 + down * tall if tree else -10)
    wide, high = (64, 40) if len(members) <= LABELLED else (17, 17)
    columns = 1 + (width - LEFT - RIGHT) // wide
    alone = {m: (LEFT + wide * (n % columns), bottom + 40 + high * (n // columns)) for n, m in enumerate(single)}
    end = max((y for _, y in alone.values()), default=bottom - high) + high
    followers = {member for member, (*_, seat) in rows.items() if seat}
    size = min(size, max(4.0, 0.6 * across))
    return Sheet(tree, followers, alone, across, down if tree else 28.0, size, width, round(end + FOOT))


def _stacked(
    families: Sequence[Member], line: Sequence[Member], abreast: int
) -> tuple[dict[Member, tuple[int, float, int]], float]:
    """Generation, height and place in its row of each member, and how many heights there are."""
    found: dict[Member, tuple[int, float, int]] = {}
    tall = 0.0
    for founder in families:
        own = places(founder, line, abreast)
        heights = [height for _, height, _ in own.values()]
        found |= {member: (x, tall + y - min(heights), n) for member, (x, y, n) in own.items()}
        tall += max(heights) - min(heights) + 1.5
    return found, tall


def _generations(axes, sheet: Sheet, theme: Theme) -> None:
    """A faint rule for each generation with its number on top, as many as there is room for."""
    if not sheet.tree:
        return
    last, bottom = (max(spot[n] for spot in sheet.tree.values()) for n in (0, 1))
    every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 10**9) if n * sheet.across > 24)
    axes.text(15, HEAD - 2, "generation", color=theme.faint, fontsize=8.5)
    for n in range(0, 1 + int((last - LEFT) / sheet.across + 0.01), every):
        x = LEFT + n * sheet.across
        axes.vlines(x, HEAD + 20, bottom + 8, color=theme.grid, lw=1, zorder=0)
        axes.text(x, HEAD + 15, str(n), color=theme.faint, fontsize=8.5, ha="center")


def _edges(axes, sheet: Sheet, line: Sequence[Member], theme: Theme) -> None:
    from matplotlib.collections import LineCollection

    t = np.linspace(0, 1, 25)
    smooth = t * t * (3 - 2 * t)  # leaves and arrives level
    thin, bold = [], []
    winning = set(line)
    for member, (x, y) in sheet.tree.items():
        if member.parent and member not in sheet.followers:
            x0, y0 = sheet.tree[member.parent]
            course = np.stack([x0 + (x - x0) * t, y0 + (y - y0) * smooth], 1)
            (bold if member in winning else thin).append(course)
    weight = 0.6 if sheet.down < 9 else 1.0
    axes.add_collection(LineCollection(thin, colors=theme.faint, linewidths=weight, alpha=0.6, zorder=1))
    axes.add_collection(LineCollection(bold, colors=theme.frame, linewidths=3.2, zorder=2))


def _dots(axes, sheet: Sheet, account: Account, lane: int, line: Sequence[Member], theme: Theme):
    """Every member by what it is, coloured by its value; what the scale of colours belongs to."""
    winning, shades, kinds = set(line), None, _kinds(sheet)
    scored = [member for kind in SCORED for member in kinds.get(kind, [])]
    for kind, members in kinds.items():
        xy = np.array([sheet.spots[m] for m in members]).T
        area = np.array([(0.72 * sheet.diameter(m)) ** 2 for m in members])
        if kind in SCORED:
            edges = [theme.frame if m in winning else theme.ink for m in members]
            widths = [2.0 if m in winning else 0.5 for m in members]
            dots = axes.scatter(
                *xy, area, [m.line.value for m in members], marker=SCORED[kind], cmap=SCALE,
                norm=_scale(members if account.early else scored), edgecolors=edges, linewidths=widths, zorder=4,
            )  # fmt: skip
            shades = shades or dots  # of finished images, which come first
        else:
            marker, share = UNSCORED[kind]
            axes.scatter(*xy, share * area, theme.faint, marker=marker, zorder=3)
    for member, (x, y) in sheet.spots.items():
        if member.line is account.plain(lane):
            around = (0.72 * sheet.diameter(member) + 7) ** 2
            axes.scatter(x, y, around, "none", edgecolors=theme.plain, lw=1.6, zorder=5)
        if member.line is account.best(lane):
            axes.scatter(x, y, 230, theme.winner, marker="*", edgecolors=theme.ink, lw=1.0, zorder=5)
    return shades


def _scale(members: Sequence[Member]):
    """Values to colours, for members whose values can be compared."""
    from matplotlib.colors import Normalize

    values = [member.line.value for member in members]
    low, high = np.quantile(values, 0.05), max(values)  # a few very poor ones would take all the colours
    return Normalize(low, high) if high > low else Normalize(low - 1, high + 1)


def _kinds(sheet: Sheet) -> dict[str, list[Member]]:
    """The members of each kind that there is."""
    found: dict[str, list[Member]] = {kind: [] for kind in (*SCORED, *UNSCORED)}
    for member in sheet.spots:
        line = member.line
        if line is None:
            found["passed, not scored"].append(member)
        elif math.isnan(line.value):
            found["left out"].append(member)
        else:
            found["candidate" if line.complete else "preview on the path"].append(member)
    return {kind: members for kind, members in found.items() if members}


def _values(axes, sheet: Sheet, account: Account, lane: int, theme: Theme) -> None:
    """Each one's value below it, where there is room."""
    if len(sheet.spots) > LABELLED or sheet.down < 22 or sheet.across < 48 or sheet.followers:
        return
    under = {"facecolor": theme.paper, "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
    for member, (x, y) in sheet.spots.items():
        if member.line and not math.isnan(member.line.value):
            won, plain = member.line is account.best(lane), member.line is account.plain(lane)
            colour = theme.frame if won else theme.ink if plain else theme.faint
            look = {"fontsize": 8, "fontweight": "bold"} if won or plain else {"fontsize": 7.5}
            place = {"ha": "center", "va": "top", "bbox": under, "zorder": 6}
            axes.text(x, y + (10 if won or plain else 8), number(member.line.value), color=colour, **place, **look)


def _titles(axes, sheet: Sheet, account: Account, lane: int, theme: Theme) -> None:
    plain, best = account.plain(lane), account.best(lane)
    facts = [
        of_batch(account, lane),
        f"plain {number(plain.value)} → best {number(best.value)}",
        count(len(account.lanes[lane]), "candidate"),
    ]
    name = textwrap.shorten(account.search, 84, placeholder=" …")
    axes.text(15, 30, literal(name), color=theme.ink, fontsize=13.5, fontweight="bold")
    axes.text(15, 56, "   ·   ".join(filter(None, facts)), color=theme.faint, fontsize=11.5)
    if sheet.single:
        top = min(y for _, y in sheet.single.values()) - 19
        if sheet.tree:
            words = f"Drawn afresh, without descendants: {count(len(sheet.single), 'candidate')}, in order"
        else:
            words = "Every candidate was drawn afresh: none descends from another. In order:"
        axes.text(15, top, words, color=theme.faint, fontsize=9.5)


def _legend(figure, shades, sheet: Sheet, theme: Theme) -> None:
    from matplotlib.lines import Line2D

    marks = {kind: (SCORED | UNSCORED)[kind] for kind in _kinds(sheet)}
    looks = [
        *({"label": kind, "marker": mark[0], "mfc": "0.6", "mec": theme.faint} for kind, mark in marks.items()),
        {"label": "plain image", "marker": "o", "mfc": "none", "mec": theme.plain, "ms": 11, "mew": 1.6},
        {"label": "winner", "marker": "*", "mfc": theme.winner, "mec": theme.ink, "ms": 14},
    ]
    if sheet.tree:
        looks.append({"label": "the winner's line", "color": theme.frame, "ls": "-", "lw": 3.2})
    handles = [Line2D([], [], **{"ls": "none", "ms": 8} | look) for look in looks]
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.005, 0.0), ncols=4, fontsize=9.5, frameon=False,
        labelcolor=theme.ink, columnspacing=1.4,
    )  # fmt: skip
    inset = figure.add_axes((1 - 250 / sheet.width, 34 / sheet.height, 220 / sheet.width, 12 / sheet.height))
    bar = figure.colorbar(shades, cax=inset, orientation="horizontal", extend="min")
    bar.outline.set_edgecolor(theme.faint)
    inset.set_title("value", loc="left", fontsize=9.5, color=theme.ink, pad=3)
    inset.tick_params(labelsize=8.5, colors=theme.faint, labelcolor=theme.ink)
    inset.locator_params(nbins=5)
