"""A winner's noise as ComfyUI's NOISE: it works in any sampler that takes one, and can be written down.

What is written down, in a PNG or beside a tensor, comes back from files of strangers: every field is checked.
"""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ...search.recipe import SEEDS, Recipe, SearchError
from ...search.space import NoiseSpace, content_id, seeded_noise
from .content_key import PACK_VERSION

FORMAT = 1
LARGEST = 2**28  # numbers in a noise read from a file: a gigabyte of float32
PROBE = 4  # first numbers of each row, by which a noise drawn again is known to be the same
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True, eq=False)
class RecipeNoise:
    """ComfyUI's NOISE (`seed`, `generate_noise`) with the recipes it was drawn by.

    tensor       [B, ...] initial noises on the CPU, row b from search b
    recipes      the winner of each row
    lineage      their ancestors, parents before children
    base_seed    the seed that the search began with, as text
    batch_index  row numbers that ComfyUI's batch tools had put on the latent, or None
    tensors      what the recipes name by its content, such as masks
    """

    tensor: torch.Tensor
    recipes: tuple[Recipe, ...]
    lineage: tuple[Recipe, ...]
    base_seed: str
    batch_index: tuple[int, ...] | None = None
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @staticmethod
    def of(space: NoiseSpace, recipes: Sequence[Recipe]) -> RecipeNoise:
        """The winners of a search, one for each row of its latent batch."""
        elders = {elder.id: elder for recipe in recipes for elder in space.lineage(recipe)[:-1]}
        rows = tuple(space.batch_index) if space.batch_index is not None else None
        tensors = {id: held for r in (*elders.values(), *recipes) for id, held in space.needed(r).items()}
        noise = space.rows_of(recipes).detach().cpu()
        return RecipeNoise(noise, tuple(recipes), tuple(elders.values()), str(space.seed), rows, tensors)

    @property
    def seed(self) -> int:
        """What ComfyUI seeds the sampler with: the first row's."""
        return int(self.recipes[0].seed or self.base_seed)

    @property
    def moves(self) -> bool:
        """Whether a winner lies on a path, which this noise only begins: Search Sampler alone replays it."""
        return any(recipe.moves for recipe in self.recipes)

    def generate_noise(self, latent: dict) -> torch.Tensor:
        """[B, ...] for a latent of the same shape. Raises SearchError where the shape is another."""
        wanted = tuple(latent["samples"].shape)
        if wanted != tuple(self.tensor.shape):
            raise SearchError(
                f"noise: it was found for a latent of {_size(self.tensor.shape)} and the sampler's latent is "
                f"{_size(wanted)}; give the sampler a latent of the size and batch that was searched."
            )
        return self.tensor.clone()

    def to_metadata(self) -> dict:
        """Small JSON from which the noise is drawn again; for ComfyUI's extra_pnginfo."""
        return {
            "format": FORMAT,
            "pack": PACK_VERSION,
            "seed": self.base_seed,
            "shape": list(self.tensor.shape),
            "dtype": str(self.tensor.dtype).removeprefix("torch."),
            "batch_index": list(self.batch_index) if self.batch_index is not None else None,
            "recipes": [json.loads(recipe.to_json()) for recipe in self.recipes],
            "lineage": [json.loads(recipe.to_json()) for recipe in self.lineage],
            "probe": [row.flatten()[:PROBE].double().tolist() for row in self.tensor],
            "tensors": {id: _packed(tensor) for id, tensor in self.tensors.items()},
        }

    @staticmethod
    def from_metadata(content: object, tensor: torch.Tensor | None = None) -> RecipeNoise:
        """Read it back; with `tensor` (from a file beside it) nothing needs to be drawn.

        Raises SearchError where a field is not what `to_metadata` writes, where the noise came from another
        pack and is not at hand, or where this machine's torch draws another noise from the recipe.
        """
        fields = _checked(content)
        lines = [_line(recipe, {elder.id: elder for elder in fields["lineage"]}) for recipe in fields["recipes"]]
        if tensor is None:
            tensor = _drawn(fields, lines)
        elif list(tensor.shape) != fields["shape"] or tensor.dtype != DTYPES[fields["dtype"]]:
            raise SearchError("the tensor has another shape or type than its recipe says; save it again.")
        elders = {elder.id: elder for line in lines for elder in line[:-1]}
        recipes, rows = tuple(fields["recipes"]), fields["batch_index"]
        noise = RecipeNoise(tensor, recipes, tuple(elders.values()), fields["seed"], rows, fields["tensors"])
        if not _close(noise.to_metadata()["probe"], fields["probe"]):
            raise SearchError(
                "the noise drawn from the recipe is not the one that was saved: this machine's torch draws other "
                "random numbers; use a file of Save Noise, which holds the noise itself."
            )
        return noise


def _line(recipe: Recipe, elders: dict[str, Recipe]) -> list[Recipe]:
    """Its ancestors, eldest first, and itself. A parent is named by the hash of its content: no circle can be."""
    line = [recipe]
    while line[-1].parent:
        if line[-1].parent not in elders:
            raise SearchError(f"the recipe's parent {line[-1].parent} is not beside it; save the noise again.")
        line.append(elders[line[-1].parent])
    return line[::-1]


