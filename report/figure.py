"""matplotlib as these reports use it: figures of their own, none of its global state."""

from __future__ import annotations

from PIL import Image

from .theme import Theme

DPI = 100


def blank(width: float, height: float, theme: Theme, **settings):
    """An empty figure of this many pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=theme.paper, **settings)
    FigureCanvasAgg(figure)
    return figure


def picture(figure) -> Image.Image:
    """What is drawn on it."""
    figure.canvas.draw()
    return Image.frombytes("RGBA", figure.canvas.get_width_height(), bytes(figure.canvas.buffer_rgba())).convert("RGB")


def literal(text: str) -> str:
    """A dollar sign would start a formula."""
    return text.replace("$", r"\$")
