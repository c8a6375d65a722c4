"""Any model that turns images into features: CLIP, SigLIP, DINOv2."""

from __future__ import annotations

from pathlib import Path

from .clip_model import Clip, clip_model, read_config
from .image_model import FEATURE_TYPES, ImageModel, image_model


def feature_model(path: Path | str, architecture: str = "auto") -> Clip | ImageModel:
    """The model at this path, with `embed_images` (unit vectors), `module` and `key`.

    path          a CLIP or SigLIP as for CLIPScore, or a transformers folder of FEATURE_TYPES, such as DINOv2
    architecture  for a single CLIP file, as for `Clip`
    Raises VerifierError when a file or a package is missing.
    """
    if read_config(Path(path)).get("model_type") in FEATURE_TYPES:
        return image_model(path, classify=False)
    return clip_model(path, architecture)
