"""PickScore: which image people would pick for a prompt, by a CLIP trained on their picks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from .clip_score import CLIPScore


class PickScore(CLIPScore):
    """exp(logit_scale) · cos(image, text), about 18 to 24.

        verifier = Verifier.of(PickScore("models/clip_vision/PickScore_v1"))

    path  the folder of `yuvalkirstain/PickScore_v1` with the tokenizer and preprocessor files of
          `laion/CLIP-ViT-H-14-laion2B-s32B-b79K`
    half  run the image half in float16 on a GPU
    Source: Kirstain et al. 2023, "Pick-a-Pic: An Open Dataset of User Preferences for Text-to-Image Generation".
    """

    name = "PickScore"

    def __init__(self, path: Path | str, half: bool = False):
        super().__init__(path, half=half)

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        return self.clip.scale * super().measure(images, prompts, device)
