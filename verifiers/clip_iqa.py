"""CLIP-IQA: whether a CLIP finds an image more like a good photo than like a bad one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from .clip_model import clip_model

PAIR = ("Good photo.", "Bad photo.")


class CLIPIQA:
    """softmax(100 · cos) over PAIR, the first: 0 (bad) to 1 (good). Does not read the prompt.

        verifier = Verifier.of(CLIPIQA("models/clip_vision/my-clip"))

    path, architecture, half  as for CLIPScore
    Source: Wang, Chan & Loy 2023, "Exploring CLIP for Assessing the Look and Feel of Images".
    """

    name = "CLIP-IQA"
    reads = "images"
    sign = 1

    def __init__(self, path: Path | str, architecture: str = "auto", half: bool = False):
        self.clip = clip_model(path, architecture)
        self.half = half
        self.key = f"{self.name}|{self.clip.key}|{'half' if half else 'float'}"
        self.notes = list(self.clip.notes)

    def modules(self) -> Sequence[torch.nn.Module]:
        return [self.clip.parts.module]

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        image = self.clip.embed_images(images, device, self.half)
        return (100 * image @ self.clip.embed_texts(PAIR, device).T).softmax(1)[:, 0]
