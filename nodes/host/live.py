"""What the page shows of a search while it runs, and after: every candidate, the best few, what it has cost.

A board is filled by the thread that searches. Pages are sent what is new; one that was opened later, or missed
something, fetches it whole (routes.py).
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from PIL import Image

from ...search.outcome import Outcome
from . import page
from .context import Running

EVERY = 0.3  # seconds between two messages, at least
BEST = 6  # candidates shown as pictures
BOARDS: OrderedDict[str, Board] = OrderedDict()
"""The last searches, by token."""
MOST_BOARDS = 16
PICTURES: OrderedDict[tuple[str, int, str], bytes] = OrderedDict()
"""Small JPEGs of what was decoded for scoring, by (search's key, lane, recipe id): a later run of the same search,
which does not decode it again, shows them too."""
MOST_PICTURES, THUMBNAIL = 1000, 192


class Board:
    """One search of one block.

    node       the block; the panel is on it and on the reports that read its run
    columns    (name, whether it is searched, sign) of each measure
    relative   whether values change as the archive grows
    early      how many of the columns, the last, are of unfinished candidates only; these have no value then
    unit       what is counted: "evaluations" or "images"
    sampler    the node whose seed draws candidate 0
    key        of the search's content
    pictures   why there can be none, or ""
    """

    def __init__(
        self,
        now: Running | None,
        node: str | None,
        name: str,
        columns: Sequence[tuple[str, bool, int]],
        key: str,
        relative: bool = False,
        early: int = 0,
        unit: str = "evaluations",
        sampler: str = "",
        pictures: str = "",
    ):
        self.token, self.key, self._relative, self._early = uuid.uuid4().hex, key, relative, early
        self.total = math.inf
        self.prompt_id = now.prompt_id if now else ""
        self._began = self._said = time.monotonic()
        self._seconds = self._spent = self._recalled = 0
        self._outcome: Outcome | None = None
        self._lanes: list[dict] = []  # of the outcome, as it was when pages were last told
        self._sent: list[int] = []  # candidates of each lane that pages were told of
        self._lock = threading.Lock()
        self._stop, self._found = False, False
        self.ended = ""
        self._fixed = {
            "search": self.token,
            "prompt": self.prompt_id,
            "workflow": page.workflow_of(now) if now else None,
            "nodes": [now.displayed(id) for id in (node, *page.reports_on(now, node))] if now and node else [],
            "name": name,
            "columns": [{"name": n, "searched": searched, "sign": sign} for n, searched, sign in columns],
            "early": early,
            "unit": unit,
            "seed_at": page.seed_place(now, sampler) if now and sampler else None,
            "no_pictures": pictures,
        }
        if now and node:
            _show(self)

    @property
    def place(self) -> tuple:
        return self._fixed["workflow"] or self.prompt_id, self._fixed["nodes"][:1]

    def stop(self) -> None:
        """End early and keep the best: as soon as there is one."""
        self._stop = True

    def enough(self) -> bool:
        return self._stop and self._found

    def begin(self, total: float) -> None:
        """total: how many of the unit it may spend."""
        self.total = total
        self.tell()

    def told(self, outcome: Outcome, spent: int, pictures: Mapping[tuple[int, str], Image.Image]) -> None:
        """After each generation. pictures: (lane, recipe id) -> what was decoded of it."""
        for (lane, id), picture in pictures.items():
            PICTURES[self.key, lane, id] = page.jpeg(picture, THUMBNAIL)
        while len(PICTURES) > MOST_PICTURES:
            PICTURES.popitem(last=False)
        self._found, self._outcome = all(outcome.winners), outcome
        self.moved(spent)

    def moved(self, spent: int) -> None:
        """So many evaluations were spent, those that the history told included."""
        self._spent = spent
        if time.monotonic() - self._said > EVERY:
            self.tell()

    def done(self, spent: int, ended: str) -> None:
        self._spent, self.ended = spent, ended
        self.tell()

    def content(self, known: Sequence[int] = ()) -> dict:
        """What a page is told that has heard of `known` candidates of each lane; all of them by default."""
        with self._lock:
            lanes = [self._new(lane, n) for lane, n in zip_longest(self._lanes, known, fillvalue=0)]
        seconds = self._seconds if self.ended else time.monotonic() - self._began
        new = self._spent - self._recalled
        left = (self.total - self._spent) * seconds / new if new > 0 and math.isfinite(self.total) else None
        return self._fixed | {
            "total": self.total if math.isfinite(self.total) else None,
            "spent": self._spent,
            "recalled": self._recalled,
            "seconds": seconds,
            "left": None if left is None or self.ended else max(0.0, left),
            "stopping": self._stop,
            "ended": self.ended or ("" if page.still_runs(self.prompt_id) else "did not finish"),
            "lanes": lanes,
        }

    def tell(self) -> None:
        """Send pages what is new."""
        self._said = time.monotonic()
        self._seconds = self._said - self._began
        if self._outcome:
            lanes = [self._lane(lane.archive, n) for n, lane in enumerate(self._outcome.lanes)]
            with self._lock:
                self._lanes, self._recalled = lanes, self._outcome.recalled
        if self._fixed["nodes"]:
            page.send("board", self.content(self._sent))
        self._sent = [len(lane["candidates"]) for lane in self._lanes]

    def _lane(self, archive, n: int) -> dict:
        """Its candidates so far, their values, and the ids of the best few."""
        lane = self._lanes[n] if self._lanes else {"candidates": []}
        candidates = list(lane["candidates"])
        at = candidates[-1]["at"] if candidates else 0
        for entry in archive.entries[len(candidates) :]:
            at += entry.nfe
            candidates.append(
                {
                    "id": entry.recipe.id,
                    "recipe": entry.recipe.to_json(),
                    "at": at,
                    "row": [_number(x) for x in entry.row],
                    "complete": entry.complete,
                    "excluded": entry.excluded,
                    "generation": entry.generation,
                }
            )
        best = [entry.recipe.id for entry in archive.top(BEST)]
        values = [
            _number(value) if entry.complete or not self._early else None
            for entry, value in zip(archive.entries, archive.values())
        ]
        return {"candidates": candidates, "values": values, "best": best}

    def _new(self, lane: dict, known: int) -> dict:
        count = len(lane["candidates"])
        start = 0 if self._relative and count > known else known  # an older value may have changed
        values = {"values_from": start, "values": lane["values"][start:]}
        return {"from": known, "candidates": lane["candidates"][known:], **values, "best": lane["best"]}


def picture(token: str, lane: int, id: str) -> bytes | None:
    """The JPEG of a candidate, where it was kept."""
    board = BOARDS.get(token)
    return PICTURES.get((board.key, lane, id)) if board else None


def tell(prompt_id: str) -> None:
    """Send pages what is new of a graph's searches, before a long wait."""
    for board in list(BOARDS.values()):
        if board.prompt_id == prompt_id and not board.ended:
            board.tell()


def _show(board: Board) -> None:
    """In the place of the block's last one."""
    for token, other in list(BOARDS.items()):
        if other.place == board.place:
            del BOARDS[token]
    BOARDS[board.token] = board
    while len(BOARDS) > MOST_BOARDS:
        BOARDS.popitem(last=False)


def _number(x: float) -> float | None:
    """Six digits; JSON has no NaN."""
    return float(f"{x:.6g}") if math.isfinite(x) else None
