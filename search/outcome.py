"""What happened in a search so far: its blocks, one after the other, and each row's lane."""

from __future__ import annotations

from dataclasses import dataclass, field

from .archive import Entry
from .lane import Lane


@dataclass
class Stage:
    """What became of one block: evaluations of latent rows, candidates per lane, why it ended.

    seconds  its limit of time, and in the end what is left of it; 0 for none
    begun    the length of each lane's archive when it began
    notes    what the algorithm says that it did and why, a sentence each
    short    whether it last wanted to begin a round that cannot be paid for
    idle     of what was spent, that on rows which only rode along
    """

    name: str
    limit: float
    seconds: float
    spent: int = 0
    candidates: int = 0
    ended: str = ""
    begun: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)
    short: bool = False
    idle: int = 0


@dataclass
class Outcome:
    """What happened so far. `spent` counts evaluations of latent rows, `recalled` those that an earlier run
    spent; what the model computed now is the difference."""

    lanes: list[Lane]
    stages: list[Stage] = field(default_factory=list)
    spent: int = 0
    recalled: int = 0
    seconds: float = 0.0

    @property
    def winners(self) -> list[Entry]:
        """The best finished candidate of each lane."""
        return [lane.archive.best() for lane in self.lanes]
