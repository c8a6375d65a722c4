"""The best so far in a person's eyes: what new candidates are shown beside."""

from __future__ import annotations

from collections.abc import Sequence

from ...search import Recipe, Result, SearchError
from ...search.evaluation import Memory
from ...verifiers import Verifier
from .latents import Latents
from .scorer import decode


class Standing:
    """A Memory that notes what passes through it: so the best of an earlier run stands beside the new ones too."""

    def __init__(self, memory: Memory | None, verifier: Verifier, latents: Latents, vae):
        self._memory, self._latents, self._vae = memory, latents, vae
        self._measures = {n: m for n, m in enumerate(verifier.measures) if getattr(m, "compares", False)}
        for measure in verifier.measures:
            if getattr(measure, "asks", False):
                measure.missed = 0
        self._seen: list[tuple[Recipe, Sequence[float]]] = []

    def recall(self, lane: int, recipe: Recipe) -> Result | None:
        result = self._memory.recall(lane, recipe) if self._memory else None
        if result:
            self._note(recipe, result)
        return result

    def record(self, told: Sequence[tuple[int, Recipe, Result]]) -> None:
        if self._memory:
            self._memory.record(told)
        for _, recipe, result in told:
            self._note(recipe, result)

    def _note(self, recipe: Recipe, result: Result) -> None:
        if self._measures:
            self._seen.append((recipe, result.row))

    def remind(self) -> None:
        """Tell the measures that compare what is the best so far."""
        for column, measure in self._measures.items():
            measure.best = None
            for recipe, row in sorted(self._seen, key=lambda seen: -seen[1][column]):
                held = self._latents.get(0, recipe.id)
                if held is not None:
                    measure.best = decode(self._vae, held["latent"])[0], row[column]
                    break


def check(verifier: Verifier, rows: int, frames: int) -> None:
    """Raises SearchError, before anything is sampled, where a person could not be asked.

    frames  of each candidate that would be scored
    """
    for measure in verifier.measures:
        if getattr(measure, "compares", False) and rows > 1:
            raise SearchError(
                f"Human Pick compares the candidates of one search, but the latent batch has {rows} rows, each with a "
                "search of its own: set the batch to 1, or choose to rate."
            )
        if getattr(measure, "asks", False) and frames > 1:
            raise SearchError(
                f"Human Pick looks at one picture of each candidate, and would be shown {frames} frames of a video: "
                "set frames of the search block to 1."
            )
