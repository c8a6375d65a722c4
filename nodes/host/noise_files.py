"""Winners' noises on disk: .safetensors with recipe and tensor, and the recipe in a PNG. Never pickle."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import folder_paths
import safetensors
import torch
from PIL import Image
from safetensors.torch import save

from ...search.recipe import SearchError
from .folder import inside
from .noise import LARGEST, RecipeNoise

KEY = "noise_search"
"""The text chunk of a PNG, and the metadata of a .safetensors, that hold the recipe."""


def saved() -> Path:
    """Where Save Noise writes."""
    return Path(folder_paths.get_output_directory(), "noise")


def loadable() -> list[str]:
    """Names that `place` finds: saved noises, and PNGs of the input folder that carry a recipe."""
    given = Path(folder_paths.get_input_directory())
    tensors = [*given.glob("*.safetensors"), *given.glob("noise/**/*.safetensors")]
    pictures = [path for path in given.glob("*.png") if carries_recipe(path)]
    names = [f"{path.relative_to(saved()).as_posix()} [output]" for path in sorted(saved().glob("**/*.safetensors"))]
    return names + [f"{path.relative_to(given).as_posix()} [input]" for path in sorted(tensors + pictures)]


def place(name: str) -> Path:
    """The file behind a name of `loadable`. Raises SearchError where there is none."""
    bare, _, where = str(name).partition(" [")
    folder = {"output]": saved(), "input]": folder_paths.get_input_directory()}.get(where)
    if folder is None:
        raise SearchError(f"Load Noise: name is {name!r}; choose a noise from the list, or make one with Save Noise.")
    path = inside(folder, bare)
    if not path.is_file() or path.suffix.lower() not in (".png", ".safetensors"):
        raise SearchError(f"Load Noise: there is no noise {name!r} any more; choose another from the list.")
    return path


def to_bytes(noise: RecipeNoise) -> bytes:
    """The content of a .safetensors file: tensor "noise" and the recipe."""
    return save({"noise": noise.tensor.contiguous()}, metadata={KEY: json.dumps(noise.to_metadata())})


def read(path: Path) -> RecipeNoise:
    """From a .safetensors of Save Noise or a PNG written after a search. Raises SearchError, naming the file."""
    try:
        return _from_png(path) if path.suffix.lower() == ".png" else _from_safetensors(path)
    except SearchError as error:
        raise SearchError(f"Load Noise: {path.name}: {error}") from error


def carries_recipe(path: Path) -> bool:
    """Whether a PNG holds a winner's recipe. Answers from memory until the file changes."""
    try:
        stat = path.stat()
    except OSError:
        return False
    return _carries(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(16384)
def _carries(path: str, changed: int, size: int) -> bool:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            return KEY in picture.info
    except (OSError, ValueError, SyntaxError):  # no PNG, or a broken one
        return False


def _from_png(path: Path) -> RecipeNoise:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            text = picture.info.get(KEY)
    except (OSError, ValueError, SyntaxError) as error:
        raise SearchError("it is no readable PNG; choose another file.") from error
    if not isinstance(text, str):
        raise SearchError(
            "this PNG carries no noise recipe; it must be saved in the same queue item in which the search ran."
        )
    return RecipeNoise.from_metadata(_parsed(text))


def _from_safetensors(path: Path) -> RecipeNoise:
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None or list(file.keys()) != ["noise"]:
                raise SearchError("it is no file of Save Noise; choose another.")
            content = _parsed(text)
            size = file.get_slice("noise").get_shape()
            if torch.Size(size).numel() > LARGEST:
                raise SearchError("its tensor is larger than any noise; choose another file.")
            tensor = file.get_tensor("noise")
    except (OSError, safetensors.SafetensorError) as error:
        raise SearchError("it is no readable .safetensors file; choose another.") from error
    if not tensor.is_floating_point() or not tensor.isfinite().all():
        raise SearchError("its tensor holds numbers that are no noise; save it again.")
    return RecipeNoise.from_metadata(content, tensor)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SearchError("its noise recipe is no JSON; save it again.") from error
