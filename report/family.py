"""Who came from whom in one search, read from the recipes; and where each stands when the family is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..search.account import Account, Line
from ..search.recipe import Recipe


@dataclass(eq=False)
class Member:
    """A candidate, or (`line` None) a state from which several candidates began and that was not scored itself."""

    line: Line | None = None
    parent: Member | None = None
    children: list[Member] = field(default_factory=list)

    @property
    def ancestry(self) -> list[Member]:
        """Itself, its parent, its parent's parent ..."""
        line = [self]
        while line[-1].parent:
            line.append(line[-1].parent)
        return line


def family(account: Account, lane: int = 0) -> list[Member]:
    """All members, parents before children; those without a parent are the founders.

    A candidate on the denoising path descends from the nearest state before it, every other one from the noise
    that its own was drawn from.
    """
    known: dict[str, Member] = {}
    for line in account.lanes[lane]:
        recipe, newest = line.recipe, known.setdefault(line.recipe.id, Member())
        newest.line = line
        while newest.parent is None and (elder := _before(account, recipe)) is not None:
            met = elder.id in known
            newest.parent = known.setdefault(elder.id, Member())
            if met:
                break
            recipe, newest = elder, newest.parent
    for member in list(known.values()):
        if member.parent:
            member.parent.children.append(member)
    return _ordered([_shortened(m) for m in known.values() if m.parent is None])


def _before(account: Account, recipe: Recipe) -> Recipe | None:
    """The state, or the noise, that it goes on from."""
    return replace(recipe, moves=recipe.moves[:-1]) if recipe.moves else account.lineage.get(recipe.parent)


def _shortened(founder: Member) -> Member:
    """The founder of the same family without states that were only passed on the way to a single other one."""
    for member in reversed(_ordered([founder])):
        member.children = [child.children[0] if _is_passage(child) else child for child in member.children]
        for child in member.children:
            child.parent = member
    if _is_passage(founder):
        (founder,) = founder.children
        founder.parent = None
    return founder


def _is_passage(member: Member) -> bool:
    return member.line is None and len(member.children) == 1


def _ordered(founders: Sequence[Member]) -> list[Member]:
    """Founders and all their descendants, parents before children. No recursion: lineages are long."""
    members = list(founders)
    for member in members:
        members.extend(member.children)
    return members


def places(founder: Member, spine: Sequence[Member], abreast: int = 1) -> dict[Member, tuple[int, float, int]]:
    """(generation, height, place in its row) of the founder and each descendant: no two are the same.

    spine    a line of descent that is drawn as straight as can be: the winner's ancestry
    abreast  how many siblings without children share a height, in a row

    Families are set side by side as close as their outlines allow (after Reingold & Tilford 1981), at least 1
    apart; the one that reaches furthest, or the spine's, is in the middle.
    """
    members, straight = _ordered([founder]), set(spine)
    above: dict[Member, float] = {}  # from the parent
    seat: dict[Member, int] = {}
    lows: dict[Member, np.ndarray] = {}  # the outline of a family, by generation, from its first member
    highs: dict[Member, np.ndarray] = {}
    for member in reversed(members):
        low = high = np.zeros(0)
        rows = _rows(member.children, straight, abreast, lows)
        for row in rows:
            below = lows[row[0]]
            both = min(len(high), len(below))
            shift = float(np.max(high[:both] - below[:both]) + 1) if both else 0.0
            low = np.concatenate([low, shift + below[len(low) :]])
            high = np.concatenate([shift + highs[row[0]], high[len(below) :]])
            above |= dict.fromkeys(row, shift)
            seat |= {child: n for n, child in enumerate(row)}
        if rows:
            middle = rows[(len(rows) - 1) // 2][0]
            ends = (above[rows[0][0]] + above[rows[-1][0]]) / 2
            own = above[middle] if middle.children or middle in straight else ends
            above |= {child: above[child] - own for child in member.children}
            low, high = low - own, high - own
        lows[member], highs[member] = np.concatenate([[0.0], low]), np.concatenate([[0.0], high])
    found = {founder: (0, 0.0, 0)}
    for member in members[1:]:
        generation, height, _ = found[member.parent]
        found[member] = (generation + 1, height + above[member], seat[member])
    return found


def _rows(children: Sequence[Member], straight: set[Member], abreast: int, reach: dict) -> list[list[Member]]:
    """Children that share a height: one alone where it has a family. The spine's, or the family that reaches
    furthest, in the middle, the next to its sides in turn; equals keep their order, the first innermost."""
    alone = [child for child in children if child.children or child in straight]
    others = [child for child in children if not (child.children or child in straight)]
    rows = [[child] for child in alone] + [others[n : n + abreast] for n in range(0, len(others), abreast)]
    rows.sort(key=lambda row: (row[0] in straight, len(reach[row[0]])), reverse=True)
    return rows[2::2][::-1] + rows[:1] + rows[1::2]
