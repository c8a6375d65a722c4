"""Evaluation is a narrow interface: an evaluator in another process gives the same search."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from noise_search.search import Block, Budget, NoiseSpace, Options, Result, Search, run
from noise_search.search.algorithms import RandomSearch, SearchOverPaths, ZeroOrderSearch
from noise_search.search.space import seeded_noise

from .worlds import World, archive_of, brightness

ROWS, SEED = 2, 2**64 - 3


class Remote:
    """The Evaluator whose world lives behind a pipe."""

    def __init__(self, space):
        worker = Path(__file__).with_name("remote_worker.py")
        command = [sys.executable, str(worker), str(ROWS), str(SEED)]
        self._worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._space = space
        facts = self.ask(verb="facts")
        self.steps, self.whole, self.noise = facts["steps"], facts["whole"], facts["noise"]

    def ask(self, **request):
        self._worker.stdin.write(json.dumps(request, allow_nan=False) + "\n")
        self._worker.stdin.flush()
        return json.loads(self._worker.stdout.readline())

    def close(self):
        self._worker.stdin.close()
        assert self._worker.wait(30) == 0
        self._worker.stdout.close()

    def path_cost(self, i, j):
        return self.ask(verb="path_cost", i=i, j=j)

    def cost(self, slots):
        return self.ask(verb="cost", slots=_texts(slots))

    def evaluate(self, slots, enough):
        elders = [e.to_json() for slot in slots for r in slot for e in self._space.lineage(r)[:-1]]
        answer = self.ask(verb="evaluate", slots=_texts(slots), lineage=elders)
        return [[Result(tuple(row), nfe, seconds) for row, nfe, seconds in slot] for slot in answer]

    def keep(self, finished, alive):
        self.ask(verb="keep", finished=_texts(finished), alive=_texts(alive))


def _texts(slots):
    return [[recipe.to_json() for recipe in slot] for slot in slots]


@pytest.mark.parametrize(
    "algorithm", [RandomSearch(), ZeroOrderSearch(), SearchOverPaths(paths=2, branches=2)], ids=lambda a: a.name
)
def test_a_search_in_another_process_is_the_same_search(algorithm):
    def space():
        return NoiseSpace(seeded_noise(torch.empty(ROWS, 1, 2, 2), SEED), SEED)

    search = Search((Block(algorithm, Budget(images=14)),))
    here, there = space(), space()
    world, remote = World(here, brightness), Remote(there)
    outcomes = [run(search, e, s, archive_of(), Options()) for e, s in ((world, here), (remote, there))]
    told = [[[(e.recipe, e.row, e.nfe) for e in lane.archive.entries] for lane in o.lanes] for o in outcomes]
    assert told[0] == told[1]
    assert outcomes[1].spent == remote.ask(verb="counted") == world.counted
    for lane, winner in enumerate(outcomes[1].winners):
        latent = remote.ask(verb="latent", lane=lane, id=winner.recipe.id)
        assert torch.tensor(latent, dtype=torch.float64).equal(world.latents[lane, winner.recipe.id])
    remote.close()
