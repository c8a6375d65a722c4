"""The blocks on the canvas: thin faces over `search/` and `verifiers/`."""

from comfy_api.latest import ComfyExtension

from . import (
    algorithms,
    candidates,
    demo,
    human_pick,
    judges,
    learned_verifiers,
    loop,
    matching,
    noises,
    path_algorithms,
    population,
    results,
    run,
    verifiers,
)
from .host import routes


class NoiseSearchExtension(ComfyExtension):
    async def get_node_list(self):
        routes.add()
        searches = (candidates, algorithms, path_algorithms)
        scores = (verifiers, learned_verifiers, matching, population, judges, human_pick)
        return [node for module in (*searches, *scores, run, loop, results, noises, demo) for node in module.NODES]
