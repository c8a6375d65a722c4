"""The noises of one latent batch: its shape, its base seed, and the noise that the sampler was handed."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import torch

from .recipe import SEEDS, Recipe, SearchError

KEPT = 8  # noises held at a time, or a pivot and a candidate for each row where that is more


def seeded_noise(like: torch.Tensor, seed: int, batch_index: Sequence[int] | None = None) -> torch.Tensor:
    """Exactly KSampler's noise for `seed`: the CPU stream of one generator, rows of `batch_index` in order.

    like  [B, ...], its shape, dtype and layout are taken
    """
    generator = torch.Generator("cpu").manual_seed(seed % SEEDS)

    def draw(rows: int) -> torch.Tensor:
        size = (rows, *like.shape[1:])
        return torch.randn(size, dtype=like.dtype, layout=like.layout, generator=generator, device="cpu")

    if batch_index is None:
        return draw(like.shape[0])
    wanted = set(batch_index)
    rows = {i: row for i in range(max(wanted) + 1) for row in [draw(1)] if i in wanted}
    return torch.cat([rows[i] for i in batch_index])


def content_id(tensor: torch.Tensor) -> str:
    """64 hex digits that name a tensor's content."""
    return hashlib.sha256(tensor.contiguous().view(torch.uint8).numpy()).hexdigest()


class NoiseSpace:
    """Draws recipes into noises [B, ...] for one sampler call.

    given        [B, ...] the noise that the sampler was handed: candidate 0
    seed         the sampler's seed
    batch_index  row numbers that ComfyUI's batch tools put on a latent, or None
    whole        its rows are searched as one candidate; else each row is a search of its own
    """

    def __init__(self, given: torch.Tensor, seed: int, batch_index: Sequence[int] | None = None, whole: bool = False):
        self.seed = seed % SEEDS
        self._whole = whole
        self.batch_index = list(batch_index) if batch_index is not None else None
        self.given = given.detach().cpu()
        self.tensors: dict[str, torch.Tensor] = {}  # that recipes name by their content: masks
        self._book: dict[str, Recipe] = {}
        self._held: dict[str, torch.Tensor] = {}
        self._drawn: OrderedDict[str, torch.Tensor] = OrderedDict()
        by_seed = Recipe("seed", str(self.seed))
        if torch.equal(self.given, self.seeded(self.seed)):
            self.base = by_seed
        else:
            self.base = Recipe("given", str(self.seed), settings=(("sha256", content_id(self.given)),))
        self.add(self.base)

    @property
    def rows(self) -> int:
        """B, the number of independent searches."""
        return 1 if self._whole else self.given.shape[0]

    def add(self, recipe: Recipe) -> Recipe:
        """Remember a recipe, so that its children can name it by id."""
        self._book.setdefault(recipe.id, recipe)
        return recipe

    def store(self, tensor: torch.Tensor) -> str:
        """Keep a float32 tensor that recipes need; its id, by which they name it in their settings."""
        id = content_id(tensor)
        self.tensors.setdefault(id, tensor)
        return id

    def stored(self, id: str) -> torch.Tensor:
        if id not in self.tensors:
            raise SearchError(
                f"The recipe names a mask or tensor {id[:16]} that is not at hand; load the noise from a file of "
                "Save Noise, which holds the noise itself."
            )
        return self.tensors[id]

    def needed(self, recipe: Recipe) -> dict[str, torch.Tensor]:
        """The stored tensors that a recipe names, by id."""
        return {value: self.tensors[value] for _, value in recipe.settings if value in self.tensors}

    def hold(self, recipe: Recipe, noise: torch.Tensor) -> None:
        """Take `noise` [B, ...] for what the recipe draws: it is at hand, and need not be drawable here."""
        self._held[self.add(recipe.noise).id] = noise

    def __getitem__(self, id: str) -> Recipe:
        if id not in self._book:
            raise SearchError(f"The recipe names a parent {id} that is not at hand; load its whole lineage.")
        return self._book[id]

    def lineage(self, recipe: Recipe) -> list[Recipe]:
        """The recipe's ancestors, eldest first, and itself last."""
        line = [recipe]
        while line[-1].parent:
            line.append(self[line[-1].parent])
        return line[::-1]

    def seeded(self, seed: int) -> torch.Tensor:
        """[B, ...] KSampler's noise for a seed."""
        return seeded_noise(self.given, seed, self.batch_index)

    def draw(self, recipe: Recipe) -> torch.Tensor:
        """[B, ...] the recipe's initial noise for every row, not to be written to. Row b belongs to search b."""
        line = [self.add(recipe.noise)]
        while line[-1].parent and line[-1].id not in self._drawn and line[-1].id not in self._held:
            line.append(self[line[-1].parent])
        for elder in reversed(line):  # not by recursion: a long search has long lineages
            noise = self._draw(elder)
        return noise

    def _draw(self, recipe: Recipe) -> torch.Tensor:
        from .candidates import DRAW

        if recipe.id in self._held:
            return self._held[recipe.id]
        if recipe.id not in self._drawn:
            if recipe.draw not in DRAW:
                raise SearchError(f"The recipe's generator {recipe.draw!r} is not known to this version of the pack.")
            self._drawn[recipe.id] = DRAW[recipe.draw](self, recipe)
        self._drawn.move_to_end(recipe.id)
        while len(self._drawn) > max(KEPT, 2 * self.rows + 1):
            self._drawn.popitem(last=False)
        return self._drawn[recipe.id]

    def rows_of(self, recipes: Sequence[Recipe]) -> torch.Tensor:
        """[B, ...] one recipe for each row."""
        if len({recipe.noise.id for recipe in recipes}) == 1:
            return self.draw(recipes[0])
        return torch.stack([self.draw(recipe)[b] for b, recipe in enumerate(recipes)])


def recognised_rows(noise: torch.Tensor, seed: int, most: int = 64) -> list[int] | None:
    """The batch_index with which KSampler drew `noise` [B, ...] from `seed`, or None where it did not.

    Latents cut from a larger batch carry their row numbers; a wrapper sees only the noise drawn for them.
    """
    if torch.equal(noise, seeded_noise(noise, seed)):
        return None
    generator = torch.Generator("cpu").manual_seed(seed % SEEDS)
    places: dict[int, int] = {}
    for i in range(most):  # one row at a time: rows of videos are large
        drawn = torch.randn(noise[:1].shape, dtype=noise.dtype, generator=generator)[0]
        places |= {n: i for n, row in enumerate(noise) if n not in places and torch.equal(drawn, row)}
        if len(places) == len(noise):
            return [places[n] for n in range(len(noise))]
    return None
