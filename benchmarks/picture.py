"""The figure of `helps.py`: what evaluations buy, spent in different ways."""

from __future__ import annotations

from pathlib import Path

from .helps import MORE_STEPS, ORACLE, RANDOM

# Okabe and Ito's palette, which colour-blind readers tell apart; markers and dashes say it once more.
STYLES = {
    RANDOM: ("#0072B2", "o", "-"),
    "zero-order": ("#E69F00", "s", "-"),
    "then zero-order": ("#009E73", "^", "-"),
    "paths": ("#CC79A7", "D", "-"),
    MORE_STEPS: ("#000000", "x", "--"),
    ORACLE: ("0.45", "", ":"),
}
PANELS = {
    "all_facts": "images with every fact of the prompt right",
    "score": "verifier score of the best image (searched)",
}


def draw(helps: dict, path: Path) -> None:
    """Write the picture of a `summary`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (number, title) in zip(figure.subplots(1, 2), PANELS.items()):
        _panel(axes, helps, number)
        axes.set_title(title, loc="left", fontsize=11.5)
    left = figure.axes[0]
    left.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    left.set_ylim(bottom=0)
    labels = left.get_legend_handles_labels()
    figure.legend(*labels, loc="outside lower center", ncols=3, fontsize=10.5, frameon=False)
    figure.savefig(path)


def _panel(axes, helps: dict, number: str) -> None:
    most = helps["ways"][RANDOM]["samples"][-1]
    marked = [n for n in (1, 4, 16, 64, 256) if n <= most]
    for name, way in helps["ways"].items():
        if number == "score" and name == ORACLE:
            continue  # it does not search the score
        colour, marker, line = STYLES[next(key for key in reversed(STYLES) if key in name)]
        mean, low, high = zip(*way[number])
        places = [k for k, n in enumerate(way["samples"]) if n in marked]
        axes.plot(way["samples"], mean, line, c=colour, marker=marker, markevery=places, lw=1.8, ms=6, label=name)
        axes.fill_between(way["samples"], low, high, color=colour, alpha=0.10, lw=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(marked, [f"{n * helps['steps']}\n= {n}" for n in marked])
    axes.minorticks_off()
    axes.set_xlabel("evaluations of the denoiser for each prompt = samples' worth", fontsize=10.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", c="0.9")
