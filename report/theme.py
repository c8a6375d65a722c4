"""The colours of reports, on light and on dark paper, that colour-blind readers tell apart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours by what they say, as #RRGGBB.

    paper     the ground; `shade` sets a part of it off, `grid` rules it
    ink       headings and axes; `faint` all other words
    searched  what the search reads; `watched` what it only reports
    winner    the fill of the winner's star, always outlined in `ink`; `frame` its frame, heading and line
    plain     the image without a search
    budget    the evaluations announced
    """

    paper: str
    shade: str
    grid: str
    ink: str
    faint: str
    searched: str
    watched: str
    winner: str
    frame: str
    plain: str
    budget: str


# The accents are Okabe and Ito's ("Color Universal Design", 2008), some of them lighter or darker for contrast.
LIGHT = Theme(
    paper="#FFFFFF",
    shade="#EDEDED",
    grid="#E5E5E5",
    ink="#111111",
    faint="#555555",
    searched="#0072B2",
    watched="#D55E00",
    winner="#E69F00",
    frame="#D55E00",
    plain="#000000",
    budget="#B8608F",
)
DARK = Theme(
    paper="#1B1B1D",
    shade="#2A2A2D",
    grid="#3A3A3E",
    ink="#F2F2F2",
    faint="#B9B9BE",
    searched="#56B4E9",
    watched="#E69F00",
    winner="#F0E442",
    frame="#FF8552",
    plain="#FFFFFF",
    budget="#DE9CC0",
)
THEMES = {"light": LIGHT, "dark": DARK}
SCALE = "viridis"
"""matplotlib's colours for scores, low to high: ever lighter, so that the colour-blind read them too."""
