"""What a search itself costs: ask and tell with a model that costs nothing, on large latents.

    found = measure(candidates=64, repeats=3)

Milliseconds a candidate, with 1, 4 and 16 times as many of them: where they grow, the search is not linear.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from ..search import Archive, NoiseSpace, Options, Outcome, Recipe, Result, Search, run
from ..search.evaluation import Slot
from ..search.places import Place, steps_between
from ..search.space import seeded_noise
from ..search.trajectory import Ledger, Path
from .family import TOP, ways

LATENT = (16, 128, 128)
STEPS = 20
BATCH = 4  # candidates that are drawn together
TIMES = (1, 4, 16)


class Free:
    """An evaluator whose images cost nothing, and whose scores are chosen by the candidate's content.

    draws  whether noises are drawn, and states held, as a model would need them
    """

    steps = whole = STEPS
    noise = torch.linspace(1, 0, STEPS + 1).tolist()

    def __init__(self, space: NoiseSpace, draws: bool):
        self.space, self.draws = space, draws
        self._path = Path() if draws else Ledger()

    def path_cost(self, i: Place, j: int) -> int:
        return steps_between(i, j)

    def cost(self, slots: Sequence[Slot]) -> int:
        paths = [slot for slot in slots if slot[0].moves]
        return self._path.cost(paths, self.noise, self.path_cost) + (len(slots) - len(paths)) * STEPS

    def evaluate(self, slots: Sequence[Slot], enough: Callable[[], bool]) -> Iterator[list[Result]]:
        for slot in slots:
            cost = self._path.costs([slot], self.noise, self.path_cost)[0] if slot[0].moves else STEPS
            self._look(slot)
            yield [Result((score(slot[0]),), cost, 0.0)]

    def keep(self, finished: Sequence[Sequence[Recipe]], alive: Sequence[Sequence[Recipe]]) -> None:
        self._path.keep(alive)

    def _look(self, slot: Slot) -> None:
        if not slot[0].moves:
            if self.draws:
                self.space.rows_of(slot)
        elif self.draws:
            self._path.solve(Still(), self.space, [slot], BATCH)
        else:
            self._path.enter(slot)


class Still:
    """The four verbs of a model that changes nothing."""

    def start(self, noises):
        return noises

    def advance(self, states, i, j, recipes):
        return states

    def renoise(self, states, i, j, noises):
        return states + noises

    def preview(self, states, i, recipes):
        return states


def score(recipe: Recipe) -> float:
    """0 to 1, evenly spread over the recipes."""
    return int.from_bytes(hashlib.sha256(recipe.id.encode()).digest()[:6], "big") / 2**48


def milliseconds(search: Search, draws: bool) -> float:
    """Of one processor for a candidate of one search, its noise drawn or not."""
    began = time.process_time()
    candidates = len(searched(search, draws).lanes[0].archive)
    return 1000 * (time.process_time() - began) / candidates


def searched(search: Search, draws: bool) -> Outcome:
    space = NoiseSpace(seeded_noise(torch.zeros(1, *LATENT), 1), 1)
    return run(search, Free(space, draws), space, lambda: Archive(lambda rows: rows[:, 0], (1,)), Options(keep=TOP))


def measure(candidates: int, repeats: int, say=print) -> dict:
    """For each way [ms at 1, 4, 16 times as many] without drawing, and ms with it; least of some repeats.

    candidates  of the smallest search, in images' worth of evaluations
    """
    torch.set_num_threads(1)
    milliseconds(ways(candidates)["random"], draws=True)
    found = {}
    for way in ways(candidates):
        asked = [
            min(milliseconds(ways(candidates * times)[way], draws=False) for _ in range(repeats)) for times in TIMES
        ]
        drawn = min(milliseconds(ways(candidates)[way], draws=True) for _ in range(repeats))
        found[way] = {"asked": [round(ms, 3) for ms in asked], "drawn": round(drawn, 3), "repeats": repeats}
        say(f"{way}: {found[way]}")
    one = statistics.median(_draw() for _ in range(9))
    return {"candidates": candidates, "latent": list(LATENT), "one_noise": round(one, 3), "ways": found}


def _draw() -> float:
    began = time.process_time()
    seeded_noise(torch.zeros(1, *LATENT), 3)
    return 1000 * (time.process_time() - began)


REPORT = """\
## What searching itself costs

Milliseconds for a candidate, nothing rendered: the algorithm, the archive, the recipes. {candidates} samples' worth \
of evaluations, then 4 and 16 times as many; where a line rises the search grows faster than what it tries. The last \
column draws the noises as well ({latent}), and holds the states of the path: drawing one such noise takes \
{one_noise:.1f} ms, whoever asks for it. Processor time, the least of the repeats.

Tree Search and Auto Search are not quite linear: however little a round adds, the one backs up all its nodes and the \
other ranks all its families. Neighbours and bands are exact to float64, which costs more than the drawing. Screened \
Search reads several noises for each candidate that it samples, and has to draw them for that: its time is theirs.

{table}

{machine}.
"""


def report(found: dict) -> str:
    sizes = [found["candidates"] * times for times in TIMES]
    lines = [
        "| | " + " | ".join(f"{n} samples" for n in sizes) + f" | {sizes[0]}, with noises | repeats |",
        "|---" * (len(sizes) + 3) + "|",
    ]
    for way, ms in found["ways"].items():
        lines.append(f"| {way} | {' | '.join(f'{x:.2f}' for x in ms['asked'])} | {ms['drawn']:.2f} | {ms['repeats']} |")
    named = {"latent": " × ".join(map(str, found["latent"])), "table": "\n".join(lines)}
    return REPORT.format(**named, **{name: found[name] for name in ("candidates", "one_noise", "machine")})
