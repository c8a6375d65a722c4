"""Weight files on disk: what they hold and how to tell two of them apart, without reading them whole."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import torch

from .verifier import VerifierError

TENSOR_FILES = (".safetensors", ".pt", ".pth", ".bin")
_BLOCK = 1 << 16


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name to shape for every tensor in a weights file, reading only what describes them.

    A training checkpoint's `state_dict` is opened, and a `module.` before every name is dropped, as open_clip
    does. Raises VerifierError when the file is not weights or is a pickle that would need to run code.
    """
    if path.suffix == ".safetensors":
        return _safetensors_shapes(path)
    return {name: tuple(t.shape) for name, t in _unpickled(path, "meta").items()}


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor in a weights file, on the CPU, under the names that `shapes` gives. Raises as it does."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        _safetensors_shapes(path)
        return load_file(path)
    return _unpickled(path, "cpu")


def _unpickled(path: Path, device: str) -> dict[str, torch.Tensor]:
    try:
        state = torch.load(path, map_location=device, weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as cause:
        raise VerifierError(
            f"{path.name} cannot be read as plain weights ({str(cause).splitlines()[0]}): "
            "use a .safetensors file of the same model."
        ) from cause
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    found = {name: t for name, t in state.items() if isinstance(t, torch.Tensor)}
    if found and all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): t for name, t in found.items()}
    return found


def _safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The header of a .safetensors file: 8 bytes of length, then JSON."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(length))
        return {name: tuple(t["shape"]) for name, t in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise VerifierError(f"{path.name} is not a whole .safetensors file ({cause}): get the file again.") from cause


def fingerprint(path: Path) -> str:
    """A short text that changes when the file, or a file of the folder, does.

    From the sizes and 18 blocks of 64 KiB of each file (both ends and 16 between), so that a checkpoint of
    many gigabytes costs milliseconds.
    """
    digest = hashlib.sha256()
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name if path.is_dir() else ''}\0{size}\0".encode())
        with file.open("rb") as stream:
            for offset in sorted({max(0, size - _BLOCK) * i // 17 for i in range(18)}):
                stream.seek(offset)
                digest.update(stream.read(_BLOCK))
    return digest.hexdigest()[:16]
