"""Several verifiers as one: their measures side by side, and a rule over their values.

    verifier = combine([clip_score, sharpness], MEAN_RANK)
    verifier = combine([clip_score, aesthetic], CONSTRAINT, threshold=0.25)

A combined verifier is a verifier, so combinations combine. Each rule acts on its inputs' values (each
input's own rule on its own columns) over the whole archive. A row that is at least as good as another in
every searched number never has the lower value. A row in which a searched number is missing has no value,
and the other rows are valued as if it were not there. A rule over sets orders by its own numbers alone here:
it is not shown the tails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .verifier import Rule, Verifier, VerifierError

MEAN_RANK = "mean rank"
Z_SUM = "sum of z-scores"
PRODUCT = "product"
MINIMUM = "minimum"
CONSTRAINT = "first at least the threshold, then the best of the others"
RULES = (MEAN_RANK, Z_SUM, PRODUCT, MINIMUM, CONSTRAINT)


def combine(
    verifiers: Sequence[Verifier],
    rule: str = MEAN_RANK,
    weights: Sequence[float] | None = None,
    threshold: float = 0.0,
) -> Verifier:
    """One verifier of several.

    rule       one of RULES; MEAN_RANK without weights is the ensemble of Ma et al. 2025
    weights    one for each verifier, not negative, 1 each by default; an input of weight 0 is scored and
               reported but not searched (for CONSTRAINT the first weight is not used)
    threshold  for CONSTRAINT: the least value of the first verifier that passes
    Raises VerifierError for bad weights, an unknown rule, or a CONSTRAINT on a value that depends on the
    other candidates (there a threshold has no meaning).
    """
    weights = [1.0] * len(verifiers) if weights is None else [float(w) for w in weights]
    _check(verifiers, rule, weights)
    used = [w > 0 or (rule == CONSTRAINT and i == 0) for i, w in enumerate(weights)]
    parts = [(v, c) for v, c, use in zip(verifiers, _columns(verifiers), used, strict=True) if use]
    kept = torch.tensor([w for w, use in zip(weights, used, strict=True) if use], dtype=torch.double)
    outer = _outer(rule, kept, threshold)

    def inner(rows: torch.Tensor) -> torch.Tensor:
        return outer(torch.stack([v.rule(rows[:, columns]).double() for v, columns in parts], dim=1))

    searched = tuple(s and use for v, use in zip(verifiers, used, strict=True) for s in v.searched)
    weighted = ", ".join(f"{w:g} x {v.key}" for v, w in zip(verifiers, weights, strict=True))
    return Verifier(
        measures=tuple(m for v in verifiers for m in v.measures),
        rule=_among_whole_rows(inner, searched),
        searched=searched,
        relative=rule in (MEAN_RANK, Z_SUM, CONSTRAINT) or any(v.relative for v, _ in parts),
        key=f"{rule} {threshold:g} of ({weighted})" if rule == CONSTRAINT else f"{rule} of ({weighted})",
    )


def _check(verifiers: Sequence[Verifier], rule: str, weights: list[float]) -> None:
    if rule not in RULES:
        raise VerifierError(f"Combine Verifiers has no rule {rule!r}: choose one of {', '.join(RULES)}.")
    if len(weights) != len(verifiers):
        raise VerifierError(
            f"Combine Verifiers got {len(weights)} weights for {len(verifiers)} verifiers: give one each."
        )
    for i, weight in enumerate(weights, 1):
        if not 0 <= weight < float("inf"):
            raise VerifierError(f"weight_{i} of Combine Verifiers is {weight:g}: give 0 or more.")
    if rule == CONSTRAINT and len(verifiers) < 2:
        raise VerifierError(f'Combine Verifiers with "{rule}" needs a second verifier: connect verifier_2.')
    if rule == CONSTRAINT and verifiers[0].relative:
        raise VerifierError(
            "verifier_1 of Combine Verifiers has values that depend on the other candidates, so a threshold "
            "on them has no meaning: connect a single verifier there."
        )
    if not any(weights[1:] if rule == CONSTRAINT else weights):
        raise VerifierError("Combine Verifiers has nothing to order by: raise a weight above 0.")


def _columns(verifiers: Sequence[Verifier]) -> list[list[int]]:
    """Which columns of a combined row belong to each verifier."""
    start, columns = 0, []
    for v in verifiers:
        columns.append(list(range(start, start + len(v.measures))))
        start += len(v.measures)
    return columns


def _among_whole_rows(rule: Rule, searched: Sequence[bool]) -> Rule:
    """The rule over the rows that have every searched number; NaN for the others."""
    mask = torch.tensor(searched)

    def among(rows: torch.Tensor) -> torch.Tensor:
        whole = torch.isfinite(rows[:, : len(mask)][:, mask]).all(1)
        values = torch.full((len(rows),), torch.nan, dtype=torch.double)
        if whole.any():
            values[whole] = rule(rows[whole])
        return values

    return among


def _outer(rule: str, weights: torch.Tensor, threshold: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Values of the inputs [n, k] to values [n]."""
    if rule == MEAN_RANK:
        return lambda values: mean_rank(values, weights)
    if rule == Z_SUM:
        return lambda values: z_sum(values, weights)
    if rule == PRODUCT:
        return lambda values: product(values, weights)
    if rule == MINIMUM:
        return lambda values: (weights * values).amin(1)
    return lambda values: constraint(values, weights[1:], threshold)


def ranks(values: torch.Tensor) -> torch.Tensor:
    """1 for the best, n for the worst; those that tie share the average. [n] to [n] double."""
    _, level, count = values.unique(return_inverse=True, return_counts=True)
    last = len(values) - count.cumsum(0) + count  # the rank of the worst of those that tie
    return (last - (count - 1).double() / 2)[level]


def mean_rank(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Minus the weighted mean of the ranks in each column: -1 is first in all. Values [n, k] to [n]."""
    each = torch.stack([ranks(column) for column in values.unbind(1)], dim=1)
    return -(each * weights).sum(1) / weights.sum()


def z_sum(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sum over columns of (value - mean) / standard deviation; a constant column gives 0."""
    flat = values.amax(0) == values.amin(0)
    spread = torch.where(flat, 1.0, values.std(0, correction=0))
    z = torch.where(flat, 0.0, (values - values.mean(0)) / spread)
    return (z * weights).sum(1)


def product(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Product over columns of value ** weight, for values that are not negative.

    A product of negative numbers orders nothing, so a row with a negative value is worth the weighted sum of
    its negative values: below every row without one, and lower the further below zero it lies.
    """
    below = (values.clamp(max=0) * weights).sum(1)
    return torch.where(below < 0, below, (values.clamp(min=0) ** weights).prod(1))


def constraint(values: torch.Tensor, weights: torch.Tensor, threshold: float) -> torch.Tensor:
    """Minus the rank when those whose first value reaches the threshold come before those whose does not.

    Those that reach it are ordered by the others (the value of one, the mean rank of several), the rest by
    how near they come. -1 is the best.
    """
    first, others = values[:, 0], values[:, 1:]
    best = others[:, 0] if others.shape[1] == 1 else mean_rank(others, weights)
    order = torch.where(first >= threshold, len(values) - ranks(best), -ranks(first))
    return -ranks(order)
