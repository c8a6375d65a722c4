"""Scores of a batch of images, as Score Images gives them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...search import SearchError
from ...verifiers.verifier import Verifier
from .scoring import score


@dataclass(frozen=True)
class Scores:
    """NS_SCORES: a number for each image of a batch. relative: they only compare these images with each other."""

    numbers: tuple[float, ...]
    relative: bool

    @staticmethod
    def of(verifier: Verifier, values: torch.Tensor) -> Scores:
        compared = any(getattr(measure, "compares", False) for measure in verifier.measures)
        return Scores(tuple(values.tolist()), verifier.relative or compared)


def score_images(images: torch.Tensor, verifier: Verifier, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Raw numbers [n, m], and the rule's values [n] over this batch, of images [n, H, W, 3].

    Raises SearchError, naming the verifier, where it gives no number for an image.
    """
    for name, measure in zip(verifier.names, verifier.measures):
        if measure.reads != "images":
            what = "latents" if measure.reads == "latents" else "images on their way"
            raise SearchError(f"The verifier {name} looks at {what}, and Score Images has only finished images.")
    if verifier.in_need_of_a_prompt and not prompt.strip():
        raise SearchError(f"The verifier {verifier.in_need_of_a_prompt[0]} needs a prompt: type it into Score Images.")
    for measure in verifier.measures:
        if getattr(measure, "compares", False):
            measure.best = None  # of another batch
            if len(images) == 1:
                raise SearchError(
                    "Human Pick compares images, and Score Images has only one, as in a loop: choose to rate instead."
                )
    rows = score(verifier, images[..., :3], [prompt.strip()] * len(images))
    for name, searched, column in zip(verifier.names, verifier.searched, rows.T):
        lost = (~torch.isfinite(column)).nonzero().flatten().tolist()
        if searched and lost:
            raise SearchError(
                f"The verifier {name} gave {column[lost[0]].item()} for image {lost[0]}: it has no score."
            )
    return rows[:, : len(verifier.measures)], verifier.rule(rows)


def table(verifier: Verifier, rows: torch.Tensor, values: torch.Tensor) -> str:
    """One line an image, best first."""
    heads = ["image", "score", *verifier.names]
    order = values.argsort(descending=True, stable=True).tolist()
    lines = [[str(i), f"{values[i]:.4g}", *(f"{x:.4g}" for x in rows[i].tolist())] for i in order]
    widths = [max(len(line[k]) for line in [heads, *lines]) for k in range(len(heads))]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths)) for line in [heads, *lines])
