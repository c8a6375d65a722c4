"""What to try next. One file an algorithm, ask and tell.

An algorithm is a frozen dataclass of its settings with

    name        what reports call it
    path        whether it works along the denoising path (see `search/trajectory.py`)
    least(lane)            evaluations per row of its smallest plan, the plain image aside
    start(lane) -> running  one running search over one latent row
    threshold   if it has any: the score that a candidate on the path must have, or None

and the running search has

    ask(n)   up to n recipes that may be evaluated together; [] when it has no more to ask
    tell()   the rows of everything asked are in the archive now
    alive    recipes whose state on the path is still needed
    notes    if it has any: what it did and why, a sentence each, for the report

`ask` never depends on n but for how many recipes it gives: asking 1 + 1 and asking 2 give the same.
"""

from .auto import AutoSearch
from .backtracking import BacktrackingSearch
from .coarse_to_fine import CoarseToFineSearch
from .evolution import EvolutionarySearch
from .particles import ParticleSearch
from .paths import SearchOverPaths
from .random_search import RandomSearch
from .replay import Replay
from .rollover import RolloverSearch
from .screened import ScreenedSearch
from .spectral import SpectralSearch
from .successive_halving import SuccessiveHalving
from .tree import TreeSearch
from .zero_order import ZeroOrderSearch

__all__ = [
    "AutoSearch",
    "BacktrackingSearch",
    "CoarseToFineSearch",
    "EvolutionarySearch",
    "ParticleSearch",
    "RandomSearch",
    "Replay",
    "RolloverSearch",
    "ScreenedSearch",
    "SearchOverPaths",
    "SpectralSearch",
    "SuccessiveHalving",
    "TreeSearch",
    "ZeroOrderSearch",
]
