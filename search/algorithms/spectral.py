"""Spectral evolution, SES (arXiv 2602.03208): the cross-entropy method on the noise's lowest Haar band."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..candidates.spectral import coefficients
from ..lane import Lane
from ..recipe import Recipe, SearchError, keyed_seed
from .rounds import Plan, Rounds
from .stops import check_steps, stop_at


@dataclass(frozen=True)
class SpectralSearch:
    """Fit a Gaussian to the low bands of the best, draw the next low bands from it; finer bands stay.

    population  candidates of a generation: 10
    elites      the best of all so far that the Gaussian is fitted to: 5
    levels      of the wavelet: 4, that is blocks of 16 × 16 latent pixels
    preview     share of the steps after which candidates are scored on x̂0. The paper samples them whole in few
                steps (8 to 15); here the best of each generation goes on from its state and is finished.

    The finer bands are those of the best candidate before, or else of candidate 0, which is sampled whole first.
    Population, elites and levels are the paper's. Each low band is brought to the norm of a Gaussian one.
    """

    population: int = 10
    elites: int = 5
    levels: int = 4
    preview: float = 0.15
    name = "Spectral Search"
    path = True

    def __post_init__(self):
        for name in ("population", "elites"):
            if getattr(self, name) < 1:
                raise SearchError(f"Spectral Search: {name} is {getattr(self, name)}; it must be at least 1.")
        if not 1 <= self.levels <= 12:
            raise SearchError(f"Spectral Search: levels is {self.levels}; it must be from 1 to 12.")
        if not 0 < self.preview < 1:
            raise SearchError(f"Spectral Search: preview is {self.preview}; it is a share from 0 to 1.")

    def stop(self, steps: int) -> int:
        check_steps(self.name, steps)
        return stop_at(self.preview, steps)

    def least(self, lane: Lane) -> int:
        """Evaluations per row of one generation."""
        stop = self.stop(lane.steps)
        finish = lane.path_cost(stop, lane.steps) + lane.look_cost(lane.steps)
        return self.population * (lane.path_cost(0, stop) + 1) + finish

    def start(self, lane: Lane) -> Rounds:
        return Rounds(self._plan(lane), lane)

    def _plan(self, lane: Lane) -> Plan:
        best, space, stop = lane.archive.best(), lane.space, self.stop(lane.steps)
        base = space.add(best.recipe.noise) if best else space.base
        if base not in lane.archive and not best:
            yield [base]
        size = 2**self.levels
        low = coefficients(space.draw(base), size)[lane.row]
        seen: list[Recipe] = []
        number = sum(entry.recipe.draw == "spectral" for entry in lane.archive.entries)
        while lane.affords(self.least(lane)):
            elites = [entry.recipe for entry in lane.archive.ranked(seen)[: self.elites]]
            mean, spread = torch.zeros_like(low), torch.ones_like(low)  # μ = 0, σ² = 1
            if len(elites) > 1:
                bands = torch.stack([coefficients(space.draw(r.noise), size)[lane.row] for r in elites])
                mean, spread = bands.mean(0), (bands.var(0, correction=0) + 1e-7).sqrt()
            settings = (("levels", self.levels), ("gaussian", space.store(torch.stack([mean, spread]).float())))
            states = []
            for k in range(self.population):
                seed = keyed_seed("spectral", space.seed, number + k)
                noise = space.add(Recipe("spectral", seed, base.id, settings))
                states.append(noise.then(("advance", 0, stop)))
            number += self.population
            yield states
            seen += states
            ranked = [entry.recipe for entry in lane.archive.ranked(states)[:1]]
            yield [state.then(("advance", stop, lane.steps)) for state in ranked]
