"""Where searches are remembered: one SQLite file in ComfyUI's user directory."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import folder_paths

from ...search.history import History, SearchMemory

MEGABYTES = "NOISE_SEARCH_HISTORY_MB"


@lru_cache(maxsize=4)
def _history(path: Path, megabytes: float) -> History:
    return History(path, megabytes)


def history() -> History:
    """The file's bound is 512 MB, or what the environment variable NOISE_SEARCH_HISTORY_MB says."""
    path = Path(folder_paths.get_user_directory()) / "noise_search" / "history.sqlite"
    return _history(path, float(os.environ.get(MEGABYTES, 512)))


def memory_of(key: str) -> SearchMemory:
    """The memory of the search with this content key."""
    return history().of(key)


def account_of(key: str) -> str | None:
    """The account written under a key, if there is one; nothing is marked as used."""
    return SearchMemory(history(), key).run()
