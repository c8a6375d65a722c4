"""Which of open_clip's architectures a weights file belongs to, told from the shapes of its tensors."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from .verifier import VerifierError
from .weights import shapes

COMMON = [
    "ViT-B-32", "ViT-B-32-quickgelu", "ViT-B-32-256",
    "ViT-B-16", "ViT-B-16-quickgelu",
    "ViT-L-14", "ViT-L-14-quickgelu", "ViT-L-14-336", "ViT-L-14-336-quickgelu",
    "ViT-H-14", "ViT-H-14-quickgelu", "ViT-H-14-378-quickgelu",
    "ViT-g-14", "ViT-bigG-14", "ViT-bigG-14-quickgelu",
]  # fmt: skip
"""Architectures a single weights file is loaded with; any other comes as a folder with its own config."""

QUICK_GELU_SIGNS = ("openai", "quickgelu", "metaclip", "dfn")
"""Words in a file's name that say it was trained with QuickGELU, which the shapes do not show."""


def guess(path: Path) -> str:
    """The architecture in COMMON whose shapes are those of the file, by name when several fit.

    Raises VerifierError when the file holds no open_clip model, or one that is not in COMMON.
    """
    found = shapes(path)
    if not {"visual.proj", "token_embedding.weight"} <= found.keys():
        raise VerifierError(f"{path.name} {_what_else(found)}")
    signature = _signature(found)
    fits = [name for name in COMMON if _expected(name) == signature]
    if not fits:
        raise VerifierError(
            f"{path.name} fits none of {', '.join(COMMON)}: use a folder with the weights and their "
            "open_clip_config.json."
        )
    quick = any(sign in path.stem.lower() for sign in QUICK_GELU_SIGNS)
    return next((name for name in fits if name.endswith("-quickgelu") == quick), fits[0])


def check(path: Path, architecture: str) -> None:
    """Raise VerifierError unless the file's shapes are those of the architecture (but for the image grid)."""
    if not (configs() / f"{architecture}.json").is_file():
        raise VerifierError(f"Architecture {architecture!r} is not one of open_clip's: choose auto.")
    found = shapes(path)
    if not {"visual.proj", "token_embedding.weight"} <= found.keys():
        raise VerifierError(f"{path.name} {_what_else(found)}")
    if _but_grid(_signature(found)) != _but_grid(_expected(architecture)):
        raise VerifierError(f"{path.name} does not fit architecture {architecture}: choose auto.")


def _but_grid(signature: tuple) -> tuple:
    """open_clip resizes the grid of positions, so it may differ."""
    return signature[:1] + signature[2:]


def _what_else(found: dict) -> str:
    """The rest of the sentence about a file that is no open_clip model."""
    image = any(name.startswith(("vision_model.", "visual.")) for name in found)
    text = any(name.startswith(("text_model.", "token_embedding")) for name in found)
    if image and text:
        return (
            "is in transformers' format: put it in a folder together with its config.json, tokenizer and "
            "preprocessor files, and choose the folder."
        )
    if image:
        return "holds only the image half of a CLIP: choose a file with both halves."
    if text:
        return "holds only the text half of a CLIP: choose a file with both halves."
    return "holds no CLIP: use a .safetensors file in open_clip's format, or a transformers CLIP folder."


def _signature(found: dict) -> tuple:
    """Everything about the architecture that shapes can tell."""
    return (
        found.get("visual.conv1.weight"),
        found.get("visual.positional_embedding"),
        found.get("visual.proj"),
        found.get("visual.transformer.resblocks.0.mlp.c_fc.weight"),
        _layers(found, "visual.transformer.resblocks."),
        found.get("token_embedding.weight"),
        found.get("positional_embedding"),
        _layers(found, "transformer.resblocks."),
    )


def _layers(found: dict, prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in found if name.startswith(prefix)})


def _expected(architecture: str) -> tuple:
    """The signature that open_clip's config of this name would have."""
    config = json.loads((configs() / f"{architecture}.json").read_text(encoding="utf-8"))
    vision, text, joint = config["vision_cfg"], config["text_cfg"], config["embed_dim"]
    width, patch = vision["width"], vision["patch_size"]
    return (
        (width, 3, patch, patch),
        ((vision["image_size"] // patch) ** 2 + 1, width),
        (width, joint),
        (int(width * vision.get("mlp_ratio", 4)), width),
        vision["layers"],
        (text["vocab_size"], text["width"]),
        (text["context_length"], text["width"]),
        text["layers"],
    )


def configs() -> Path:
    """open_clip's folder of architectures, found without importing it. Raises VerifierError without it."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None:
        raise VerifierError("An open_clip model needs open_clip: pip install open_clip_torch")
    return Path(spec.submodule_search_locations[0]) / "model_configs"
