"""The best candidates of a run that differ to look at: in their pixels, or in the eyes of a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import comfy.model_management as mm
import torch

from ...search import SearchError
from ...search.account import Line
from ...search.diversity import cosine_distances, mean_distance, mmr
from ...verifiers.features import feature_model
from .model_files import FEATURES
from .run import Run
from .scoring import load

PIXELS = "pixels"
SMALL, LARGEST = 32, 512  # pixels a side: to compare by pixels, and to show a model
TOGETHER = 8  # images that a model sees at once


@dataclass
class Pick:
    """The candidates chosen, their images [k, H, W, 3], the mean distance between them, and between the plain best.

    among  how many were there to choose from
    """

    lines: list[Line]
    images: torch.Tensor
    distance: float
    of_best: float
    among: int


def pick(run: Run, row: int, k: int, diversity: float, features: str = PIXELS) -> Pick:
    """k of the kept candidates by maximal marginal relevance; see `search.diversity.mmr` for `diversity`.

    features  "pixels", or a model of `FEATURES`
    Raises SearchError where there is no VAE, VerifierError where the model is not there.
    """
    kept = run.kept(row)
    if not diversity or len(kept) <= k:
        images = run.images(row, kept[:k])
        apart = mean_distance(distances(images, features))
        return Pick(kept[:k], images, apart, apart, len(kept))
    apart = distances((run.images(row, [line])[0] for line in kept), features)
    places = mmr(torch.tensor([line.value for line in kept]), apart, k, diversity)
    lines = [kept[n] for n in places]
    of_best = mean_distance(apart[:k, :k])
    return Pick(lines, run.images(row, lines), mean_distance(apart[places][:, places]), of_best, len(kept))


def check(run: Run, diversity: float) -> None:
    """Before anything is decoded."""
    if diversity and run.vae is None:
        raise SearchError(
            "diversity compares images, and the search block had no VAE: connect one to its vae input, or set "
            "diversity to 0."
        )


def distances(images: Iterable[torch.Tensor], features: str = PIXELS) -> torch.Tensor:
    """[n, n] how much images [H, W, 3] in 0-1 differ: symmetric, 0 for the same.

    features  "pixels": the root mean square difference of small pictures, 0 to 1, so that layout and colour count
              and grain does not. Or a model: 1 minus the cosine of its features, 0 to 2.
    """
    if features == PIXELS:
        vectors = torch.stack([_shrunk(image, SMALL, SMALL).flatten() for image in images]).double()
        return torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist") / vectors.shape[1] ** 0.5
    model, device = feature_model(FEATURES.path(features)), mm.get_torch_device()
    shown = []
    for image in images:  # all first: decoding may evict the model
        mm.throw_exception_if_processing_interrupted()
        scale = min(1.0, LARGEST / max(image.shape[:2]))
        shown.append(_shrunk(image, *(max(1, round(scale * side)) for side in image.shape[:2])))
    load([model.module], device)
    vectors = [model.embed_images(batch, device) for batch in torch.stack(shown).split(TOGETHER)]
    return cosine_distances(torch.cat(vectors))


def _shrunk(image: torch.Tensor, high: int, wide: int) -> torch.Tensor:
    """[high, wide, 3] means over areas."""
    area = torch.nn.functional.adaptive_avg_pool2d(image[..., :3].float().movedim(-1, 0)[None], (high, wide))
    return area[0].movedim(0, -1).cpu()
