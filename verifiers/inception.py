"""Inception v3 on disk: images to 2048 features and to class probabilities.

Two networks of that name are in use, with the same names of tensors. FID and Inception Score are defined by
TensorFlow's of 2015 (1008 classes, `pt_inception-2015-12-05-6726825d.pth`); torchvision has its own (1000).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from torch.nn import functional

from .clip_model import to_bytes, to_pil
from .verifier import VerifierError
from .weights import fingerprint, shapes, tensors

SIZE, SIDE = 2048, 299
FID, TORCHVISION = "inception-fid", "inception-torchvision"
CLASSES = {1008: FID, 1000: TORCHVISION}
MEAN_POOLED = ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b")
MAX_POOLED = ("7c",)
_open = WeakValueDictionary()


class Inception:
    """One network, loaded when first used.

    path  a weights file under torchvision's names of tensors
    `kind` is FID or TORCHVISION, `size` and `classes` the numbers of features and of classes. Raises
    VerifierError when the file is no Inception v3, or torchvision is missing.
    """

    size = SIZE

    def __init__(self, path: Path):
        if importlib.util.find_spec("torchvision") is None:
            raise VerifierError(f"{path.name} is an Inception v3 and needs: pip install torchvision")
        self.path = path
        self.classes = shapes(path).get("fc.weight", (0,))[0]
        if self.classes not in CLASSES or "Mixed_7c.branch_pool.conv.weight" not in shapes(path):
            raise VerifierError(
                f"{path.name} is no Inception v3 of 1008 or 1000 classes: use pt_inception-2015-12-05-6726825d.pth of "
                "pytorch-fid, or torchvision's inception_v3."
            )
        self.kind = CLASSES[self.classes]
        self.key = f"{self.kind} {fingerprint(path)}"

    @cached_property
    def module(self) -> torch.nn.Module:
        # The host runs nodes in inference mode; weights made there could not be moved outside it.
        with torch.inference_mode(False):
            return _network(self.kind, self.classes, tensors(self.path)).eval().requires_grad_(False)

    def features(self, images: torch.Tensor, device: torch.device, half: bool = False) -> torch.Tensor:
        """[n, SIZE] float32 on the CPU, for images [n, H, W, 3] in 0-1: what is left after the last pooling."""
        with torch.autocast(device.type, torch.float16, enabled=half and device.type == "cuda"):
            return self._pooled(images, device).float().cpu()

    def probabilities(self, images: torch.Tensor, device: torch.device, half: bool = False) -> torch.Tensor:
        """[n, classes] float32 on the CPU. FID's network without the last bias, as Inception Score was published."""
        with torch.autocast(device.type, torch.float16, enabled=half and device.type == "cuda"):
            bias = None if self.kind == FID else self.module.head.bias
            logits = functional.linear(self._pooled(images, device), self.module.head.weight, bias)
        return logits.float().softmax(1).cpu()

    def _pooled(self, images: torch.Tensor, device: torch.device) -> torch.Tensor:
        pixels = _tensorflow_pixels(images) if self.kind == FID else _torchvision_pixels(images)
        return self.module.body(pixels.to(device))


def inception(path: Path | str) -> Inception:
    """The network at this path; the same object while anyone holds it and the file does not change."""
    model = Inception(Path(path))
    return _open.setdefault((model.path.resolve(), model.key), model)


class Repooled(torch.nn.Module):
    """A block of torchvision's whose last branch pools by another function."""

    def __init__(self, block: torch.nn.Module, pool: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self.block, self.pool = block, pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *others, _ = self.block._forward(x)
        return torch.cat([*others, self.block.branch_pool(self.pool(x))], dim=1)


def _network(kind: str, classes: int, state: dict[str, torch.Tensor]) -> torch.nn.ModuleDict:
    """`body`, images to features, and `head`, the last layer."""
    from torchvision.models.inception import Inception3

    body = Inception3(classes, aux_logits=False, transform_input=kind == TORCHVISION, init_weights=False)
    wanted = {name: t for name, t in state.items() if not name.startswith("AuxLogits.")}
    lacking, unknown = body.load_state_dict(wanted, strict=False)
    odd = [name for name in (*lacking, *unknown) if not name.endswith("num_batches_tracked")]
    if odd:
        raise VerifierError(f"The Inception v3 file lacks {odd[0]}, or should not have it: get the file again.")
    head, body.fc = body.fc, torch.nn.Identity()
    if kind == FID:
        for name in MEAN_POOLED:
            setattr(body, f"Mixed_{name}", Repooled(getattr(body, f"Mixed_{name}"), _mean_inside))
        for name in MAX_POOLED:
            setattr(body, f"Mixed_{name}", Repooled(getattr(body, f"Mixed_{name}"), _maximum))
    return torch.nn.ModuleDict({"body": body.float(), "head": head.float()})


def _mean_inside(x: torch.Tensor) -> torch.Tensor:
    """TensorFlow's mean: the border is not in it."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _maximum(x: torch.Tensor) -> torch.Tensor:
    """The 2015 network takes the maximum in its last block."""
    return functional.max_pool2d(x, 3, stride=1, padding=1)


def _tensorflow_pixels(images: torch.Tensor) -> torch.Tensor:
    """[n, 3, SIDE, SIDE], about -1 to 1: 8-bit images through TensorFlow 1's bilinear resize."""
    pixels = torch.from_numpy(to_bytes(images)).movedim(-1, 1).float()
    for axis in (2, 3):
        pixels = _resized(pixels, axis)
    return (pixels - 128) / 128


def _resized(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Pixel i lies at i · size / SIDE, between the two beside it; nothing is smoothed where the image shrinks."""
    size = x.shape[axis]
    place = torch.arange(SIDE) * (size / SIDE)
    low = place.long().clamp(max=size - 1)
    share = (place - low).view(-1, *[1] * (x.ndim - 1 - axis))
    return torch.lerp(x.index_select(axis, low), x.index_select(axis, (low + 1).clamp(max=size - 1)), share)


def _torchvision_pixels(images: torch.Tensor) -> torch.Tensor:
    """[n, 3, SIDE, SIDE] as torchvision prepares images for its own weights."""
    from torchvision.models import Inception_V3_Weights

    prepare = Inception_V3_Weights.IMAGENET1K_V1.transforms()
    return torch.stack([prepare(image) for image in to_pil(to_bytes(images))])