def _drawn(fields: dict, lines: list[list[Recipe]]) -> torch.Tensor:
    """[B, ...] row b from the last recipe of line b."""
    if any(recipe.draw == "given" for line in lines for recipe in line):
        raise SearchError(
            "the search began from another pack's NOISE, which a recipe cannot draw; use a file of Save Noise, "
            "which holds the noise itself."
        )
    like = torch.empty(1, dtype=DTYPES[fields["dtype"]]).expand(fields["shape"])
    seed, batch_index = int(fields["seed"]), fields["batch_index"]
    space = NoiseSpace(seeded_noise(like, seed, batch_index), seed, batch_index)
    for held in fields["tensors"].values():
        space.store(held)
    rows = []
    try:
        for b, line in enumerate(lines):
            for recipe in line:  # a child then finds its parent drawn
                noise = space.draw(recipe)
            rows.append(noise[b])
    except SearchError:
        raise
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise SearchError(f"a recipe in it cannot be drawn ({error!r}); save it again.") from error
    return torch.stack(rows)


def _checked(content: object) -> dict:
    """The fields in their types. Raises SearchError that names the first wrong one."""
    _demand(isinstance(content, dict) and content.get("format") == FORMAT, "format")
    shape, rows = content.get("shape"), content.get("batch_index")
    _demand(_whole(shape, 1, LARGEST) and 2 <= len(shape) <= 6 and math.prod(shape) <= LARGEST, "shape")
    _demand(isinstance(content.get("dtype"), str) and content["dtype"] in DTYPES, "dtype")
    reach = LARGEST // math.prod(shape[1:])
    _demand(rows is None or (_whole(rows, 0, reach - 1) and len(rows) == shape[0]), "batch_index")
    _demand(_is_seed(content.get("seed")), "seed")
    recipes = _recipes(content.get("recipes"), "recipes")
    _demand(len(recipes) == shape[0], "recipes")
    probe = content.get("probe")
    _demand(isinstance(probe, list) and len(probe) == shape[0] and all(map(_numbers, probe)), "probe")
    return {
        "shape": shape,
        "dtype": content["dtype"],
        "batch_index": tuple(rows) if rows is not None else None,
        "seed": content["seed"],
        "recipes": recipes,
        "lineage": _recipes(content.get("lineage"), "lineage"),
        "probe": probe,
        "tensors": _unpacked(content.get("tensors", {})),
    }


def _packed(tensor: torch.Tensor) -> dict:
    content = zlib.compress(tensor.detach().cpu().float().contiguous().numpy().tobytes(), 9)
    return {"shape": list(tensor.shape), "content": base64.b64encode(content).decode()}


def _unpacked(content: object) -> dict[str, torch.Tensor]:
    """Tensors by the hash of their content, which is checked."""
    _demand(isinstance(content, dict) and len(content) <= 1000, "tensors")
    tensors = {}
    for id, packed in content.items():
        shape = packed.get("shape") if isinstance(packed, dict) else None
        _demand(_whole(shape, 1, LARGEST // 16) and math.prod(shape) <= LARGEST // 16, "tensors")
        try:
            size = 4 * math.prod(shape)
            numbers = zlib.decompressobj().decompress(base64.b64decode(packed.get("content"), validate=True), size)
            tensors[id] = torch.frombuffer(bytearray(numbers), dtype=torch.float32).view(shape)
        except (TypeError, ValueError, RuntimeError, zlib.error):
            _demand(False, "tensors")
        _demand(bool(tensors[id].isfinite().all()) and content_id(tensors[id]) == id, "tensors")
    return tensors


def _demand(holds: bool, field: str) -> None:
    if not holds:
        raise SearchError(f"its recipe cannot be read: {field} is missing or wrong; save the noise again.")


def _recipes(content: object, field: str) -> list[Recipe]:
    _demand(isinstance(content, list) and len(content) <= 100_000 and all(map(_is_recipe, content)), field)
    return [Recipe.from_json(json.dumps(recipe)) for recipe in content]


def _is_recipe(content: object) -> bool:
    if not isinstance(content, dict) or set(content) != {"draw", "seed", "parent", "settings", "moves"}:
        return False
    settings, moves = content["settings"], content["moves"]
    return (
        isinstance(content["draw"], str)
        and _is_seed(content["seed"])
        and isinstance(content["parent"], str)
        and re.fullmatch(r"([0-9a-f]{16})?", content["parent"]) is not None
        and isinstance(settings, dict)
        and all(isinstance(value, (str, int, float)) for value in settings.values())
        and isinstance(moves, list)
        and all(map(_is_move, moves))
    )


def _is_move(move: object) -> bool:
    """("advance", i, j), ("renoise", i, j, seed), or with neighbours ("renoise", i, j, seed, cosine, seed, ...)."""
    if not isinstance(move, list) or len(move) < 3 or not all(map(_is_place, move[1:3])):
        return False
    if move[0] == "advance":
        return len(move) == 3 and type(move[2]) is int
    near = len(move) == 4 or (6 <= len(move) <= 1000 and type(move[4]) is float and 0 <= move[4] < 1)
    return move[0] == "renoise" and near and all(map(_is_seed, move[3:4] + move[5:]))


def _is_place(place: object) -> bool:
    return type(place) in (int, float) and 0 <= place <= 100_000


def _is_seed(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[0-9]{1,20}", text) is not None and int(text) < SEEDS


def _whole(numbers: object, low: int, high: int) -> bool:
    return (
        isinstance(numbers, list)
        and bool(numbers)
        and all(type(n) is int and low <= n <= high for n in numbers)  # True is no number here
    )


def _numbers(row: object) -> bool:
    return isinstance(row, list) and len(row) <= PROBE and all(type(x) is float for x in row)


def _close(ours: list[list[float]], theirs: list[list[float]]) -> bool:
    return all(
        len(a) == len(b) and all(abs(x - y) <= 1e-3 * max(1.0, abs(x)) for x, y in zip(a, b))
        for a, b in zip(ours, theirs, strict=True)
    )


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
