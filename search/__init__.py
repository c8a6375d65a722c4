"""Which noise to try next. Pure torch: no ComfyUI, no verifier."""

from .account import Account
from .archive import Archive, Entry
from .budget import Budget
from .evaluation import Evaluator, Result
from .outcome import Outcome
from .plan import Block, Options, Search
from .recipe import Recipe, SearchError
from .run import run
from .space import NoiseSpace

__all__ = [
    "Account",
    "Archive",
    "Block",
    "Budget",
    "Entry",
    "Evaluator",
    "NoiseSpace",
    "Options",
    "Outcome",
    "Recipe",
    "Result",
    "Search",
    "SearchError",
    "run",
]
