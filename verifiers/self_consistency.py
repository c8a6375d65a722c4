"""Self-consistency: whether the sampler saw the finished image coming while there was still noise in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from .features import feature_model
from .verifier import VerifierError

LEVEL = 0.4


class SelfConsistency:
    """cos(features of x̂0 at a noise level, features of the finished image), -1 to 1.

        verifier = Verifier.of(SelfConsistency("models/clip_vision/dinov2-base"))

    path    a CLIP or SigLIP as for CLIPScore, or a transformers folder with pooled features such as DINOv2
    level   share of noise in the state from which x̂0 is predicted, above 0 and below 1: σ of a flow model,
            σ / (1 + σ) of others. Of the sampling's steps, the nearest one counts.
    half    run in float16 on a GPU
    The prompt is not read. On class-conditional ImageNet models it follows a classifier's logits; on text-to-image
    models it was found not to help.
    Source: Ma et al. 2025, "Inference-Time Scaling for Diffusion Models beyond Scaling Denoising Steps"
    (self-supervised verifiers; x̂0 at σ = 0.4).
    """

    name = "SelfConsistency"
    reads = "pairs"
    sign = 1

    def __init__(self, path: Path | str, level: float = LEVEL, architecture: str = "auto", half: bool = False):
        if not 0 < level < 1:
            raise VerifierError(f"{self.name}'s noise level is {level:g}: give one above 0 and below 1, such as 0.4.")
        self.model = feature_model(path, architecture)
        self.level, self.half = level, half
        self.key = f"{self.name}|{self.model.key}|{level:g}|{'half' if half else 'float'}"
        self.notes: list[str] = []

    def modules(self) -> Sequence[torch.nn.Module]:
        return [self.model.module]

    def measure(self, pairs: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        """[n] for pairs [n, 2, H, W, 3]: x̂0 at the level, and the finished image."""
        then, now = (self.model.embed_images(images, device, self.half) for images in pairs.unbind(1))
        return (then * now).sum(1)
