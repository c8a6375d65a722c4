"""What the family is compared on: small worlds with known rewards, and Shapes World.

A problem says what is searched and what is only watched. Rewards read the whitened coefficients of the image,
through a projection to few numbers with mean 0 and deviation 1 over plain samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..demo import world as shapes
from ..demo.evaluator import WorldEvaluator, WorldTrajectory
from ..demo.scenes import held_out_prompts
from ..demo.verifiers import ShapesOracle, ShapesVerifier
from ..search import NoiseSpace
from ..search.space import seeded_noise
from ..verifiers import Verifier, watch
from . import mixture
from .mixture import EVERYTHING, HIGH, LOW, Mixture, band

STEPS = 16
CFG = 1.0  # half of the usual price: this is about which search finds more
APART = 2**20  # between the seeds of two searches: torch reads their lower 32 bits alone
Numbers = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Problem:
    """A world and what is wanted of it.

    says      one clause for the reader
    verifier  column 0 is searched, column 1 only watched
    optimum   the highest score that an image can have; None where it is not known
    """

    name: str
    says: str
    world: object
    latent: tuple[int, ...]
    verifier: Verifier
    optimum: float | None = None
    steps: int = STEPS
    prompts: Sequence[str] = ("",)

    def evaluator(self, seed: int) -> WorldEvaluator:
        """For the search of this number: its own noise, and its own prompt where there are prompts."""
        first = seed * APART
        space = NoiseSpace(seeded_noise(torch.zeros(1, *self.latent), first), first)
        prompt = self.prompts[seed % len(self.prompts)]
        return WorldEvaluator(self.world, space, prompt, self.verifier, steps=self.steps, cfg=CFG)

    def trajectory(self, prompt: str) -> WorldTrajectory:
        return WorldTrajectory(self.world, [prompt], self.steps, CFG)


class Reward:
    """A measure by a formula.

    value  images [n,4,16,16] -> [n]
    """

    reads, sign = "images", 1

    def __init__(self, name: str, value: Numbers):
        self.name, self.key, self.notes, self.value = name, name, [], value

    def modules(self) -> Sequence[torch.nn.Module]:
        return []

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        return self.value(images)


def projection(world: Mixture, count: int, seed: int, limits: tuple[int, int] = EVERYTHING) -> Numbers:
    """images -> [n, count]: orthonormal directions, brought to mean 0 and deviation 1 over the mixture. They are those
    in which the clusters differ, or random ones of a band where there is but one. Of clusters N(μ_k, I) a unit
    direction u sees the mean of u·μ_k and the variance 1 + Var(u·μ_k)."""
    dice = torch.Generator().manual_seed(seed)
    means = world.means.flatten(1)
    if len(means) > 1:
        drawn = means.T @ torch.randn(len(means), count, generator=dice).double()
    else:
        drawn = torch.randn(means.shape[1], count, generator=dice).double() * band(limits).flatten()[:, None]
    directions = torch.linalg.qr(drawn).Q
    centres = means @ directions
    spread = (1 + centres.var(0, correction=0)).sqrt()
    return lambda images: (world.whitened(images).flatten(1) @ directions - centres.mean(0)) / spread


def analytic() -> list[Problem]:
    """The problems without a network."""
    gaussian, (two, side) = mixture.one_cluster(), _two_sides()
    layouts, textures = mixture.clusters(16, LOW), mixture.clusters(16, HIGH)
    line, coarse, pair = projection(gaussian, 1, 1), projection(gaussian, 1, 2, (0, 2)), projection(gaussian, 2, 6, LOW)
    layout, texture, judged = projection(layouts, 1, 3), projection(textures, 1, 4), projection(layouts, 1, 7)
    six, noisy = peaks(projection(layouts, 4, 5)), mixture.clusters(16, LOW, flow=False)
    both = projection(gaussian, 1, 9, LOW), projection(gaussian, 1, 10, HIGH)
    twelve = projection(gaussian, 12, 11, LOW)
    return [
        _problem("linear", "one direction of the image, of all frequencies", gaussian, first(line)),
        _problem("low frequency", "one direction of the layout, 16 clusters", layouts, first(layout)),
        _problem("high frequency", "one direction of the texture, 16 clusters", textures, first(texture)),
        _problem("multimodal", "the nearest of six peaks of unequal height", layouts, six, 1.0),
        _problem("quantised", "a judge's whole numbers, 0 to 10", layouts, whole(judged), 10.0, marks(judged)),
        _problem("deceptive", "undecided previews look best and end worst", two, deceptive(side), 1.0),
        _problem("predictable", "one direction of 16 coarse numbers, linear in the noise", gaussian, first(coarse)),
        _problem("unpredictable", "uncorrelated with any number of the noise", gaussian, waves(pair), 1.0),
        _problem("ε model", "as low frequency, under an ε model and the steps of Karras et al.", noisy, first(layout)),
        _problem("balanced", "the lesser of one number of the layout and one of the texture", gaussian, lesser(*both)),
        _problem("checklist", "how many of twelve questions are answered with yes", gaussian, yes(twelve), 12.0),
    ]


def shapes_world(prompts: int) -> Problem:
    """Shapes World at cfg 1, searched by its trained verifier and watched by its oracle."""
    verifier = watch(Verifier.of(ShapesVerifier()), Verifier.of(ShapesOracle()))
    texts = [prompt.text() for prompt in held_out_prompts(prompts)]
    says = "a trained model, searched by its verifier"
    return Problem("Shapes World", says, shapes.load_world(), shapes.LATENT, verifier, 1.0, shapes.STEPS, texts)


def _problem(name: str, says: str, world: Mixture, value: Numbers, optimum: float | None = None, truth=None) -> Problem:
    searched, watched = Reward(name, value), Reward(f"truth of {name}", truth or value)
    verifier = watch(Verifier.of(searched), Verifier.of(watched))
    return Problem(name, says, world, mixture.LATENT, verifier, optimum)


def first(numbers: Numbers) -> Numbers:
    return lambda images: numbers(images)[:, 0]


def marks(line: Numbers) -> Numbers:
    """0 to 10, S-shaped; a plain image has 3."""
    return lambda images: 10 * torch.special.ndtr((line(images)[:, 0] - 1) / 2)


def whole(line: Numbers) -> Numbers:
    return lambda images: marks(line)(images).round()


def peaks(plane: Numbers, count: int = 6, width: float = 1.0) -> Numbers:
    """max_j h_j·exp(−‖p − c_j‖² / 2w²), heights from 1 down to 0.5; the highest is the farthest out."""
    centres = torch.randn(count, 4, generator=torch.Generator().manual_seed(8)).double()
    radii = torch.linspace(2.5, 0.5, count).double()[:, None]
    centres = radii * centres / centres.norm(dim=1, keepdim=True)
    heights = torch.linspace(1, 0.5, count).double()
    return lambda x: (heights * (-(torch.cdist(plane(x), centres) ** 2) / (2 * width**2)).exp()).max(1).values


def lesser(*lines: Numbers) -> Numbers:
    return lambda images: torch.cat([line(images) for line in lines], 1).min(1).values


def yes(numbers: Numbers) -> Numbers:
    """Whole; a question has three noes to a yes among plain images."""
    return lambda images: (numbers(images) > 0.6745).sum(1).double()


def waves(pair: Numbers) -> Numbers:
    """sin 2p · sin 2q: even in the noise, so that no linear model of it sees anything."""
    return lambda x: (2 * pair(x)).sin().prod(1)


def _two_sides() -> tuple[Mixture, Numbers]:
    """Two clusters at ±8 along one direction of the texture; images -> [n], where they stand along it."""
    direction = band(HIGH) / band(HIGH).norm()
    world = Mixture(torch.stack([-8 * direction, 8 * direction]))
    return world, lambda images: (world.whitened(images) * direction).flatten(1).sum(1)


def deceptive(side: Numbers) -> Numbers:
    """1 halfway between the clusters, where undecided previews are and images never; 0 at ±5, the clusters' inner edge,
    where those previews end; and rising again to 1 at ±12, their outer edge."""

    def value(x: torch.Tensor) -> torch.Tensor:
        p = side(x).abs()
        return torch.where(p < 5, 1 - p / 5, ((p - 5) / 7).clamp_max(1) ** 2)

    return value
