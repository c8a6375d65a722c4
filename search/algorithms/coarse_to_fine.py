"""Coarse to fine: settle the layout first, then ever finer detail with the coarser bands held (ours)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from ..candidates.band import Band
from ..lane import Lane
from ..recipe import Recipe, SearchError
from .rounds import Plan, Rounds


@dataclass(frozen=True)
class CoarseToFineSearch:
    """Zero-order search band by band of a Haar wavelet, from the lowest to the finest, and again.

    levels    of the wavelet: the lowest band is what is constant over blocks of 2^levels latent pixels
    per_band  candidates in a band before the best goes on to the next
    cosine    between a candidate's band and the pivot's, in the first cycle: 0 draws it anew
    refine    the same in the cycles after it

    The first pivot is the best candidate of the blocks before, or else candidate 0. Bands are the candidates
    here: no generator is used. The whole noise stays a sample of N(0, I).
    """

    levels: int = 4
    per_band: int = 2
    cosine: float = 0.0
    refine: float = 0.8
    name = "Coarse-to-Fine Search"
    path = False

    def __post_init__(self):
        if not 1 <= self.levels <= 12:
            raise SearchError(f"Coarse-to-Fine Search: levels is {self.levels}; it must be from 1 to 12.")
        if self.per_band < 1:
            raise SearchError(f"Coarse-to-Fine Search: per_band is {self.per_band}; it must be at least 1.")
        for name in ("cosine", "refine"):
            if not 0 <= getattr(self, name) < 1:
                raise SearchError(
                    f"Coarse-to-Fine Search: {name} is {getattr(self, name)}; it must be from 0 to below 1."
                )

    def bands(self, size: int) -> list[tuple[int, int]]:
        """(coarse, fine) block sizes of every band of a latent whose longer side is `size`, the lowest first. Below a
        block that holds it whole there is nothing until blocks are smaller than it."""
        sizes = [2**level for level in range(self.levels, -1, -1)]
        return [(coarse, fine) for coarse, fine in zip([0, *sizes], sizes) if not coarse or fine < size]

    def least(self, lane: Lane) -> int:
        return 0

    def start(self, lane: Lane) -> Rounds:
        return Rounds(self._plan(lane), lane)

    def _plan(self, lane: Lane) -> Plan:
        best = lane.archive.best()
        pivot = lane.space.add(best.recipe.noise) if best else lane.space.base
        bands, index = self.bands(max(lane.space.given.shape[-2:])), count(1)
        if pivot not in lane.archive:
            yield [pivot]
        for cycle in count():
            for coarse, fine in bands:
                band = Band(coarse, fine, self.refine if cycle else self.cosine)
                drawn: list[Recipe] = []
                while len(drawn) < self.per_band:
                    recipe = lane.space.add(band.propose(lane.space, next(index), pivot))
                    if recipe not in lane.archive:  # an earlier block of the chain may have tried it
                        drawn.append(recipe)
                yield drawn
                ranked = lane.archive.ranked([pivot, *drawn])
                pivot = ranked[0].recipe if ranked else pivot
