"""What a loop keeps of all that its body made: the values of the best candidates."""

from __future__ import annotations

from collections import OrderedDict

import safetensors.torch
import torch

from ...search import SearchError
from ...search.account import Line
from ...search.history import SearchMemory
from .run import Run

RECENT: OrderedDict[str, tuple[str, object]] = OrderedDict()
"""For each of the last loops, by its key: the best candidate's id and value. So a loop that is queued again with a
larger budget need not run its body for the best so far."""
RECENT_LOOPS = 4


class Values:
    """Recipe id -> value, whatever the loop's value is. Latents are kept on disk too, as those of other searches."""

    def __init__(self, key: str, memory: SearchMemory):
        self._key, self._memory = key, memory
        self._held: dict[str, object] = {}
        self._wanted: set[str] = set()  # as `keep` last said
        self._gone: set[str] = set()
        self._saved: set[str] = set()

    def put(self, id: str, value: object) -> None:
        if value is not None:
            self._held[id] = value

    def get(self, id: str) -> object | None:
        if id not in self._held:
            content = self._memory.latents.get(0, id)
            best, value = RECENT.get(self._key, ("", None))
            if content is not None:
                self._held[id] = safetensors.torch.load(content)
            elif best == id:
                self._held[id] = value
        return self._held.get(id)

    def keep(self, wanted: set[str]) -> None:
        """Forget all others, but those on disk: while a search goes through what it did before, these may yet win."""
        self._gone = (self._gone | self._wanted | self._saved) - wanted
        self._wanted = set(wanted)
        self._held = {id: value for id, value in self._held.items() if id in wanted}

    def save(self) -> None:
        """Bring the disk up to what is kept."""
        for id in self._held.keys() - self._saved:
            if is_latent(self._held[id]) and all(isinstance(x, torch.Tensor) for x in self._held[id].values()):
                content = {name: x.detach().cpu().contiguous() for name, x in self._held[id].items()}
                self._memory.latents.put(0, id, safetensors.torch.save(content))
            self._saved.add(id)
        self._memory.latents.drop((0, id) for id in self._gone)
        self._saved &= self._wanted
        self._gone.clear()

    def best(self, id: str) -> None:
        """Remember the best so far beyond this run."""
        if self._held.get(id) is not None:
            RECENT[self._key] = (id, self._held[id])
            RECENT.move_to_end(self._key)
        while len(RECENT) > RECENT_LOOPS:
            RECENT.popitem(last=False)


class LoopRun(Run):
    """The run of a loop: `latents` are its Values."""

    def kept(self, lane: int = 0) -> list[Line]:
        return [line for line in self.account.ranked(lane) if self.latents.get(line.recipe.id) is not None]

    def latent(self, lane: int, line: Line) -> torch.Tensor:
        """[B, ...]"""
        value = self._value(line)
        if not is_latent(value):
            raise SearchError(
                "The loop's value is no LATENT: connect the sampler's LATENT to the value of Search Loop End to get "
                "latents."
            )
        return value["samples"]

    def images(self, lane: int, lines: list[Line]) -> torch.Tensor:
        """[n, H, W, 3] in 0-1: the first image of each value."""
        values = [self._value(line) for line in lines]
        if not values or not all(map(is_image, values)):
            raise SearchError(
                "The loop's value is no IMAGE, so that there are no pictures: connect an IMAGE to the value of Search "
                "Loop End to see them."
            )
        if len({value.shape[1:3] for value in values}) > 1:
            raise SearchError("The loop's pictures differ in size, so that they cannot be shown together.")
        return torch.cat([value[:1, ..., :3] for value in values])

    def _value(self, line: Line) -> object:
        value = self.latents.get(line.recipe.id)
        if value is None:
            raise SearchError(
                "The loop kept no value of this candidate: connect something to the value of Search Loop End, and "
                "raise its `keep`."
            )
        return value


def is_latent(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("samples"), torch.Tensor)


def is_image(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 4 and value.shape[-1] in (3, 4)
