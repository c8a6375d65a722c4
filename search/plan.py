"""What is asked of a search, and whether it can be done: known before anything is sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .archive import Archive
from .budget import DEFAULT, Budget
from .evaluation import Evaluator
from .lane import Lane
from .recipe import SearchError
from .space import NoiseSpace


@dataclass(frozen=True)
class Block:
    """One algorithm and what it may spend, the rest of the block before it included."""

    algorithm: object
    budget: Budget = DEFAULT


@dataclass(frozen=True)
class Search:
    """Blocks that run one after another on the same archive."""

    blocks: tuple[Block, ...]

    @property
    def name(self) -> str:
        return " → ".join(block.algorithm.name for block in self.blocks)


@dataclass(frozen=True)
class Options:
    """keep      finished latents kept for each lane, besides those that may yet win
    on_nan    "stop" raises when a verifier gives NaN, "exclude" leaves that candidate out and reports it
    names     the measures' names, for messages
    relative  whether a value depends on the other candidates; a target score then is an error
    relative_early  the same of candidates that are not finished; a threshold then is an error
    together  candidates asked together at most; 0 for GENERATION
    """

    keep: int = 8
    on_nan: str = "stop"
    names: Sequence[str] = ()
    relative: bool = False
    relative_early: bool = False
    together: int = 0


def estimate(search: Search, evaluator: Evaluator, rows: int) -> float:
    """Evaluations of latent rows that the search may spend; inf where only time limits it."""
    return sum(block.budget.limit((evaluator.whole or evaluator.steps) * rows) for block in search.blocks)


def check_absolute(search: Search, relative: bool, relative_early: bool) -> None:
    """Raises SearchError where a limit is in units of the score, which ranks and z-scores have not."""
    why = "needs a verifier whose score does not depend on the other candidates; ranks and z-scores do"
    for block in search.blocks:
        if relative and (block.budget.target is not None or block.budget.worth):
            limit, short = ("a target score", "the target") if block.budget.target is not None else ("worth", "worth")
            raise SearchError(f"Search Budget: {limit} {why}. Remove {short}, or search one verifier.")
        if relative_early and getattr(block.algorithm, "threshold", None) is not None:
            raise SearchError(
                f"{block.algorithm.name}: threshold {why}. Turn use_threshold off, or let one verifier judge "
                "unfinished images (early_verifier)."
            )


def check(search: Search, evaluator: Evaluator, space: NoiseSpace, options: Options) -> None:
    """Raises SearchError, before anything is sampled, where the search could not do what is asked of it."""
    check_absolute(search, options.relative, options.relative_early)
    whole = (evaluator.whole or evaluator.steps) * space.rows
    batch = f" for a batch of {space.rows}" if space.rows > 1 else ""
    archive = Archive(lambda rows: rows[:, 0], (1,))
    lane = Lane(archive, space, evaluator.steps, path_cost=evaluator.path_cost, noise=evaluator.noise)
    for n, block in enumerate(search.blocks):
        limit = block.budget.limit(whole)
        round_ = block.algorithm.least(lane) * space.rows
        if limit < whole and (n == 0 or not round_):
            raise SearchError(
                f"Search Budget: {limit:g} evaluations are too few, one image takes {whole}{batch}; "
                f"set evaluations to at least {whole}, or use images."
            )
        least = round_ + whole * (n == 0)
        if round_ and limit < least and not (n == 0 and limit == whole):  # a budget of one image is the plain image
            raise SearchError(
                f"Search Budget: {limit:g} evaluations are too few for {block.algorithm.name}, one round "
                f"of it takes {least}{batch}; set evaluations to at least {least}, or images to "
                f"{math.ceil(least / whole)}."
            )
