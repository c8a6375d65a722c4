"""How much may be spent: one object for all algorithms."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .recipe import SearchError


@dataclass(frozen=True)
class Budget:
    """Limits of one block of a search; 0 (or None) means no limit of that kind.

    images       full samplings of the latent; candidate 0, the plain image, is one of them
    evaluations  guided evaluations of latent rows by the denoiser, counted where the model is called
    seconds      wall time; may be overrun by the candidates in flight
    target       stop when every row's best value reaches this score; asked after each generation
    patience     stop when this many finished candidates in a row brought nothing better; searches along the
                 path may end a generation later
    worth        stop when another image is expected to exceed the best by less than this, in units of the score
                 (see `worth.py`); asked after each generation, of every row
    """

    images: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    target: float | None = None
    patience: int = 0
    worth: float = 0.0

    def __post_init__(self):
        for name in ("images", "evaluations", "seconds", "patience", "worth"):
            if getattr(self, name) < 0:
                raise SearchError(f"Search Budget: {name} is {getattr(self, name)}; it cannot be negative.")
        if not (self.images or self.evaluations or self.seconds):
            raise SearchError(
                "Search Budget: images, evaluations and seconds are all 0, so that nothing may be spent; "
                "set one of them (1 image is the plain image)."
            )

    def limit(self, whole: int | None) -> float:
        """Evaluations that it allows, where one full sampling of the latent costs `whole` (None: not known yet)."""
        limits = [self.images * whole] if self.images and whole else []
        return min(limits + [self.evaluations] * bool(self.evaluations), default=math.inf)


DEFAULT = Budget(images=16)
"""What an algorithm may spend when no budget is connected."""
