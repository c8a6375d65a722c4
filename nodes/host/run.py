"""NS_RUN: the handle that results read. It fills while a sampler runs."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ...search import Account, SearchError
from ...search.account import Line
from . import context
from .content_key import graph_key
from .histories import account_of, memory_of
from .latents import Latents
from .noise import RecipeNoise
from .scorer import decode


@dataclass
class Run:
    """One search of one sampler call."""

    account: Account
    noise: Callable[[], RecipeNoise]
    latents: Latents
    vae: object | None

    def kept(self, lane: int = 0) -> list[Line]:
        """Finished candidates whose latent is held, best first."""
        return [line for line in self.account.ranked(lane) if self.latents.get(lane, line.recipe.id)]

    def latent(self, lane: int, line: Line) -> torch.Tensor:
        """[1, ...]"""
        held = self.latents.get(lane, line.recipe.id)
        if held is None:
            raise SearchError(
                f"The latent of candidate {line.recipe.id} was not kept; raise `keep` on the search block."
            )
        return held["latent"]

    def images(self, lane: int, lines: list[Line]) -> torch.Tensor:
        """[n, H, W, 3] in 0-1; the middle frame of a video."""
        if self.vae is None:
            raise SearchError("The search block had no VAE, so that there are no images: connect one to its vae input.")
        images = decode(self.vae, torch.cat([self.latent(lane, line) for line in lines]))
        return images if images.ndim == 4 else images[:, images.shape[1] // 2]

    def winner(self) -> RecipeNoise:
        """The winners' initial noises, row b from search b, with their recipes."""
        return self.noise()


class RunHandle:
    """The runs that one search block made, by the sampler node that made them, oldest first.

    needs_after  the sampler is another node than the search block: results must be told to wait for it
    vae          the block's, for runs that are read back
    """

    def __init__(self, needs_after: bool, vae=None):
        self.needs_after, self.vae = needs_after, vae
        self.runs: OrderedDict[object, Run] = OrderedDict()
        self.passed_by = ""  # why a sampler ran without a search

    def add(self, place: object, run: Run) -> None:
        self.runs.pop(place, None)
        self.runs[place] = run

    def choose(self, after: object, which: int = 0) -> Run:
        """`which`: 0 is the last run, 1 the first, 2 the second, ..."""
        if self.needs_after and after is None:
            raise SearchError(
                "This result would be read before the sampler runs: connect its `after` input to the sampler's "
                "LATENT, or to the IMAGE decoded from it."
            )
        if not self.runs and not self.passed_by:
            self._read_back()
        if not self.runs:
            raise SearchError(self.passed_by or "No search has run yet: no sampler used the searched MODEL.")
        if not 0 <= which <= len(self.runs):
            raise SearchError(f"`which` is {which}, but there are {len(self.runs)} runs: 0 is the last, 1 the first.")
        return list(self.runs.values())[which - 1]

    def _read_back(self) -> None:
        """Runs of the samplers that feed the result now executing: the sampler's output came from ComfyUI's
        cache while this handle was made anew, so that no sampler filled it."""
        now = context.running()
        if now is None:
            return
        for id in sorted(context.upstream(now, now.node_id), key=lambda id: (len(id), id)):
            written = account_of(graph_key(now, id))
            if written is not None:
                self.add((id, 0), _read(json.loads(written), self.vae))


def write(run: Run, now: context.Running, key: str) -> None:
    """Keep the account of a run under the graph that made it, for handles that lost it."""
    content = {"account": run.account.to_json(), "noise": run.winner().to_metadata(), "key": key}
    memory_of(graph_key(now, now.node_id)).put_run(json.dumps(content))


def _read(content: dict, vae) -> Run:
    def noise() -> RecipeNoise:
        return RecipeNoise.from_metadata(content["noise"])

    return Run(Account.from_json(content["account"]), noise, Latents(memory_of(content["key"])), vae)
