"""Best so far against evaluations: one large panel for the value, a small one for each measure behind it."""

from __future__ import annotations

import math
import textwrap

from PIL import Image

from ..search.account import Account
from .figure import blank, literal, picture
from .theme import LIGHT, Theme
from .words import count, number, of_batch


def curve(account: Account, lane: int = 0, width: int = 1024, theme: Theme = LIGHT) -> Image.Image:
    """The course of the search for one image of the latent batch.

    Every candidate is a dot (hollow: a preview on the path; a cross on the axis: left out). The line is the best
    so far, valued at the end of the search. Below, each measure of that best one: dashed where only watched.
    """
    below = _measures_below(account, lane)
    columns = 1 if len(below) <= 3 else 2
    small_rows = math.ceil(len(below) / columns)
    figure = blank(width, 460 + 150 * small_rows, theme, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)
    grid = figure.add_gridspec(1 + small_rows, columns, height_ratios=[4.0] + [1.35] * small_rows)
    main = figure.add_subplot(grid[0, :])
    _value_panel(main, account, lane, theme, alone=not below)
    for n, column in enumerate(below):
        panel = figure.add_subplot(grid[1 + n // columns, n % columns], sharex=main)
        last = n >= len(below) - columns
        _measure_panel(panel, account, lane, column, theme, labelled=last)
    _titles(figure, account, lane, theme)
    entries = main.get_legend_handles_labels()
    figure.legend(*entries, loc="outside lower center", ncols=7, fontsize=9.5, frameon=False, labelcolor=theme.ink)
    figure.canvas.draw()
    _name_stages(main, account, lane, theme)
    return picture(figure)


def _measures_below(account: Account, lane: int) -> list[int]:
    """Columns that the value panel does not show already; what unfinished images alone are scored by, last."""
    lines, m = account.lanes[lane], len(account.measures)
    finished = [line for line in lines if line.complete or not account.early]
    early = range(m, m + len(account.early)) if len(finished) < len(lines) else []
    return [i for i in range(m) if any(line.row[i] != line.value for line in finished)] + list(early)


def _spent(account: Account, lane: int) -> list[int]:
    """Evaluations of this image after each candidate."""
    total, spent = 0, []
    for line in account.lanes[lane]:
        total += line.nfe
        spent.append(total)
    return spent


def _value_panel(axes, account: Account, lane: int, theme: Theme, alone: bool) -> None:
    shown = [(x, line) for x, line in zip(_spent(account, lane), account.lanes[lane]) if not math.isnan(line.value)]
    for complete, label, face in ((True, "candidate", theme.searched), (False, "preview on the path", "none")):
        if not complete and account.early:  # on a scale of their own: they have a panel below
            continue
        dots = [(x, line.value) for x, line in shown if line.complete == complete]
        if dots:
            axes.scatter(
                *zip(*dots), s=20, facecolors=face, edgecolors=theme.searched, alpha=0.5, label=label, zorder=2
            )
    lost = [x for x, line in zip(_spent(account, lane), account.lanes[lane]) if line.excluded]
    if lost:
        bottom = axes.get_xaxis_transform()
        axes.scatter(
            lost, [0.02] * len(lost), marker="x", s=24, c=theme.faint, transform=bottom, label="left out", zorder=2
        )
    points = account.curve(lane)
    course = zip(*[(x, line.value) for x, line in points])
    axes.step(*course, where="post", c=theme.searched, lw=2.4, label="best so far")
    found = next((x, line) for x, line in points if line is points[-1][1])
    star = {"marker": "*", "s": 260, "c": theme.winner, "edgecolors": theme.ink}
    axes.scatter(found[0], found[1].value, **star, label="winner", zorder=4)
    plain = account.plain(lane).value
    if not math.isnan(plain):
        axes.axhline(plain, c=theme.plain, lw=1.3, ls=":", label="plain image", zorder=1)
    _shade_stages(axes, account, lane, theme)
    _mark_budget(axes, account, lane, theme)
    only = [name for name, searched in zip(account.measures, account.searched) if searched]
    own = alone or (len(only) == 1 and account.measures.index(only[0]) not in _measures_below(account, lane))
    axes.set_ylabel(literal(only[0]) if own else "value", fontsize=11)
    _dress(axes, alone, account, theme)


def _measure_panel(axes, account: Account, lane: int, column: int, theme: Theme, labelled: bool) -> None:
    early = column >= len(account.measures)
    searched = early or account.searched[column]
    colour = theme.searched if searched else theme.watched
    lines = zip(_spent(account, lane), account.lanes[lane])
    axes.scatter(
        *zip(*[(x, line.row[column]) for x, line in lines if line.complete != early]),
        s=14, c=colour, alpha=0.45, linewidths=0,
    )  # fmt: skip
    if not early:
        steps = [(x, line.row[column]) for x, line in account.curve(lane)]
        axes.step(*zip(*steps), where="post", c=colour, lw=1.8, ls="-" if searched else "--")
        axes.axhline(account.plain(lane).row[column], c=theme.plain, lw=1.0, ls=":")
    name = [*account.measures, *account.early][column]
    name = textwrap.shorten(name, 60, placeholder=" …") + ("" if searched else " (watched)")
    axes.set_title(literal(name), loc="left", fontsize=10, color=colour, fontweight="bold")
    axes.locator_params(axis="y", nbins=4)
    _dress(axes, labelled, account, theme)


def _dress(axes, labelled: bool, account: Account, theme: Theme) -> None:
    axes.set_facecolor(theme.paper)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(theme.faint)
    axes.grid(axis="y", c=theme.grid, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9.5, labelbottom=labelled, colors=theme.faint, labelcolor=theme.ink)
    axes.yaxis.label.set_color(theme.ink)
    axes.xaxis.label.set_color(theme.ink)
    axes.set_xlim(left=0)
    if labelled:
        each = " for this image" if len(account.lanes) > 1 else ""
        axes.set_xlabel("images" if account.in_images else f"evaluations of the denoiser{each}", fontsize=11)


def _edges(account: Account, lane: int) -> list[float]:
    """Where each stage begins, and where the last ends, in evaluations of this image."""
    spent = [0, *_spent(account, lane)]
    return [spent[stage["begun"][lane]] for stage in account.stages] + [spent[-1]]


def _shade_stages(axes, account: Account, lane: int, theme: Theme) -> None:
    edges = _edges(account, lane)
    for n, (left, right) in enumerate(zip(edges, edges[1:])):
        if n % 2:
            axes.axvspan(left, right, color=theme.shade, lw=0, zorder=0)


def _name_stages(axes, account: Account, lane: int, theme: Theme) -> None:
    """Above each stage its name, or its number where the name is too wide. Drawn once the layout stands."""
    if len(account.stages) < 2:
        return
    edges = _edges(account, lane)
    for n, (stage, left, right) in enumerate(zip(account.stages, edges, edges[1:]), 1):
        room = axes.transData.transform((right, 0))[0] - axes.transData.transform((left, 0))[0]
        text = axes.text(
            (left + right) / 2, 1.01, f"{n} {stage['name']}", transform=axes.get_xaxis_transform(),
            ha="center", va="bottom", fontsize=9.5, color=theme.faint, in_layout=False,
        )  # fmt: skip
        if text.get_window_extent(axes.figure.canvas.get_renderer()).width > room:
            text.set_text(str(n) if room > 8 else "")


def _mark_budget(axes, account: Account, lane: int, theme: Theme) -> None:
    """The evaluations announced; at the edge, in words, where the search ended long before them."""
    if not math.isfinite(account.estimate):
        return
    budget, spent = account.estimate / len(account.lanes), _spent(account, lane)[-1]
    if budget <= 1.5 * spent:
        axes.axvline(budget, c=theme.budget, lw=1.8, ls="-.", label="budget", zorder=1)
    else:
        words = f"budget {number(budget)} →"
        axes.annotate(words, (1, 0.02), xycoords="axes fraction", ha="right", fontsize=9.5, color=theme.faint)


def _titles(figure, account: Account, lane: int, theme: Theme) -> None:
    finished = account.ranked(lane)
    gain = f"plain {number(account.plain(lane).value)} → best {number(finished[0].value)}"
    facts = [of_batch(account, lane), gain, count(len(account.lanes[lane]), "candidate"), f"{account.seconds:.1f} s"]
    name = textwrap.shorten(account.search, 84, placeholder=" …")
    figure.suptitle(literal(name), x=0.015, ha="left", fontsize=13.5, fontweight="bold", color=theme.ink)
    below = "   ·   ".join(filter(None, facts)) + ("\n" if len(account.stages) > 1 else "")
    figure.axes[0].set_title(literal(below), loc="left", fontsize=11.5, color=theme.faint)
