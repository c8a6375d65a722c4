"""Files that a workflow names. A name never leaves the folder it belongs to."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ...search.recipe import SearchError

RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices on Windows


def inside(folder: str | Path, name: str, suffix: str = "") -> Path:
    """The file `name` below `folder`, ending in `suffix`; folders in a name are separated by / or \\.

    Raises SearchError where the name would lead elsewhere (.., an absolute path, a drive, a link that points
    out of the folder) or could not be a file on some system.
    """
    parts = name.replace("\\", "/").split("/")
    if not all(map(_is_plain, parts)):
        raise SearchError(
            f"The name {name[:80]!r} cannot be a file of this folder; use letters, digits, spaces, - and _, "
            "and / only between folders."
        )
    path = Path(folder, *parts)
    if suffix and path.suffix.lower() != suffix:
        path = path.with_name(path.name + suffix)
    home = Path(folder).resolve()
    if not path.resolve().is_relative_to(home):
        raise SearchError(f"The name {name[:80]!r} leads out of its folder; choose another.")
    return path


def _is_plain(part: str) -> bool:
    return (
        bool(part.strip(". "))
        and part == part.strip()
        and not part.endswith(".")
        and not re.search(r'[\x00-\x1f<>:"|?*\ud800-\udfff]', part)
        and not RESERVED.fullmatch(part)
        and len(part.encode()) <= 200
    )


def write(path: Path, content: bytes, replace: bool = False) -> Path:
    """Write a file at once or not at all; the path it got: numbered where the name was taken and not to be
    replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = path if replace else _reserved(path)
    part = target.with_name(target.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        if not replace:
            target.unlink(missing_ok=True)
        raise
    return target


def _reserved(path: Path) -> Path:
    """An empty file of this name, or of the first free number behind it, that is nobody else's."""
    number, target = 1, path
    while True:
        try:
            target.open("xb").close()
            return target
        except FileExistsError:
            number += 1
            target = path.with_name(f"{path.stem}_{number}{path.suffix}")
