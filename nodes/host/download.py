"""Fetching a published model, when a block's `download` input says so and never otherwise.

Files arrive in a hidden folder beside their place, are checked there, and are moved into place when all are whole;
what was interrupted goes on where it was. ComfyUI's bar shows the progress, and its cancel button stops it.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PureWindowsPath

import comfy.model_management as mm
import comfy.utils

from ...verifiers import VerifierError
from . import context
from .progress import EVERY, say
from .published import Published, Source

WAITING = ".incomplete"
"""The hidden folder, which the lists of models leave out."""


@dataclass(frozen=True)
class _File:
    """One file of a source, as the hub describes it at the pinned commit. sha256: None for small ones."""

    source: Source
    name: str
    size: int
    sha256: str | None

    @property
    def part(self) -> str:
        return f"{self.name}.part"


def fetch(model: Published, folder: Path) -> Path:
    """The model's place in `folder`, there and whole.

    Raises VerifierError, naming file, folder, source and licence, when the hub cannot be reached, a file is not what
    was expected, or the disk has no room; ComfyUI's own exception when cancelled.
    """
    place = folder / model.name
    if place.exists():
        return place
    waiting = folder / WAITING / "-".join([model.name, *(source.revision[:8] for source in model.sources)])
    try:
        files = [file for source in model.sources for file in _listed(source)]
        waiting.mkdir(parents=True, exist_ok=True)
        _require_room(files, waiting)
        progress = _Progress(model, files, waiting)
        for file in files:
            _fetch(file, waiting, progress)
    except (VerifierError, mm.InterruptProcessingException):
        raise
    except Exception as cause:
        raise VerifierError(f"{_by_hand(model, place)} ({type(cause).__name__}: {_line(cause)})") from cause
    if model.is_file:
        os.replace(waiting / files[0].name, place)
        shutil.rmtree(waiting)
    else:
        os.replace(waiting, place)
    return place


def _listed(source: Source) -> list[_File]:
    """The source's files as the hub lists them at the pinned commit, all in its top folder."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=_endpoint(), token=False)
    listed = api.model_info(source.repo, revision=source.revision, files_metadata=True, timeout=20).siblings
    found = {}
    for pattern in source.files:
        fitting = [file for file in listed if fnmatch(file.rfilename, pattern) and _is_plain(file.rfilename)]
        if not fitting and "*" not in pattern:
            raise FileNotFoundError(f"no {pattern} in {source.url}")
        found |= {file.rfilename: file for file in fitting}
    return [_File(source, name, file.size, _expected(source, file)) for name, file in found.items()]


def _is_plain(name: str) -> bool:
    """Whether it is a name alone, on every system: nothing that leads into another folder."""
    return PureWindowsPath(name).name == name


def _expected(source: Source, file) -> str | None:
    return source.sha256.get(file.rfilename) or (file.lfs.sha256 if file.lfs else None)


def _fetch(file: _File, waiting: Path, progress: Callable[[int], None]) -> None:
    """Bring one file into the waiting folder, whole and checked."""
    if (waiting / file.name).exists():
        return
    part = waiting / file.part
    if part.exists() and part.stat().st_size > file.size:  # two wrote to it at once
        part.unlink()
    with _Counted(part, progress) as stream:
        _receive(file, stream)
    if file.sha256 and (found := _sha256(part)) != file.sha256:
        part.unlink()
        raise VerifierError(
            f"{file.name} from {file.source.url} is not the file that was expected: its SHA-256 is {found}, and should "
            f"be {file.sha256}. It was deleted: try again, or get it elsewhere."
        )
    os.replace(part, waiting / file.name)


def _receive(file: _File, stream: io.FileIO) -> None:
    """All of the file, after what the stream has of it; over again as long as something comes each time."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(file.source.repo, file.name, revision=file.source.revision, endpoint=_endpoint())
    headers = build_hf_headers(token=False)  # public files: nobody's key is sent
    while True:
        begun = stream.tell()
        try:
            return http_get(url, stream, resume_size=begun, headers=headers, expected_size=file.size)
        except mm.InterruptProcessingException:
            raise
        except Exception:  # of whatever library huggingface_hub speaks HTTP with
            if stream.tell() <= begun:
                raise


class _Counted(io.FileIO):
    """Appends to a file, and tells how much."""

    def __init__(self, path: Path, count: Callable[[int], None]):
        super().__init__(path, "ab+")
        self._count = count

    def write(self, data) -> int:
        self._count(len(data))
        return super().write(data)


class _Progress:
    """ComfyUI's bar over all files of a model, in bytes, and a line of text; a cancel ends it."""

    def __init__(self, model: Published, files: list[_File], waiting: Path):
        self._model, self._total = model, sum(file.size for file in files)
        self._done = sum(_there(file, waiting) for file in files)
        self._bar, self._said = comfy.utils.ProgressBar(self._total), 0.0
        now = context.running()
        self._node = now and now.node_id
        self(0)

    def __call__(self, more: int) -> None:
        mm.throw_exception_if_processing_interrupted()
        self._done += more
        if time.monotonic() - self._said < EVERY and self._done < self._total:
            return
        self._said = time.monotonic()
        self._bar.update_absolute(min(self._done, self._total), self._total)
        done, total = (f"{size / 1e9:.2f}" for size in (self._done, self._total))
        say(self._node, f"Downloading {self._model.name}: {done} of {total} GB")


def _there(file: _File, waiting: Path) -> int:
    """Bytes of it that are in the waiting folder already."""
    paths = waiting / file.name, waiting / file.part
    return next((path.stat().st_size for path in paths if path.exists()), 0)


def _require_room(files: list[_File], waiting: Path) -> None:
    missing = sum(file.size - _there(file, waiting) for file in files)
    free = shutil.disk_usage(waiting).free
    if missing > free:
        raise VerifierError(
            f"The disk of {waiting.parent.parent} has {free / 1e9:.1f} GB left, and the download needs "
            f"{missing / 1e9:.1f} GB: make room, or choose another folder in extra_model_paths.yaml."
        )


def _by_hand(model: Published, place: Path) -> str:
    wanted = "; ".join(f"{', '.join(source.files)} from {source.url} ({source.licence})" for source in model.sources)
    where = f"as {place}" if model.is_file else f"in the folder {place}"
    return f"{model.name} could not be downloaded: go online and queue again, or put {wanted} {where}"


def _endpoint() -> str | None:
    """A mirror, where the user's environment names one now (huggingface_hub looks once, when it is imported)."""
    return os.environ.get("HF_ENDPOINT") or None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
            mm.throw_exception_if_processing_interrupted()
    return digest.hexdigest()


def _line(cause: BaseException) -> str:
    return " ".join(str(cause).split())[:200]
