"""The latents of one search that are kept: in memory, and on disk where the search has a history."""

from __future__ import annotations

import safetensors.torch
import torch

from ...search.history import SearchMemory


class Latents:
    """(lane, recipe id) -> the sampler's latent and its last x̂0, each [1, ...]."""

    def __init__(self, memory: SearchMemory | None = None):
        self._held: dict[tuple[int, str], dict[str, torch.Tensor]] = {}
        self._memory = memory
        self._saved: set[tuple[int, str]] = set()
        self._wanted: set[tuple[int, str]] = set()  # as `keep` last said

    def put(self, lane: int, id: str, latent: torch.Tensor, x0: torch.Tensor) -> None:
        self._held[lane, id] = {"latent": latent.clone(), "x0": x0.clone()}

    def get(self, lane: int, id: str) -> dict[str, torch.Tensor] | None:
        """{"latent", "x0"}, or None where it was not kept."""
        if (lane, id) not in self._held and self._memory is not None:
            content = self._memory.latents.get(lane, id)
            if content is not None:
                self._held[lane, id] = safetensors.torch.load(content)
        return self._held.get((lane, id))

    def keep(self, wanted: set[tuple[int, str]]) -> None:
        """Forget all others. What is kept is saved, so that a later run need not sample it again. On disk may also
        be latents of candidates that this run has not come to yet, or never will with its budget: they stay."""
        self._held = {place: pair for place, pair in self._held.items() if place in wanted}
        self.save()
        gone, self._wanted = (self._wanted | self._saved) - wanted, set(wanted)
        if self._memory is not None and gone:
            self._memory.latents.drop(gone)
        self._saved &= wanted

    def save(self) -> None:
        """Write what is held and not yet on disk."""
        if self._memory is None:
            return
        for (lane, id), pair in self._held.items():
            if (lane, id) not in self._saved:
                content = safetensors.torch.save({name: t.contiguous() for name, t in pair.items()})
                self._memory.latents.put(lane, id, content)
                self._saved.add((lane, id))
