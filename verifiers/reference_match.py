"""Likeness to a reference image: in the eyes of a model, or by its colours alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from .clip_model import to_bytes
from .features import feature_model

BINS = 8


class ReferenceMatch:
    """cos(features of the image, features of the reference), -1 to 1; of several references, the highest.

        verifier = Verifier.of(ReferenceMatch("models/clip_vision/dinov2-base", reference))

    path       a CLIP or SigLIP as for CLIPScore (what is shown), or a transformers folder with pooled features
               such as DINOv2 (shape, parts and texture)
    reference  images [k, H, W, 3] in 0-1
    half       run in float16 on a GPU
    Source: Radford et al. 2021 and Caron et al. 2021 (CLIP-I and DINO scores as in Ruiz et al. 2023, DreamBooth).
    """

    name = "ReferenceMatch"
    reads = "images"
    sign = 1

    def __init__(self, path: Path | str, reference: torch.Tensor, architecture: str = "auto", half: bool = False):
        self.features = feature_model(path, architecture)
        self.reference, self.half = reference[..., :3].cpu(), half
        self._wanted: torch.Tensor | None = None
        precision = "half" if half else "float"
        self.key = f"{self.name}|{self.features.key}|{_digest(self.reference)}|{precision}"
        self.notes: list[str] = []

    def modules(self) -> Sequence[torch.nn.Module]:
        return [self.features.module]

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        if self._wanted is None:
            self._wanted = self.features.embed_images(self.reference, device, self.half)
        return (self.features.embed_images(images, device, self.half) @ self._wanted.T).amax(1)


class ColourMatch:
    """Share of colour in common with the reference: 0 (no colour of it) to 1 (the same histogram).

        verifier = Verifier.of(ColourMatch(reference))

    Histogram intersection over 8 x 8 x 8 bins of red, green and blue; of several references, the highest. Where
    the colours are does not matter, nor do the sizes of the images.
    Source: Swain & Ballard 1991, "Color indexing".
    """

    name = "ColourMatch"
    reads = "images"
    sign = 1

    def __init__(self, reference: torch.Tensor):
        self.wanted = histogram(reference)
        self.key = f"{self.name}|{_digest(reference)}"
        self.notes: list[str] = []

    def modules(self) -> Sequence[torch.nn.Module]:
        return []

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        return torch.minimum(histogram(images)[:, None], self.wanted[None]).sum(2).amax(1)


def histogram(images: torch.Tensor) -> torch.Tensor:
    """[n, BINS³]: the share of pixels in each bin, as 8-bit images [n, H, W, 3] in 0-1 have it."""
    bins = torch.from_numpy(to_bytes(images)).long() * BINS // 256
    index = ((bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]).flatten(1)
    counts = torch.zeros(len(index), BINS**3, dtype=torch.double)
    counts.scatter_add_(1, index, torch.ones_like(index, dtype=torch.double))
    return counts / index.shape[1]


def _digest(images: torch.Tensor) -> str:
    bytes_ = to_bytes(images)
    return hashlib.sha256(repr(bytes_.shape).encode() + bytes_.tobytes()).hexdigest()[:16]
