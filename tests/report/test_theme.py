"""Colours: enough contrast to read, and apart in the eyes of the colour-blind."""

from itertools import combinations

import numpy as np
import pytest

from noise_search.report.theme import SCALE, THEMES

# Linear RGB as a dichromat sees it (Viénot, Brettel & Mollon 1999 for red and green; Machado et al. 2009 for blue).
SIGHT = {
    "all colours": np.eye(3),
    "no red": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
    "no green": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
    "no blue": np.array([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]),
}


def linear(code):
    c = np.array([int(code[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """WCAG 2: 1 to 21."""
    high, low = sorted((linear(code) @ [0.2126, 0.7152, 0.0722] for code in (a, b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lab(rgb):
    xyz = np.clip(rgb, 0, 1) @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("name", THEMES)
def test_words_and_lines_stand_out_from_the_paper(name):
    theme = THEMES[name]
    for word in ("ink", "faint"):
        assert min(contrast(getattr(theme, word), ground) for ground in (theme.paper, theme.shade)) >= 4.5, word
    for mark in ("searched", "watched", "frame", "plain", "budget"):
        assert min(contrast(getattr(theme, mark), ground) for ground in (theme.paper, theme.shade)) >= 3, mark


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("name", THEMES)
def test_what_means_different_things_looks_different(name, sight):
    theme = THEMES[name]
    for a, b in combinations(("searched", "watched", "budget", "plain"), 2):
        apart = np.linalg.norm(
            lab(SIGHT[sight] @ linear(getattr(theme, a))) - lab(SIGHT[sight] @ linear(getattr(theme, b)))
        )
        assert apart >= 15, f"{a} and {b}"


@pytest.mark.parametrize("sight", SIGHT)
def test_a_higher_score_is_lighter(sight):
    import matplotlib

    scale = matplotlib.colormaps[SCALE](np.linspace(0, 1, 9))[:, :3]
    seen = [lab(SIGHT[sight] @ linear("#" + "".join(f"{round(255 * x):02x}" for x in colour)))[0] for colour in scale]
    assert all(b - a > 3 for a, b in zip(seen, seen[1:]))
