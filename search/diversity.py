"""Few out of many that are good and differ: maximal marginal relevance (Carbonell & Goldstein 1998)."""

from __future__ import annotations

import torch

from .recipe import SearchError


def mmr(values: torch.Tensor, distances: torch.Tensor, k: int, diversity: float) -> list[int]:
    """Places of up to k candidates, in the order in which they are chosen: each time

        argmax over i not yet chosen of (1 − δ) · value_i − δ · max over j chosen of similarity_ij

    values     [n], higher is better, all finite; brought to 0-1 here
    distances  [n, n], symmetric, not negative; similarity is 1 − distance / the largest distance
    diversity  δ from 0, the k highest values, to 1, only how much they differ. The paper's λ is 1 − δ.

    The highest value always comes first. Ties keep the earlier. Raises SearchError where δ is not from 0 to 1.
    """
    if not 0 <= diversity <= 1:
        raise SearchError(f"diversity is {diversity}; it must be from 0 (the best) to 1 (the most different).")
    if not len(values):
        return []
    values, distances = values.double(), distances.double()
    relevance = _to_one(values - values.min())
    similarity = 1 - _to_one(distances)
    chosen = [int(values.argmax())]
    nearest = similarity[chosen[0]].clone()  # of each candidate to those chosen
    while len(chosen) < min(k, len(values)):
        marginal = (1 - diversity) * relevance - diversity * nearest if diversity else values.clone()
        marginal[chosen] = -torch.inf
        chosen.append(int(marginal.argmax()))
        nearest = torch.maximum(nearest, similarity[chosen[-1]])
    return chosen[: max(0, k)]


def mean_distance(distances: torch.Tensor) -> float:
    """The mean over all pairs, of distances [n, n]; 0 where there is no pair."""
    n = len(distances)
    return distances.double().triu(1).sum().item() / (n * (n - 1) / 2) if n > 1 else 0.0


def cosine_distances(vectors: torch.Tensor) -> torch.Tensor:
    """[n, n] 1 − cosine, 0 to 2, of vectors [n, ...]."""
    units = torch.nn.functional.normalize(vectors.flatten(1).double(), dim=1)
    return (1 - units @ units.T).clamp_min(0).fill_diagonal_(0)


def _to_one(x: torch.Tensor) -> torch.Tensor:
    """Non-negative numbers as shares of the largest."""
    return x / x.max().clamp_min(torch.finfo(x.dtype).tiny)
