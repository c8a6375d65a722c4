"""What earlier runs of the same search evaluated, on disk: cancel, crash or restart, and it goes on from there.

    with History(folder / "history.sqlite") as history:
        memory = history.of(key)
        memory.record([(0, recipe, result)])
        memory.recall(0, recipe)

One SQLite file holds many searches, each under the key of its content. Several processes may share it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .evaluation import Result
from .recipe import Recipe, SearchError

SCHEMA = """
CREATE TABLE IF NOT EXISTS searches (key TEXT PRIMARY KEY, used REAL NOT NULL);
CREATE TABLE IF NOT EXISTS candidates (
    key TEXT NOT NULL, lane INTEGER NOT NULL, id TEXT NOT NULL, recipe TEXT NOT NULL, numbers TEXT NOT NULL,
    nfe INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (key, lane, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS latents (
    key TEXT NOT NULL, lane INTEGER NOT NULL, id TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (key, lane, id)
);
CREATE TABLE IF NOT EXISTS states (
    key TEXT NOT NULL, lane INTEGER NOT NULL, id TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (key, lane, id)
);
CREATE TABLE IF NOT EXISTS runs (key TEXT PRIMARY KEY, content TEXT NOT NULL);
"""


class History:
    """The file of all searches.

    path      made when it is not there, with its folder
    megabytes bound on the file: the states of the searches longest unused are forgotten first, then these searches,
              and a latent that still does not fit is not kept (it can be rendered again)

    Raises SearchError where the file is no history.
    """

    def __init__(self, path: str | Path, megabytes: float = 512):
        self.path, self.megabytes = Path(path), megabytes
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA auto_vacuum=FULL")  # what is forgotten leaves the file; first, or it is ignored
            _patiently(lambda: self._db.execute("PRAGMA journal_mode=WAL"))
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
            self._db.execute("DELETE FROM states WHERE key NOT IN (SELECT key FROM searches)")
        except sqlite3.DatabaseError as error:
            self._db.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise SearchError(f"The history {self.path} cannot be read ({error}); move the file away.") from error

    def __enter__(self) -> History:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def of(self, key: str) -> SearchMemory:
        """The memory of one search; marks it as used now and makes room by forgetting others."""
        memory = SearchMemory(self, key)
        with self.changing(key):
            pass
        self.make_room(key)
        return memory

    def bytes_used(self) -> int:
        """Bytes in use inside the file, free pages left out."""
        pages, free, size = (
            self.rows(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def make_room(self, but: str, more: int = 0, states_alone: bool = False) -> bool:
        """Forget what belongs to searches other than `but`, of the longest unused first, until `more` bytes fit.
        Whether they do. States on the path go first, in the end those of `but` too.

        states_alone  forget nothing else, and none of `but`
        """
        if more > self.megabytes * 2**20:
            return False
        while self.bytes_used() + more > self.megabytes * 2**20:
            states = self.rows(
                "SELECT key FROM searches WHERE key IN (SELECT key FROM states) AND key != ? ORDER BY used LIMIT 1",
                (but if states_alone else "",),
            )
            whole = self.rows("SELECT key FROM searches WHERE key != ? ORDER BY used LIMIT 1", (but,))
            if not states and (states_alone or not whole):
                return False
            with self.changing(but) as db:
                for table in ("states",) if states else ("candidates", "latents", "runs", "searches"):
                    db.execute(f"DELETE FROM {table} WHERE key = ?", (states or whole)[0])
        return True

    def rows(self, statement: str, values: Sequence = ()) -> list[tuple]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def changing(self, key: str) -> Iterator[sqlite3.Connection]:
        """One transaction, all or nothing, that marks a search as used now. Waits for other servers' writes."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.execute("INSERT OR REPLACE INTO searches VALUES (?, ?)", (key, time.time()))
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _patiently(act: Callable[[], object], seconds: float = 30) -> None:
    """SQLite does not wait for its lock where two processes make the file's journal at once."""
    late = time.monotonic() + seconds
    while True:
        try:
            act()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > late:
                raise
            time.sleep(0.01)


class SearchMemory:
    """One search's earlier evaluations, the latents of its best, the states it ended with, and the last account of its
    run."""

    def __init__(self, history: History, key: str):
        self._history, self.key = history, key
        self.latents = Shelf(history, key, "latents")
        self.states = Shelf(history, key, "states")

    def recall(self, lane: int, recipe: Recipe) -> Result | None:
        found = self._history.rows(
            "SELECT numbers, nfe, seconds FROM candidates WHERE key = ? AND lane = ? AND id = ?",
            (self.key, lane, recipe.id),
        )
        return Result(tuple(json.loads(found[0][0])), *found[0][1:]) if found else None

    def record(self, told: Sequence[tuple[int, Recipe, Result]]) -> None:
        rows = [
            (self.key, lane, recipe.id, recipe.to_json(), json.dumps(result.row), result.nfe, result.seconds)
            for lane, recipe, result in told
        ]
        with self._history.changing(self.key) as db:
            db.executemany("INSERT OR IGNORE INTO candidates VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def put_run(self, content: str) -> None:
        """The account of the run, as text."""
        with self._history.changing(self.key) as db:
            db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?)", (self.key, content))

    def run(self) -> str | None:
        found = self._history.rows("SELECT content FROM runs WHERE key = ?", (self.key,))
        return found[0][0] if found else None


class Shelf:
    """One search's tensors as bytes, by lane and recipe id: its latents, or its states on the path. States give way:
    they push out nothing but states of other searches, since they can be solved again."""

    def __init__(self, history: History, key: str, table: str):
        self._history, self._key, self._table = history, key, table

    def put(self, lane: int, id: str, content: bytes) -> None:
        """Kept where it fits within the file's bound."""
        if self._history.make_room(self._key, len(content), states_alone=self._table == "states"):
            with self._history.changing(self._key) as db:
                db.execute(f"INSERT OR REPLACE INTO {self._table} VALUES (?, ?, ?, ?)", (self._key, lane, id, content))

    def get(self, lane: int, id: str) -> bytes | None:
        found = self._history.rows(
            f"SELECT content FROM {self._table} WHERE key = ? AND lane = ? AND id = ?", (self._key, lane, id)
        )
        return found[0][0] if found else None

    def places(self) -> list[tuple[int, str]]:
        """The (lane, id) of what is kept."""
        return self._history.rows(f"SELECT lane, id FROM {self._table} WHERE key = ?", (self._key,))

    def drop(self, gone: Iterable[tuple[int, str]]) -> None:
        """Forget these (lane, id)."""
        with self._history.changing(self._key) as db:
            db.executemany(
                f"DELETE FROM {self._table} WHERE key = ? AND lane = ? AND id = ?",
                [(self._key, *place) for place in gone],
            )
