"""The variance-preserving SDE of rollover budget forcing (arXiv 2503.19385), for models of any family.

    y = α·x0 + σ·ε,  α = e^{−T/2},  σ = √(1 − e^{−T}),  T(t) = ½t²(20 − 0.1) + 0.1t,  0 ≤ t ≤ 1

A flow model is asked at x = y / (α + σ), whose share of noise is σ / (α + σ), a model of x0 + σ·ε at y / α: both solve
the same curve in another scale. So no state needs to be converted, only its level of noise, to t and back.
"""

from __future__ import annotations

import math
from collections.abc import Callable

LOW, HIGH = 0.1, 20.0  # dT/dt at t = 0 and at t = 1


def integral(t: float) -> float:
    """T(t)."""
    return t**2 * (HIGH - LOW) / 2 + LOW * t


def integral_at(share: float) -> float:
    """T where this share of a state is noise: ν = share / (1 − share) = σ / α, T = ln(1 + ν²); inf for noise alone."""
    return math.log1p((share / (1 - share)) ** 2) if share < 1 else math.inf


def share_at(T: float) -> float:
    """The noise's share σ / (α + σ)."""
    α, σ = math.exp(-T / 2), math.sqrt(-math.expm1(-T))
    return σ / (α + σ)


def time_of(share: float) -> float:
    """t, from 0 to 1: T(t) solved for t. More noise than there is at t = 1 counts as t = 1."""
    T = min(integral_at(share), integral(1))
    return (math.sqrt(LOW**2 + 2 * (HIGH - LOW) * T) - LOW) / (HIGH - LOW)


def published(t: float) -> float:
    """∫₀ᵗ g² of the published diffusion coefficient, g = 3t²."""
    return 9 * t**5 / 5


def diffused(share: float, below: float, diffusion: Callable[[float], float]) -> float:
    """∫ g² over the way down between two shares of noise.

    diffusion  t -> ∫₀ᵗ g²: `published`, or `integral` for g² = dT/dt, that of the variance-preserving process itself
    """
    return diffusion(time_of(share)) - diffusion(time_of(below))


def raised(share: float, below: float, diffusion: Callable[[float], float]) -> float:
    """The share of noise up to which a state is raised, to be solved down to `below` by the ODE, in the SDE's place.

    With diffusion g the SDE adds noise of variance g²dt in y all along, and its drift takes it away again. In T that is
    dν² = g²dt/α² = e^T g²dt, so dT = g²dt. All of it at once, on top:

        T_up = T(t) + ∫ g² dt  from the leg's end to its beginning

    For Gaussian data of variance 1, for which the scale is made, a state and where the SDE takes it are then related
    exactly as a state and its raised and solved one, e^{−½∫g²} in correlation. For other data to first order in the
    leg. Whatever the data and g, raising and solving keep the model's own distribution.
    """
    return share_at(integral_at(share) + diffused(share, below, diffusion))
