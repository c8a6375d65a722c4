"""Plain statistics of the pixels: no weights, no download."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .verifier import VerifierError


def luma(images: torch.Tensor) -> torch.Tensor:
    """Brightness [n, H, W] in 0-1 of images [n, H, W, 3]: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)."""
    return images[..., :3] @ images.new_tensor([0.299, 0.587, 0.114])


def sharpness(images: torch.Tensor) -> torch.Tensor:
    """Variance of the Laplacian of the luma on a 0-255 scale, edges mirrored: 0 for a flat image, [n].

    Source: Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy" (LAPV).
    """
    y = torch.nn.functional.pad(255 * luma(images)[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
    around = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:]
    return (around - 4 * y[:, 1:-1, 1:-1]).flatten(1).var(1, correction=0)


def exposure(images: torch.Tensor) -> torch.Tensor:
    """Mean luma: 0 black, 1 white, [n]."""
    return luma(images).flatten(1).mean(1)


def contrast(images: torch.Tensor) -> torch.Tensor:
    """Standard deviation of the luma (RMS contrast): 0 flat, 0.5 half black and half white, [n]."""
    return luma(images).flatten(1).std(1, correction=0)


def colourfulness(images: torch.Tensor) -> torch.Tensor:
    """sigma + 0.3 mu of the opponent colours on a 0-255 scale: 0 grey, about 109 extremely colourful, [n].

    Source: Hasler & Süsstrunk 2003, "Measuring colourfulness in natural images".
    """
    r, g, b = (255 * images[..., :3]).flatten(1, 2).unbind(-1)
    rg, yb = r - g, (r + g) / 2 - b
    sigma = (rg.var(1, correction=0) + yb.var(1, correction=0)).sqrt()
    mu = (rg.mean(1) ** 2 + yb.mean(1) ** 2).sqrt()
    return sigma + 0.3 * mu


STATISTICS = {f.__name__: f for f in (sharpness, exposure, contrast, colourfulness)}
HIGHER, LOWER, NEAREST = BETTER = ("higher", "lower", "nearest to the target")


class ImageStatistic:
    """One of STATISTICS, as a measure.

        verifier = Verifier.of(ImageStatistic("exposure", NEAREST, target=0.5))

    better  HIGHER, LOWER, or NEAREST; NEAREST measures the distance to `target`, lower being better
    target  in the statistic's own units
    """

    reads = "images"

    def __init__(self, statistic: str, better: str = HIGHER, target: float = 0.0):
        if statistic not in STATISTICS:
            raise VerifierError(f"Statistic {statistic!r} is unknown: choose one of {', '.join(STATISTICS)}.")
        if better not in BETTER:
            raise VerifierError(f"Better {better!r} is unknown: choose one of {', '.join(BETTER)}.")
        self.statistic = STATISTICS[statistic]
        self.target = target if better == NEAREST else None
        self.name = statistic if self.target is None else f"{statistic} off {target:g}"
        self.sign = 1 if better == HIGHER else -1
        self.key = f"{self.name}|{better}"
        self.notes: list[str] = []

    def modules(self) -> Sequence[torch.nn.Module]:
        return []

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        # Double on the CPU: the sums run over whole images, and a host's half-precision GPU has no say here.
        numbers = self.statistic(images.cpu().double())
        return numbers if self.target is None else (numbers - self.target).abs()
