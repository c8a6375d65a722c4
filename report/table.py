"""The account of a search as plain text."""

from __future__ import annotations

import math

from ..search.account import Account, Line
from .words import count, headings, left_out, number, of_batch, origin, warning

LISTED = 20
"""Candidates left out that are listed one by one."""


def table(account: Account, best: int = 8) -> str:
    """What was searched, what it cost and why it ended; then the best candidates with seeds and measures, and
    those that were left out with their reasons."""
    parts = ["\n".join(_summary(account))]
    for lane in range(len(account.lanes)):
        parts += ["\n".join(lines) for lines in (_ranking(account, lane, best), _left_out(account, lane)) if lines]
    return "\n\n".join(parts)


def _summary(account: Account) -> list[str]:
    tried = sum(map(len, account.lanes))
    lost = sum(len(left_out(account, lane)) for lane in range(len(account.lanes)))
    announced = f"{account.estimate:,g} announced, " if math.isfinite(account.estimate) else ""
    unit, forwards = account.unit, [("forward passes", f"{account.forwards:,}")]
    drawn = ("sampler", f"{account.sampler}, {account.steps} steps, seed {account.seed}")
    if account.in_images:  # what the nodes of a loop compute is not seen
        forwards, drawn = [], ("loop over", f"{account.sampler}, seed {account.seed}")
    facts = [
        ("search", account.search),
        ("candidates", f"{tried:,}" + (f", {lost} of them left out" if lost else "")),
        (unit, f"{announced}{account.spent:,} spent" + _from_history(account)),
        *forwards,
        ("time", f"{account.seconds:.1f} s"),
        drawn,
        ("latent", " × ".join(map(str, account.shape))),
    ]
    for n, s in enumerate(account.stages, 1):
        did = f"{s['name']}: {count(s['candidates'], 'candidate')}, {s['spent']:,} {unit}, {s['ended']}"
        facts += [(f"stage {n}", did), *(("", note) for note in s.get("notes", []))]
    facts += [("note", note) for note in account.notes]
    return [f"{name:<15} {fact}" for name, fact in facts]


def _from_history(account: Account) -> str:
    return f", {account.recalled:,} of them recalled from the history" if account.recalled else ""


def _ranking(account: Account, lane: int, best: int) -> list[str]:
    ranked = account.ranked(lane)
    plain = account.plain(lane)
    head = ["rank", "value", *headings(account), account.unit, "noise"]
    rows = [["plain", *_cells(account, plain)]]
    rows += [[str(rank), *_cells(account, line)] for rank, line in enumerate(ranked[:best], 1)]
    place = f" for {of_batch(account, lane)}" if of_batch(account, lane) else ""
    title = f"Best {min(best, len(ranked))} of {count(len(ranked), 'finished candidate')}{place}"
    said = warning(account, lane)
    return [title, *_columns([head, *rows]), *([said] if said else [])]


def _left_out(account: Account, lane: int) -> list[str]:
    """The candidates that took no part, each with the reason."""
    lost = left_out(account, lane)
    if not lost:
        return []
    place = f" for {of_batch(account, lane)}" if of_batch(account, lane) else ""
    title = f"Left out: {count(len(lost), 'candidate')}{place}, counted from 0"
    rows = [[str(n), origin(account, line.recipe), why] for n, line, why in lost[:LISTED]]
    more = [f"and {len(lost) - LISTED:,} more: Export History lists all"] if len(lost) > LISTED else []
    return [title, *_columns([["candidate", "noise", "reason"], *rows], numbers=1), *more]


def _cells(account: Account, line: Line) -> list[str]:
    return [*map(number, [line.value, *line.row[: len(account.measures)]]), str(line.nfe), origin(account, line.recipe)]


def _columns(rows: list[list[str]], numbers: int | None = None) -> list[str]:
    """The first columns, numbers, to the right; the others (by default the last alone), words, to the left."""
    numbers = len(rows[0]) - 1 if numbers is None else numbers
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(w) if n < numbers else cell.ljust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
