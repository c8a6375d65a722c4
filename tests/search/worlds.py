"""A world whose truth is known: flow matching on a Gaussian mixture, with the exact denoiser.

    space = NoiseSpace(noise, seed)
    world = World(space, reward=brightness, steps=6)
    outcome = run(search, world, space, archive_of(brightness), Options())
    world.counted        # rows that went through the denoiser

x_σ = (1 − σ) x0 + σ ε with x0 ~ Σ_k N(μ_k, s² I) / K. Whole samplings and moves along the path share the four
verbs of `Flow`, so that every evaluation is counted in one place.
"""

import hashlib
import math
from itertools import groupby, pairwise

import torch

from noise_search.search import Archive, Result
from noise_search.search.places import at, descent, steps_between
from noise_search.search.trajectory import Path, end_of, kind_of

SHAPE = (1, 2, 2)


class Mixture:
    """E[x0 | x_σ] of the mixture, in closed form; `rows` counts what went through."""

    def __init__(self, means: torch.Tensor, spread: float):
        self.means, self.spread, self.rows = means.double(), spread, 0

    def __call__(self, x: torch.Tensor, σ: float) -> torch.Tensor:
        self.rows += len(x)
        a, v = 1 - σ, (1 - σ) ** 2 * self.spread**2 + σ**2
        away = x[:, None] - a * self.means  # [n, K, ...]
        weight = (-(away**2).flatten(2).sum(2) / (2 * v)).softmax(1)
        each = self.means + a * self.spread**2 / v * away
        return (weight.view(*weight.shape, *[1] * (x.ndim - 1)) * each).sum(1)


class Flow:
    """The four verbs: Euler in σ, the flow's forward kernel, x̂0."""

    def __init__(self, denoise: Mixture, sigmas: list[float]):
        self.denoise, self.sigmas = denoise, sigmas

    def start(self, noises):
        return noises.double()

    def advance(self, states, i, j, recipes):
        assert len(recipes) == len(states)
        for σ, lower in pairwise([at(self.sigmas, place) for place in descent(i, j)]):
            states = states + (states - self.denoise(states, σ)) / σ * (lower - σ)
        return states

    def renoise(self, states, i, j, noises):
        low, high = at(self.sigmas, i), at(self.sigmas, j)
        a = (1 - high) / (1 - low)
        return a * states + math.sqrt(high**2 - a**2 * low**2) * noises.double()

    def preview(self, states, i, recipes=()):
        return self.denoise(states, at(self.sigmas, i)) if i < len(self.sigmas) - 1 else states


class Interrupted(Exception):
    """What a person's cancel raises in the middle of a run."""


class World:
    """The Evaluator over a Flow.

    reward     reward(latent [...], lane, recipe) -> raw row
    batches    how many slots the n-th batch takes together
    whole      whether it knows the cost of a full sampling before the first
    stop_after raise Interrupted when this many slots have been scored
    shelf      where an earlier run left its states
    """

    def __init__(
        self, space, reward, steps=6, batches=lambda n: 4, whole=True, stop_after=math.inf, spread=0.3, shelf=None
    ):
        self.space, self.reward, self.steps, self.batches = space, reward, steps, batches
        self.stop_after, self.scored, self.path, self.latents = stop_after, [], Path(shelf), {}
        self.whole = steps if whole else None
        means = torch.stack([torch.full(space.given.shape[1:], float(m)) for m in (-1, 1)])
        self.flow = Flow(Mixture(means, spread), straight(steps))
        self.noise = self.flow.sigmas
        self.most_held = self._batch = 0

    @property
    def counted(self) -> int:
        return self.flow.denoise.rows

    def path_cost(self, i, j):
        return steps_between(i, j)

    def cost(self, slots):
        paths = [slot for slot in slots if slot[0].moves]
        along = self.path.cost(paths, self.noise, self.path_cost)
        return (along + (len(slots) - len(paths)) * self.steps) * self.space.rows

    def evaluate(self, slots, enough):
        done = 0
        for _, alike in groupby(slots, lambda slot: kind_of(slot[0])):
            alike = list(alike)
            while alike:
                if done and enough():
                    return
                size = max(1, self.batches(self._batch))
                self._batch += 1
                together, alike = alike[:size], alike[size:]
                yield from self._score(together)
                done += len(together)

    def keep(self, finished, alive):
        self.path.keep(alive)
        wanted = {(lane, recipe.id) for lane, recipes in enumerate(finished) for recipe in recipes}
        self.latents = {place: latent for place, latent in self.latents.items() if place in wanted}

    def leave(self, alive):
        self.path.leave(alive)

    def _score(self, slots):
        if slots[0][0].moves:
            costs = self.path.costs(slots, self.noise, self.path_cost)
            self.path.solve(self.flow, self.space, slots, len(slots))
            finals = self.flow.preview(self.path.gather(slots), end_of(slots[0][0]))
        else:
            costs = [self.steps] * len(slots)
            noises = torch.cat([self.space.rows_of(slot) for slot in slots])
            recipes = [recipe for slot in slots for recipe in slot]
            finals = self.flow.advance(self.flow.start(noises), 0, self.steps, recipes)
            self.whole = self.steps
        for slot, cost, rows in zip(slots, costs, finals.split(self.space.rows)):
            if len(self.scored) >= self.stop_after:
                raise Interrupted
            self.scored.append([recipe.id for recipe in slot])
            results = []
            for lane, (recipe, latent) in enumerate(zip(slot, rows)):
                self.latents[lane, recipe.id] = latent.clone()
                results.append(Result(tuple(self.reward(latent, lane, recipe)), cost, 0.001))
            yield results
        self.most_held = max(self.most_held, len(self.latents) + len(self.path.states))


def brightness(latent, lane, recipe):
    """One measure: the mean. Rounded, so that another batch size cannot turn a last digit into a tie."""
    return (round(latent.mean().item(), 9),)


def two_measures(latent, lane, recipe):
    """The mean, and how far from flat."""
    return (round(latent.mean().item(), 9), round(latent.std().item(), 9))


def scripted(scores, measures=1):
    """Any scores at all, chosen by the candidate's content."""

    def reward(latent, lane, recipe):
        digest = hashlib.sha256(f"{lane} {recipe.id}".encode()).digest()
        return [scores[digest[m] % len(scores)] for m in range(measures)]

    return reward


def straight(steps):
    """The noise's share at each step of a flow from 1 to 0."""
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64).tolist()


def first(rows):
    return rows[:, 0]


def archive_of(rule=first, signs=(1,)):
    return lambda: Archive(rule, signs)


def given_noise(rows=1, seed=11, shape=SHAPE):
    return torch.randn((rows, *shape), generator=torch.Generator("cpu").manual_seed(seed))
