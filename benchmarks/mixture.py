"""A world whose truth is known: a Gaussian mixture with its exact denoiser, as a flow or an ε model, and no network.

    world = clusters(16, LOW)
    x0 = world.denoise(x, 0.5, world.encode([""]))      # E[x0 | x_σ] at σ = 0.5

It stands in for `demo.world.World`, so that the demo's evaluator and its four verbs search it. Latents are
[B,4,16,16]; x_σ = s·x0 + σ·ε with x0 ~ Σ_k N(μ_k, Λ) / K, where s is 1 − σ of a flow and 1 of an ε model. Λ is
diagonal in a cosine basis and falls with frequency, as the spectra of images do. A latent is its own image.
"""

from __future__ import annotations

import math

import torch

CHANNELS, SIDE = 4, 16
LATENT = (CHANNELS, SIDE, SIDE)
LOW, HIGH, EVERYTHING = (0, 4), (6, 16), (0, 32)
"""Bands of frequencies, from the first to below the second: layout, texture, all."""
HIGHEST, LOWEST, RHO = 14.6146, 0.0291675, 7.0  # σ of an ε model, those of Stable Diffusion 1.5; ρ of Karras et al.


class Mixture:
    """The exact denoiser of a mixture.

    means  [K,4,16,16] μ_k, in standard deviations of each cosine coefficient
    flow   or else an ε model
    """

    def __init__(self, means: torch.Tensor, flow: bool = True):
        self.means, self.flow = means.double(), flow
        self._cosines = cosines(SIDE)
        self.deviations = deviations()
        self._levels: dict[float, tuple] = {}  # of noise, as a schedule has them

    def coefficients(self, x: torch.Tensor) -> torch.Tensor:
        """[..., 16, 16] of x [..., 16, 16], float64."""
        return self._cosines @ x.double() @ self._cosines.T

    def whitened(self, x0: torch.Tensor) -> torch.Tensor:
        """Coefficients in their standard deviations: N(μ_k, I) within a cluster."""
        return self.coefficients(x0) / self.deviations

    def image(self, whitened: torch.Tensor) -> torch.Tensor:
        """The latents [..., 16, 16] with these whitened coefficients."""
        return self._cosines.T @ (whitened.double() * self.deviations) @ self._cosines

    def denoise(self, x: torch.Tensor, sigma, cond=None, cfg: float = 1.0) -> torch.Tensor:
        """E[x0 | x_σ = x], [B,4,16,16]; neither the prompt nor its guidance changes it."""
        σ = float(sigma)
        if σ not in self._levels:
            self._levels[σ] = self._at(σ)
        slopes, offsets, shrink, μ, a = self._levels[σ]
        c = self.coefficients(x)
        share = (c.flatten(1) @ slopes - offsets).softmax(1)  # of each cluster in p(k | x)
        nearest = (share @ μ).view_as(c)
        mean = nearest + shrink * (c - a * nearest)
        return (self._cosines.T @ mean @ self._cosines).to(x.dtype)

    def _at(self, σ: float) -> tuple:
        """What denoising at one level needs. Within cluster k, x_σ ~ N(aμ_k, v) with v = a²λ + σ²; its log density
        at c is c·slope_k − offset_k and what all clusters share; x0's mean there is μ_k + aλ/v·(c − aμ_k)."""
        a, λ = self.signal(σ), self.deviations**2
        v = a**2 * λ + σ**2
        μ = (self.means * self.deviations).flatten(1)
        slopes = (a * μ / v.expand(LATENT).flatten()).T
        offsets = a * (μ * slopes.T).sum(1) / 2
        return slopes, offsets, a * λ / v, μ, a

    def schedule(self, steps: int) -> torch.Tensor:
        """[steps+1] falling sigmas: of a flow from 1 to 0 in equal steps; of an ε model those of Karras et al. 2022
        (arXiv 2206.00364, eq. 5), and 0."""
        if self.flow:
            return torch.linspace(1, 0, steps + 1)
        roots = torch.linspace(HIGHEST ** (1 / RHO), LOWEST ** (1 / RHO), steps)
        return torch.cat([roots**RHO, torch.zeros(1)])

    def signal(self, sigma):
        """s, the image's share at a noise level."""
        return 1 - sigma if self.flow else 1 + 0 * sigma  # of sigma's shape

    def encode(self, prompts) -> torch.Tensor:
        """There is nothing to say to it."""
        return torch.zeros(len(prompts), 1, 1)

    def decode(self, x0: torch.Tensor) -> torch.Tensor:
        return x0


def cosines(n: int) -> torch.Tensor:
    """[n,n] the orthonormal cosine basis, a row a frequency (DCT-II)."""
    place, frequency = torch.arange(n).double(), torch.arange(n).double()[:, None]
    basis = torch.cos(math.pi / n * (place + 0.5) * frequency) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis


def frequencies() -> torch.Tensor:
    """[16,16] of each coefficient, 0 to 21."""
    line = torch.arange(SIDE).double()
    return (line[:, None] ** 2 + line**2).sqrt()


def deviations() -> torch.Tensor:
    """[16,16] of each coefficient: they fall as 1 / (1 + frequency), and a latent's mean variance is 1."""
    falling = 1 / (1 + frequencies())
    return falling / falling.square().mean().sqrt()


def band(limits: tuple[int, int]) -> torch.Tensor:
    """[4,16,16] 1 at the coefficients of these frequencies, else 0."""
    low, high = limits
    inside = (frequencies() >= low) & (frequencies() < high)
    return inside.double().expand(LATENT)


def one_cluster() -> Mixture:
    """A plain Gaussian: every number of the image is linear in the noise."""
    return Mixture(torch.zeros(1, *LATENT))


def clusters(count: int, limits: tuple[int, int], apart: float = 8.0, flow: bool = True) -> Mixture:
    """Clusters that differ in one band of frequencies, each `apart` standard deviations from the middle."""
    drawn = torch.randn(count, *LATENT, generator=torch.Generator().manual_seed(count)).double() * band(limits)
    return Mixture(apart * drawn / drawn.flatten(1).norm(dim=1).view(-1, 1, 1, 1), flow)
