"""Watching: a second verifier that is scored and reported, and never searched.

Searching one verifier raises it and may please only that verifier. A watched one tells whether the images
got better or the verifier was fooled.
"""

from __future__ import annotations

from .verifier import Verifier


def watch(verifier: Verifier, watched: Verifier) -> Verifier:
    """The order of `verifier`, with the columns of `watched` beside its own."""
    own, both = len(verifier.measures), len(verifier.measures) + len(watched.measures)
    columns = [*range(own), *range(both, both + verifier.tail)]
    return Verifier(
        measures=verifier.measures + watched.measures,
        rule=lambda rows: verifier.rule(rows[:, columns]),
        searched=verifier.searched + (False,) * len(watched.measures),
        relative=verifier.relative,
        key=f"{verifier.key} watching {watched.key}",
    )
