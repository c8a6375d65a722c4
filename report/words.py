"""How reports write numbers, measures, and where a noise came from."""

from __future__ import annotations

import math

from ..search.account import Account, Line
from ..search.recipe import Recipe


def number(x: float) -> str:
    """Four digits that matter; a dash where there is no number."""
    if math.isnan(x):
        return "–"
    return f"{x:,.0f}" if 1e4 <= abs(x) < math.inf else f"{x:.4g}"


def count(n: int, thing: str) -> str:
    return f"{n:,} {thing}" + ("" if n == 1 else "s")


def headings(account: Account) -> list[str]:
    """The measures' names; those that the search did not read are marked."""
    return [n if searched else f"{n} (watched)" for n, searched in zip(account.measures, account.searched, strict=True)]


def origin(account: Account, recipe: Recipe) -> str:
    """Where a candidate comes from: the seed that a plain sampler can be given, or what stands between."""
    if recipe.moves:
        return f"path from {origin(account, recipe.noise)}"
    if recipe.draw == "seed":
        return f"seed {recipe.seed}"
    if recipe.draw == "given":
        return "given noise"
    steps, elder = 0, recipe
    while elder.parent in account.lineage:
        steps, elder = steps + 1, account.lineage[elder.parent]
    times = f" ×{steps}" if steps > 1 else ""
    return f"{recipe.draw}{times} of {origin(account, elder) if steps else elder.parent}"


def of_batch(account: Account, lane: int) -> str:
    """Which image of the latent batch; empty where there is only one."""
    return f"image {lane + 1} of {len(account.lanes)}" if len(account.lanes) > 1 else ""


def left_out(account: Account, lane: int = 0) -> list[tuple[int, Line, str]]:
    """The candidates that took no part: each one's place in the order of evaluation, from 0, itself, and why."""
    lines = enumerate(account.lanes[lane])
    return [(n, line, line.excluded or "the rule gave no value") for n, line in lines if math.isnan(line.value)]


def warning(account: Account, lane: int = 0) -> str:
    """A sentence where the search gained on what it read and a watched measure got worse; or ""."""
    plain, ranked = account.plain(lane), account.ranked(lane)
    if not ranked or not ranked[0].value > plain.value:
        return ""
    winner = ranked[0]
    signs = account.signs or [1] * len(account.measures)
    fell = [
        f"{name} (watched) {'fell' if b < a else 'rose'} from {number(a)} to {number(b)}"
        for name, searched, sign, a, b in zip(account.measures, account.searched, signs, plain.row, winner.row)
        if not searched and sign * b < sign * a
    ]
    if not fell:
        return ""
    rose = f"the searched value rose from {number(plain.value)} to {number(winner.value)}"
    return f"From the plain image to the winner {rose}, but {' and '.join(fell)}: compare the two images by eye."
