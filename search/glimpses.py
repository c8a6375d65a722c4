"""x̂0 at chosen noise levels, caught while a sampling passes them: what it took the finished image to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from .places import Place
from .recipe import Recipe, SearchError
from .trajectory import States, Trajectory


class Glimpses:
    """For each level the x̂0 of the last step that was not below its sigma.

    sigmas  level -> the sigma of the step to look at, as `steps_at` finds it

    Holds one x̂0 for each level, whatever the number of steps.
    """

    def __init__(self, sigmas: Mapping[float, float]):
        self.sigmas = dict(sigmas)
        self.x0: dict[float, torch.Tensor] = {}

    def begin(self, x0: torch.Tensor) -> None:
        """What a sampling shows first counts until there is better: some look ahead before they show a step."""
        self.x0 = dict.fromkeys(self.sigmas, x0)

    def see(self, sigma: float, x0: torch.Tensor) -> None:
        """After each step: the sigma that the model was called at, and x̂0 [n·B, ...]."""
        for level, wanted in self.sigmas.items():
            if sigma >= wanted * (1 - 1e-5):
                self.x0[level] = x0


def steps_at(levels: Sequence[float], noise: Sequence[float], sigmas: Sequence[float]) -> dict[float, float]:
    """level -> the sigma of the step whose share of noise is nearest to it; of two as near, the later.

    noise, sigmas  of each step of a full sampling: the share of noise (0-1) in its state, and its sigma
    The last step is no choice: its x̂0 is the sample itself. Raises SearchError where it is the only one.
    """
    if not levels:
        return {}
    if len(sigmas) < 2:
        raise SearchError(
            "The verifier compares the image with what it was on the way, and a sampling of one step has no way: "
            "give the sampler at least 2 steps."
        )
    steps = range(len(sigmas) - 1)
    return {level: sigmas[min(steps, key=lambda k: (abs(noise[k] - level), -k))] for level in levels}


class Glimpsing:
    """A trajectory whose states carry the x̂0 seen on their way: [n·B, 1 + levels, ...], NaN where none was yet.

    The inner trajectory shows `glimpses` each of its steps. A descent from new noise replaces what the one
    before saw, so that a finished state carries what it was at the level, and not what its parent was.
    """

    def __init__(self, trajectory: Trajectory, glimpses: Glimpses):
        self._inner, self._glimpses = trajectory, glimpses

    def start(self, noises: torch.Tensor) -> States:
        states = self._inner.start(noises)
        return torch.stack([states, *[torch.full_like(states, torch.nan)] * len(self._glimpses.sigmas)], dim=1)

    def advance(self, states: States, i: Place, j: int, recipes: Sequence[Recipe]) -> States:
        self._glimpses.x0.clear()
        after = self._inner.advance(states[:, 0], i, j, recipes)
        carried = zip(self._glimpses.sigmas, states[:, 1:].unbind(1))
        seen = [self._glimpses.x0.get(level, x0).to(after) for level, x0 in carried]
        return torch.stack([after, *seen], dim=1)

    def renoise(self, states: States, i: Place, j: Place, noises: torch.Tensor) -> States:
        after = self._inner.renoise(states[:, 0], i, j, noises)
        return torch.cat([after[:, None], states[:, 1:].to(after)], dim=1)

    def preview(self, states: States, i: Place, recipes: Sequence[Recipe]) -> torch.Tensor:
        return self._inner.preview(states[:, 0], i, recipes)

    @staticmethod
    def sound(states: States) -> bool:
        """Whether they are finite, whatever was seen on their way."""
        return bool(states[:, 0].isfinite().all())

    def seen(self, states: States) -> dict[float, torch.Tensor]:
        """level -> x̂0 [n·B, ...]."""
        return dict(zip(self._glimpses.sigmas, states[:, 1:].unbind(1)))
