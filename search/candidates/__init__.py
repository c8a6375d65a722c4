"""How new noises are drawn. A generator proposes recipes; a draw function turns a recipe into noise.

A generator is any object with `name` and `propose(space, index, parent) -> Recipe | None`: the proposal of
number `index` >= 1 (0 is the noise that the sampler was handed), from a parent where it uses one, and None
when it has no more.
"""

from .band import Band, LowFrequency, draw_band
from .gaussian import Gaussian, draw_given, draw_seed
from .masked import Masked, draw_masked
from .mix import Mix
from .neighbour import Neighbour, draw_neighbour
from .seed_list import SeedList
from .spectral import draw_spectral

DRAW = {
    "given": draw_given,
    "seed": draw_seed,
    "neighbour": draw_neighbour,
    "band": draw_band,
    "masked": draw_masked,
    "spectral": draw_spectral,
}
"""Recipe.draw -> function (space, recipe) -> noise [B, ...]."""

__all__ = ["DRAW", "Band", "Gaussian", "LowFrequency", "Masked", "Mix", "Neighbour", "SeedList"]
