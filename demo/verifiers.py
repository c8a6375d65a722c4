"""Shapes World's two verifiers: a trained one that can be fooled, and an exact one that cannot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..verifiers import CLIPScore, VerifierError

WEIGHTS = Path(__file__).parent / "weights" / "verifier"
SIZE = 32


class ShapesVerifier(CLIPScore):
    """CLIPScore by the small CLIP trained on Shapes World, loaded as any open_clip folder is."""

    name = "Shapes Verifier"

    def __init__(self):
        super().__init__(WEIGHTS)


class ShapesOracle:
    """The share of the prompt's facts that hold in the image (0 to 1), or whether all do (0 or 1).

    strict  whether a single wrong fact makes it 0
    Images are square and their side is a multiple of 32. Raises VerifierError for other images and for a
    prompt that is not about Shapes World.
    """

    reads = "images"
    sign = 1
    needs_prompt = True

    def __init__(self, strict: bool = False):
        self.strict = strict
        self.name = "Shapes Oracle, all facts" if strict else "Shapes Oracle"
        self.key = f"{self.name}|1"
        self.notes: list[str] = []

    def modules(self) -> Sequence[torch.nn.Module]:
        return []

    def check_prompt(self, prompt: str):
        """The scene that the prompt asks for."""
        from .scenes import parse

        try:
            return parse(prompt)
        except ValueError as cause:
            raise VerifierError(f"{self.name} cannot read the prompt. {cause}") from cause

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        from .oracle import score_images

        height, width = images.shape[1:3]
        if height != width or height % SIZE:
            raise VerifierError(
                f"{self.name} reads square images whose side is a multiple of {SIZE}: "
                f"give it images of Shapes World, not {width} x {height} ones."
            )
        scenes = {prompt: self.check_prompt(prompt) for prompt in set(prompts)}
        pairs = zip(images, prompts, strict=True)
        shares = torch.cat([score_images(image[None], scenes[prompt]) for image, prompt in pairs])
        return (shares == 1).float() if self.strict else shares
