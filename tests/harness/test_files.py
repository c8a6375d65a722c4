"""The pack's own files can lie on every system: Windows forbids some names, and minds no case."""

import re
from collections import Counter

from noise_search.harness import find

NOT_OURS = {".git", ".venv", "out", "output", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis"}
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def ours(folder):
    """Every file and folder below, as its path from the pack's root."""
    for path in folder.iterdir():
        if path.name not in NOT_OURS:
            yield path.relative_to(find.ROOT).as_posix()
            if path.is_dir():
                yield from ours(path)


def test_names_are_allowed_everywhere():
    names = list(ours(find.ROOT))
    assert "search/run.py" in names
    bad = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ](/|$)')
    assert not [name for name in names if bad.search(name) or any(map(RESERVED.fullmatch, name.split("/")))]
    assert max(map(len, names)) < 120  # Windows allows 260, its folders included


def test_no_two_names_differ_in_case_only():
    assert not [name for name, count in Counter(map(str.lower, ours(find.ROOT))).items() if count > 1]
