"""Any verifier on a part of the image: a box, or the box around a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from .verifier import Measure, Verifier, VerifierError


@dataclass(frozen=True)
class Box:
    """A part of an image in shares of its width and height, so that it fits any size: 0, 0 is top left."""

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self):
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise VerifierError(
                f"Region Verifier's box from ({self.left:g}, {self.top:g}) to ({self.right:g}, {self.bottom:g}) is "
                "empty or outside the image: give shares from 0 to 1, left before right and top before bottom."
            )

    @staticmethod
    def around(mask: torch.Tensor, margin: float = 0.0) -> Box:
        """The smallest box with all of a mask [..., H, W] that is above one half, and a margin about it.

        margin  a share of the box's own width and height, added on each side as far as the image goes
        """
        inside = (mask > 0.5).flatten(0, -3).any(0) if mask.ndim > 2 else mask > 0.5
        height, width = inside.shape
        rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
        if not len(rows):
            raise VerifierError("Region Verifier's mask is empty: paint the part that should be scored.")
        left, right = columns[0].item() / width, (columns[-1].item() + 1) / width
        top, bottom = rows[0].item() / height, (rows[-1].item() + 1) / height
        x, y = margin * (right - left), margin * (bottom - top)
        return Box(max(0.0, left - x), max(0.0, top - y), min(1.0, right + x), min(1.0, bottom + y))

    def crop(self, images: torch.Tensor) -> torch.Tensor:
        """The part of images [..., H, W, C], at least one pixel."""
        height, width = images.shape[-3:-1]
        left, top = min(round(self.left * width), width - 1), min(round(self.top * height), height - 1)
        right, bottom = max(round(self.right * width), left + 1), max(round(self.bottom * height), top + 1)
        return images[..., top:bottom, left:right, :]


class RegionMeasure:
    """A measure of images that sees the box only; `prompt` stands in for the search's own where it is given."""

    def __init__(self, measure: Measure, box: Box, prompt: str = ""):
        if measure.reads == "latents":
            raise VerifierError(f"Region Verifier cannot cut {measure.name}: it does not look at images.")
        if getattr(measure, "asks", False):
            raise VerifierError(f"Region Verifier cannot cut {measure.name}: a person looks at whole images.")
        self.inner, self.box, self.prompt = measure, box, prompt.strip()
        self.name, self.sign, self.reads = f"{measure.name} in region", measure.sign, measure.reads
        self.level, self.tail = getattr(measure, "level", None), getattr(measure, "tail", 0)
        self.key = f"{measure.key} in {box} for {self.prompt!r}"
        self.needs_prompt = getattr(measure, "needs_prompt", False) and not self.prompt

    @property
    def notes(self) -> list[str]:
        return self.inner.notes

    def modules(self) -> Sequence[torch.nn.Module]:
        return self.inner.modules()

    def check_prompt(self, prompt: str) -> None:
        if hasattr(self.inner, "check_prompt"):
            self.inner.check_prompt(self.prompt or prompt)

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        texts = [self.prompt] * len(prompts) if self.prompt else prompts
        return self.inner.measure(self.box.crop(images), texts, device)


def region(verifier: Verifier, box: Box, prompt: str = "") -> Verifier:
    """The verifier, on the box alone. A combined verifier stays combined: its rule reads the same columns."""
    measures = tuple(RegionMeasure(m, box, prompt) for m in verifier.measures)
    return replace(verifier, measures=measures, key=f"{verifier.key} in {box} for {prompt.strip()!r}")
