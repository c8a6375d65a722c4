"""Random search, best of N (Ma et al. 2025, §4.1): the baseline that every other algorithm is shown against."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from ..candidates import Gaussian
from ..lane import Lane
from ..recipe import Recipe


@dataclass(frozen=True)
class RandomSearch:
    """N independent noises, each sampled whole; the best is kept.

        search = RandomSearch().start(lane)
        while recipes := search.ask(16):
            ...                      # evaluate, add to lane.archive
            search.tell()

    Candidate 0 is the noise that the sampler was handed; with Gaussian candidates, candidate i is KSampler's
    noise for seed + i.
    """

    candidates: object = field(default_factory=Gaussian)
    name = "Random Search"
    path = False

    def least(self, lane: Lane) -> int:
        return 0

    def start(self, lane: Lane) -> Running:
        return Running(lane.fresh(self.candidates))


class Running:
    alive: tuple[Recipe, ...] = ()

    def __init__(self, proposals):
        self._proposals = proposals

    def ask(self, n: int) -> list[Recipe]:
        return list(islice(self._proposals, n))

    def tell(self) -> None:
        """The order of random search depends on no score."""
