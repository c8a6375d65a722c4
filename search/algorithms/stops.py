"""Where a search stops between a sampler's steps."""

from __future__ import annotations

from collections.abc import Iterable

from ..recipe import SearchError


def check_steps(name: str, steps: int, what: str = "stop") -> None:
    """Raises SearchError where there is nothing between the steps."""
    if steps < 2:
        raise SearchError(
            f"{name} needs at least 2 sampling steps to {what} between, and the sampler takes {steps}: raise steps, or "
            "use Random Search."
        )


def stop_at(share: float, steps: int) -> int:
    """The sigma index nearest to a share of at least 2 steps, with one before it and one behind it."""
    return min(max(1, round(share * steps)), steps - 1)


def schedule(name: str, shares: Iterable[float], steps: int) -> list[int]:
    """Sigma indices of the stops at these shares of the steps, and the end."""
    check_steps(name, steps)
    return sorted({stop_at(share, steps) for share in shares}) + [steps]


def evenly(count: int) -> list[float]:
    """The shares that cut the steps into count + 1 equal parts."""
    return [n / (count + 1) for n in range(1, count + 1)]
