"""Aesthetic score: how much people like the look of an image, whatever it shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from .clip_model import clip_model
from .linear_chain import linear_chain
from .verifier import VerifierError
from .weights import fingerprint, tensors

PREFIXES = ("layers.", "scoring_head.")
_open = WeakValueDictionary()


class Aesthetic:
    """A chain of linear layers on the unit image embedding of a CLIP: about 1 to 10, most images 4 to 7.

        verifier = Verifier.of(Aesthetic("models/clip_vision/clip-vit-large-patch14",
                                         "models/noise_search/sac+logos+ava1-l14-linearMSE.pth"))

    path   the model whose embeddings the head was trained on: OpenAI's CLIP ViT-L/14 for LAION's v2 head,
           SigLIP so400m/14 at 384 for the v2.5 head
    head   the head's file: linear layers whose names end in .weight and .bias, in the order of their numbers
    architecture, half  as for CLIPScore
    The heads are different scales: their numbers cannot be compared. The prompt is not read.
    Sources: Schuhmann 2022, "Improved Aesthetic Predictor" (LAION v2); discus0434 2024, "Aesthetic Predictor V2.5".
    """

    name = "Aesthetic"
    reads = "images"
    sign = 1

    def __init__(self, path: Path | str, head: Path | str, architecture: str = "auto", half: bool = False):
        self.clip = clip_model(path, architecture)
        self.head = aesthetic_head(Path(head))
        self.half = half
        precision = "half" if half else "float"
        self.key = f"{self.name}|{self.clip.key}|{fingerprint(Path(head))}|{precision}"
        self.notes = list(self.clip.notes)

    def modules(self) -> Sequence[torch.nn.Module]:
        return [self.clip.parts.module, self.head]

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        image = self.clip.embed_images(images, device, self.half)
        wanted = self.head[0].in_features
        if image.shape[1] != wanted:
            raise VerifierError(
                f"{self.name}'s head reads {wanted} numbers and {self.clip.path.name} gives {image.shape[1]}: choose "
                "CLIP ViT-L/14 for the LAION v2 head (768), SigLIP so400m for the v2.5 head (1152)."
            )
        return self.head(image.to(device)).squeeze(1)


def aesthetic_head(file: Path) -> torch.nn.Sequential:
    """The linear layers in a file, the same object while anyone holds it and the file does not change.

    Raises VerifierError when the file holds anything but a chain of linear layers down to one number.
    """
    key = (file.resolve(), fingerprint(file))
    if key not in _open:
        state = tensors(file)
        prefix = next((name for name in PREFIXES if f"{name}0.weight" in state), "")
        try:
            # The host runs nodes in inference mode; weights made there could not be moved outside it.
            with torch.inference_mode(False):
                head = linear_chain({key.removeprefix(prefix): t for key, t in state.items()})
        except ValueError as cause:
            raise VerifierError(f"{file.name} is no aesthetic head: {cause}.") from cause
        _open[key] = head
    return _open[key]
