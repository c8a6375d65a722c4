"""Two fidelities in one search: finished images are scored by one verifier, unfinished ones by a cheaper one or
through a cheaper decoder.

A raw row is [m numbers | e early numbers | features]. A finished candidate has NaN in the early columns and an
unfinished one in all others, and each kind has its own rule: nothing ever compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ...search import Archive, SearchError
from ...verifiers.verifier import Verifier
from .scorer import Scorer
from .scoring import fit


class TwoScorers:
    """A `Scorer` for finished candidates, and another for those on the path."""

    def __init__(self, final: Scorer, early: Scorer):
        self._final, self._early = final, early
        self.verifier, self.prompts = final.verifier, final.prompts
        self.thumbnails = early.thumbnails = final.thumbnails

    def models(self) -> list:
        return list(dict.fromkeys([*self._final.models(), *self._early.models()]))

    def fits(self) -> bool:
        return self._final.fits() and fit(self.models())

    def __call__(
        self,
        latents: torch.Tensor,
        places: Sequence[tuple[int, str]],
        glimpses: Mapping[float, torch.Tensor],
        finished: Sequence[bool],
    ) -> torch.Tensor:
        """[n·B, m + e + tails] raw rows. `finished` is the same for all rows of a candidate."""
        m, e = len(self.verifier.measures), len(self._early.verifier.measures)
        done = torch.tensor(finished)
        rows = torch.full((len(done), m + e + self.verifier.tail), torch.nan)
        if done.any():
            seen = {level: x0[done] for level, x0 in glimpses.items()}
            numbers = self._final(latents[done], [p for p, ok in zip(places, finished) if ok], seen)
            rows[done, :m], rows[done, m + e :] = numbers[:, :m], numbers[:, m:]
        if not done.all():
            on_the_way = [p for p, ok in zip(places, finished) if not ok]
            rows[~done, m : m + e] = self._early(latents[~done], on_the_way, {})[:, :e]
        return rows


def check(early: Verifier) -> None:
    """Raises SearchError where it cannot score unfinished images."""
    for name, measure in zip(early.names, early.measures):
        if measure.reads == "pairs" or getattr(measure, "tail", 0) or getattr(measure, "asks", False):
            raise SearchError(
                f"The verifier {name} judges finished images only and cannot score unfinished ones: connect another to "
                "early_verifier."
            )


def names(verifier: Verifier, early: Verifier | None) -> list[str]:
    """Of the columns of a raw row."""
    return verifier.names + ([f"early {name}" for name in early.names] if early else [])


def archive(verifier: Verifier, early: Verifier | None) -> Archive:
    """An empty archive with the verifiers' rules."""
    signs = _signs(verifier)
    if early is None:
        return Archive(verifier.rule, signs)
    m, e = len(verifier.measures), len(early.measures)

    def final(rows: torch.Tensor) -> torch.Tensor:
        return verifier.rule(torch.cat([rows[:, :m], rows[:, m + e :]], dim=1))

    def on_the_way(rows: torch.Tensor) -> torch.Tensor:
        return early.rule(rows[:, m : m + e])

    return Archive(final, signs + [0] * e, (on_the_way, [0] * m + _signs(early)))


def _signs(verifier: Verifier) -> list[int]:
    return [measure.sign if searched else 0 for measure, searched in zip(verifier.measures, verifier.searched)]
