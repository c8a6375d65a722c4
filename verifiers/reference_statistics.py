"""Reference statistics: the mean and the covariance of the features of many images, as FID's files hold them.

>>> statistics = of_images(batches, inception("pt_inception-2015-12-05-6726825d.pth"))
>>> write(statistics, "photos.npz")
>>> read("photos.npz")
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .image_model import ImageModel
from .inception import Inception
from .verifier import VerifierError

MEAN, COVARIANCE, KIND, COUNT = "mu", "sigma", "features", "count"


@dataclass(frozen=True)
class Statistics:
    """mean [d] and covariance [d, d] in double; `kind` names the features, "" where the file does not say; of
    `count` images, 0 where it does not say."""

    mean: torch.Tensor
    covariance: torch.Tensor
    kind: str = ""
    count: int = 0


def of_images(batches: Iterable[torch.Tensor], model: Inception | ImageModel, device: torch.device | str = "cpu"):
    """Statistics of all images, from batches [n, H, W, 3] in 0-1. Raises VerifierError for fewer than two images."""
    device, count = torch.device(device), 0
    model.module.to(device)
    shift = total = products = None
    for images in batches:
        with torch.no_grad():
            features = model.features(images, device).double()
        if shift is None:  # sums around the first mean lose no digits
            shift = features.mean(0)
            total, products = torch.zeros_like(shift), torch.zeros(len(shift), len(shift), dtype=torch.double)
        away = features - shift
        count, total, products = count + len(images), total + away.sum(0), products + away.T @ away
    if count < 2:
        raise VerifierError(f"Statistics need two images or more, and there are {count}: choose another folder.")
    mean = total / count
    covariance = (products - count * mean.outer(mean)) / (count - 1)
    return Statistics(shift + mean, covariance, model.kind, count)


def write(statistics: Statistics, file: Path | str) -> None:
    """As .npz: FID's own names, and what the features are."""
    arrays = {MEAN: statistics.mean.numpy(), COVARIANCE: statistics.covariance.numpy()}
    np.savez(file, **arrays, **{KIND: np.array(statistics.kind), COUNT: np.array(statistics.count)})


def holds_statistics(file: Path) -> bool:
    """Whether an .npz holds a mean and a covariance, told from its list of contents."""
    if file.suffix != ".npz" or not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return {f"{MEAN}.npy", f"{COVARIANCE}.npy"} <= set(archive.namelist())


def read(file: Path | str) -> Statistics:
    """Raises VerifierError where the file is no statistics, or they are no mean and covariance."""
    file = Path(file)
    if not holds_statistics(file):
        raise VerifierError(
            f"{file.name} holds no statistics: make one with `python run.py statistics`, or use an .npz of a FID "
            "program, with mu and sigma."
        )
    try:
        with np.load(file, allow_pickle=False) as arrays:
            mean, covariance = (torch.from_numpy(arrays[name]).double() for name in (MEAN, COVARIANCE))
            kind = str(arrays[KIND]) if KIND in arrays else ""
            count = int(arrays[COUNT]) if COUNT in arrays else 0
    except (ValueError, TypeError, OSError, zipfile.BadZipFile) as cause:
        raise VerifierError(f"{file.name} cannot be read as plain numbers ({cause}): make it again.") from cause
    size = mean.numel()
    if mean.shape != (size,) or covariance.shape != (size, size):
        raise VerifierError(f"{file.name}'s mu and sigma are no vector and square matrix of one size: get it again.")
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise VerifierError(f"{file.name} holds numbers that are not finite: make it again.")
    return Statistics(mean, covariance, kind, count)
