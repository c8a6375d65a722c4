"""Human Preference Score v2 and v2.1: which image people prefer for a prompt, by a fine-tuned CLIP-H."""

from __future__ import annotations

from pathlib import Path

import torch

from .clip_model import OPENAI_MEAN, OPENAI_STD, to_bytes
from .clip_score import CLIPScore

ARCHITECTURE = "ViT-H-14"


class HPSv2(CLIPScore):
    """cos(image, text), about 0.2 to 0.35; papers print it times 100.

        verifier = Verifier.of(HPSv2("models/clip_vision/HPS_v2.1_compressed.pt"))

    path  `HPS_v2_compressed.pt` or `HPS_v2.1_compressed.pt` of `xswu/HPSv2`, or the same as .safetensors
    half  run the image half in float16 on a GPU
    The whole image is seen: its longer side is made to fit and the rest is black (see `letterbox`).
    Source: Wu et al. 2023, "Human Preference Score v2: A Solid Benchmark for Evaluating Human Preferences of
    Text-to-Image Synthesis".
    """

    name = "HPSv2"

    def __init__(self, path: Path | str, half: bool = False, architecture: str = ARCHITECTURE):
        super().__init__(path, architecture, half=half)

    def embed(self, images: torch.Tensor, device: torch.device) -> torch.Tensor:
        size = self.clip.parts.module.visual.image_size
        pixels = letterbox(images, size if isinstance(size, int) else size[0])
        return self.clip.embed_pixels(pixels, device, self.half)


def letterbox(images: torch.Tensor, size: int) -> torch.Tensor:
    """[n, 3, size, size] normalised, for images [n, H, W, 3] in 0-1, as HPSv2's own pipeline does it.

    The longer side becomes `size` (antialiased bicubic on floats, not on 8-bit images), black fills the rest
    evenly on both sides, and then CLIP's mean and standard deviation are applied.
    """
    from torchvision.transforms import functional

    pixels = torch.from_numpy(to_bytes(images)).movedim(-1, 1) / 255
    height, width = pixels.shape[2:]
    new = [round(side * size / max(height, width)) for side in (height, width)]
    if new != [height, width]:
        bicubic = functional.InterpolationMode.BICUBIC
        pixels = functional.resize(pixels, new, bicubic, antialias=True)
    down, right = size - new[0], size - new[1]
    pixels = functional.pad(pixels, [right // 2, down // 2, right - right // 2, down - down // 2])
    return functional.normalize(pixels, OPENAI_MEAN, OPENAI_STD)
