"""An image model of transformers on disk (DINOv2, ViT, ConvNeXt ...): images to class logits, or to features."""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from .clip_model import pil_processor, read_config, to_bytes, to_pil
from .verifier import VerifierError
from .weights import fingerprint

FEATURE_TYPES = ("dinov2", "dinov2_with_registers", "dinov3_vit")
"""Whose pooled output is the class token itself. Others pool through layers that a classifier does not save."""
_open = WeakValueDictionary()


class ImageModel:
    """One model, loaded when first used.

    path      a folder in transformers' layout: config.json, .safetensors weights, preprocessor_config.json
    classify  True for its logits (AutoModelForImageClassification), False for its features (FEATURE_TYPES)
    `labels` are the names of the classes, in order, `size` the number of features, `kind` a name for what they
    are. Raises VerifierError when a file or a package is missing.
    """

    def __init__(self, path: Path, classify: bool):
        self.path, self.classify = path, classify
        self.labels = _checked(path, classify)
        config = read_config(path)
        self.size = config.get("hidden_size", 0)
        self.kind = f"{config['model_type']} {self.size}"
        self.key = f"{'classifier' if classify else 'features'} {fingerprint(path)}"

    @cached_property
    def module(self) -> torch.nn.Module:
        import transformers

        auto = transformers.AutoModelForImageClassification if self.classify else transformers.AutoModel
        try:
            # The host runs nodes in inference mode; weights made there could not be moved outside it.
            with torch.inference_mode(False):
                module = auto.from_pretrained(
                    str(self.path), use_safetensors=True, local_files_only=True, trust_remote_code=False
                )
        except Exception as cause:
            raise VerifierError(f"{self.path.name} could not be loaded as an image model: {cause}") from cause
        return module.float().eval().requires_grad_(False)

    @cached_property
    def _processor(self):
        return pil_processor(self.path)

    @property
    def classes(self) -> int:
        return len(self.labels)

    def logits(self, images: torch.Tensor, device: torch.device, half: bool = False) -> torch.Tensor:
        """[n, classes] float32 on the CPU, for images [n, H, W, 3] in 0-1. For a model that classifies."""
        return self._run(images, device, half).logits.float().cpu()

    def probabilities(self, images: torch.Tensor, device: torch.device, half: bool = False) -> torch.Tensor:
        """[n, classes] float32 on the CPU. For a model that classifies."""
        return self.logits(images, device, half).softmax(1)

    def features(self, images: torch.Tensor, device: torch.device, half: bool = False) -> torch.Tensor:
        """[n, size] float32 on the CPU: the class token."""
        return self._run(images, device, half).pooler_output.float().cpu()

    def embed_images(self, images: torch.Tensor, device: torch.device, half: bool = False) -> torch.Tensor:
        """Unit vectors [n, size] float32 on the CPU: the direction of the class token."""
        return torch.nn.functional.normalize(self.features(images, device, half), dim=-1)

    def _run(self, images: torch.Tensor, device: torch.device, half: bool):
        pixels = self._processor(images=to_pil(to_bytes(images)), return_tensors="pt")["pixel_values"]
        with torch.autocast(device.type, torch.float16, enabled=half and device.type == "cuda"):
            return self.module(pixel_values=pixels.to(device))


def image_model(path: Path | str, classify: bool) -> ImageModel:
    """The model at this path; the same object while anyone holds it and the files do not change."""
    model = ImageModel(Path(path), classify)
    return _open.setdefault((model.path.resolve(), model.key), model)


def _checked(path: Path, classify: bool) -> list[str]:
    """The labels in the folder's config, when everything needed is there."""
    if importlib.util.find_spec("transformers") is None:
        raise VerifierError(f"Folder {path.name} is a transformers model and needs: pip install transformers")
    needed = {
        "its config.json": "config.json",
        ".safetensors weights": "*.safetensors",
        "its preprocessor_config.json": "*processor_config.json",
    }
    for what, pattern in needed.items():
        if not any(path.glob(pattern)):
            raise VerifierError(f"Folder {path.name} lacks {what}: add them from the model's page.")
    config = read_config(path)
    if classify and not classifies(config):
        raise VerifierError(f"{path.name} does not classify images: choose a folder with a classifier.")
    if not classify and config.get("model_type") not in FEATURE_TYPES:
        raise VerifierError(f"{path.name} is none of {', '.join(FEATURE_TYPES)}: choose one, or a CLIP or SigLIP.")
    named = {int(i): str(label) for i, label in (config.get("id2label") or {}).items()}
    return [named[i] for i in sorted(named)]


def classifies(config: dict) -> bool:
    """Whether the model of a config.json has an image classifier's head."""
    return any(str(name).endswith("ForImageClassification") for name in config.get("architectures") or [])
