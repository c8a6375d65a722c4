"""Several candidates in one turn of a loop, as the rows of a batch: what all of them begin with, what each came to."""

from __future__ import annotations

import torch

import nodes

from ...search import SearchError
from .loop_values import is_latent
from .score_images import Scores

ONE = "or set batch of Search Loop Start to 1"


def repeated(latent: dict, candidates: int) -> dict:
    """The one-row LATENT for so many candidates. Each row keeps the row number that it has alone: where the body adds
    a noise of its own, from a seed that does not change, every candidate gets the same."""
    if candidates == 1:
        return latent
    (batch,) = nodes.RepeatLatentBatch().repeat(latent, candidates)
    return batch | {"batch_index": latent.get("batch_index", [0]) * candidates}


def numbers_of(score: object, candidates: int) -> list[float]:
    """A score for each candidate, from what arrived at End. Raises SearchError where there are not so many."""
    if isinstance(score, Scores):
        if score.relative:
            raise SearchError(
                "Search Loop End: scores compare the images of one batch with each other, and a loop compares all its "
                "candidates: give Score Images a verifier without ranks, z-scores or picks."
            )
        score = score.numbers
    if hasattr(score, "squeeze"):  # a tensor or an array
        score = score.squeeze().tolist()
    try:
        numbers = [float(number) for number in (score if isinstance(score, (list, tuple)) else [score])]
    except (TypeError, ValueError) as error:
        raise SearchError(
            f"Search Loop End: score is {type(score).__name__} and not a number; connect the score of Score Images, "
            "or a FLOAT."
        ) from error
    if len(numbers) != candidates:
        count = f"{len(numbers)} number{'s' * (len(numbers) != 1)}"
        if candidates == 1:
            raise SearchError(f"Search Loop End: score is {count} for 1 candidate: connect the score of Score Images.")
        raise SearchError(
            f"Search Loop End: score is {count} for {candidates} candidates: connect the scores of Score Images, or a "
            f"list with a number for each, {ONE}."
        )
    return numbers


def rows_of(value: object, candidates: int, alone: dict) -> list:
    """The value of each candidate, as it would be if it had gone through the loop by itself, where Start gives the
    LATENT `alone`. Raises SearchError where rows and candidates differ in number."""
    if candidates == 1 or value is None:
        return [value] * candidates
    if isinstance(value, torch.Tensor) and value.shape[:1] == (candidates,):
        return [row.clone() for row in value.split(1)]  # a view would hold the whole batch in memory
    if isinstance(value, (list, tuple)) and len(value) == candidates:
        return list(value)
    if is_latent(value) and len(value["samples"]) == candidates:
        return [_one(value, n, candidates, alone) for n in range(candidates)]
    name, held = ("LATENT", value["samples"]) if is_latent(value) else (type(value).__name__, value)
    size = f" of {len(held)} rows" if isinstance(held, (list, tuple)) or getattr(held, "ndim", 0) else ""
    raise SearchError(
        f"Search Loop End: value is {name}{size}, in which {candidates} candidates cannot be told apart: connect an "
        f"IMAGE, a LATENT, a MASK or a list with one row for each, {ONE}."
    )


def _one(latent: dict, n: int, candidates: int, alone: dict) -> dict:
    """The n-th candidate's part of a LATENT."""
    rows = {
        name: entry.chunk(candidates)[n].clone()
        for name, entry in latent.items()
        if isinstance(entry, torch.Tensor) and entry.ndim and len(entry) % candidates == 0
    }
    own = latent | rows
    if own.pop("batch_index", None) and "batch_index" in alone:
        own["batch_index"] = alone["batch_index"]
    return own
