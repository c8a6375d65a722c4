"""A recipe: the few facts that draw a candidate again, on any machine with the same torch.

    Recipe("seed", seed="42")                                     KSampler's noise for seed 42
    Recipe("neighbour", seed="7", parent=pivot.id, settings=(("cosine", 0.95),))
    Recipe("seed", seed="43", moves=(("advance", 0, 5), ("renoise", 5, 4, "99"), ("advance", 4, 7)))

A recipe without moves is sampled whole. One with moves is a state on the denoising path: its noise, solved
and re-noised between indices of the sigma schedule. Seeds are text: they exceed the integers of SQLite and
JavaScript.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property

SEEDS = 2**64


class SearchError(ValueError):
    """Bad input to a search. The message is one sentence that names the input and the remedy."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """What draws a candidate.

    draw      which generator draws its noise: "given", "seed", "neighbour", ...
    seed      decimal text, 0 <= seed < 2**64
    parent    id of the recipe that the noise starts from, or ""
    settings  pairs of name and JSON value that the drawing needs, in the order of their names
    moves     ("advance", i, j) solves from sigma index i down to j > i; ("renoise", i, j, seed) raises the
              noise from index i up to j < i with the noise of `seed`; ("renoise", i, j, seed, λ, seed₁, seed₂, ...)
              with its neighbour at cosine λ that seed₁ draws, that one's neighbour that seed₂ draws, ... What is
              raised may end between two sigmas, and what is then solved begin there: see `places.py`
    """

    draw: str
    seed: str = ""
    parent: str = ""
    settings: tuple[tuple[str, object], ...] = ()
    moves: tuple[tuple, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "settings", tuple(sorted(self.settings)))  # equal content, equal recipe

    @cached_property
    def id(self) -> str:
        """16 hex digits that name the content."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    @cached_property
    def noise(self) -> Recipe:
        """The recipe of its initial noise."""
        return replace(self, moves=()) if self.moves else self

    def setting(self, name: str):
        for key, value in self.settings:
            if key == name:
                return value
        raise SearchError(f"The recipe of a {self.draw!r} candidate lacks its {name!r}; save the candidate again.")

    def then(self, *moves: tuple) -> Recipe:
        """The state that these moves lead to."""
        return replace(self, moves=self.moves + moves)

    def to_json(self) -> str:
        return json.dumps(
            {
                "draw": self.draw,
                "seed": self.seed,
                "parent": self.parent,
                "settings": dict(self.settings),
                "moves": self.moves,
            },
            sort_keys=True,
            separators=(",", ":"),
        )

    @staticmethod
    def from_json(text: str) -> Recipe:
        """Raises SearchError when the text is no recipe."""
        try:
            content = json.loads(text)
            if content["seed"] and not 0 <= int(content["seed"]) < SEEDS:
                raise ValueError(f"seed {content['seed']}")
            return Recipe(
                str(content["draw"]),
                str(content["seed"]),
                str(content["parent"]),
                tuple(content["settings"].items()),
                tuple(tuple(move) for move in content["moves"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise SearchError(f"This text is no candidate's recipe ({error}): {text[:80]!r}.") from error


def keyed_seed(*key) -> str:
    """A seed that depends on the key alone."""
    return str(int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big"))
