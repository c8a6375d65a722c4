"""The figure of `family.md`: every problem a panel, best score so far against samples' worth of evaluations."""

from __future__ import annotations

import math
from pathlib import Path

from .family import PATHS, RANDOM, checkpoints

# Okabe and Ito's palette, which colour-blind readers tell apart, but for its pale yellow; markers say it once more.
# The others are thin grey.
STYLES = {
    RANDOM: ("#000000", "x"),
    "zero-order": ("#E69F00", "s"),
    "evolutionary": ("#009E73", "^"),
    "halving": ("#56B4E9", "v"),
    PATHS: ("#CC79A7", "D"),
    "tree": ("#0072B2", "o"),
    "BFS": ("#D55E00", "P"),
    "auto": ("#5B2A86", "*"),
}
COLUMNS = 3


def draw(problems: dict, path: Path) -> None:
    """Write the picture of the summaries."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = math.ceil(len(problems) / COLUMNS)
    figure = Figure(figsize=(12, 1 + 3 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for n, (name, problem) in enumerate(problems.items(), 1):
        axes = figure.add_subplot(rows, COLUMNS, n)
        _panel(axes, problem)
        axes.set_title(name, loc="left", fontsize=11.5)
    handles = {line.get_label(): line for line in figure.axes[0].lines if not line.get_label().startswith("_")}
    look = {"ncols": 9, "fontsize": 10.5, "frameon": False, "columnspacing": 1.2}
    figure.legend(handles.values(), handles, loc="outside upper center", **look)
    figure.supxlabel("evaluations of the denoiser, in samples' worth", fontsize=10.5)
    figure.supylabel("score of the best image so far", fontsize=10.5)
    figure.savefig(path)


def _panel(axes, problem: dict) -> None:
    samples = checkpoints(problem["samples"])
    for way in sorted(problem["ways"], key=lambda way: way in STYLES):  # the grey ones below
        mean, low, high = zip(*problem["ways"][way]["score"])
        if way in STYLES:
            colour, marker = STYLES[way]
            line = "--" if way == RANDOM else "-"
            axes.plot(samples, mean, line, c=colour, marker=marker, lw=1.8, ms=5, label=way)
            axes.fill_between(samples, low, high, color=colour, alpha=0.08, lw=0)
        else:
            axes.plot(samples, mean, c="0.75", lw=0.9, label="the others" if way == "VASR" else "_")
    axes.set_xscale("log", base=2)
    axes.set_xticks(samples, samples)
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", c="0.9")
