"""The blocks on the canvas: thin faces over `search/` and `verifiers/`."""

from comfy_api.latest import ComfyExtension

from . import (
    algorithms,
    candidates,
    demo,
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


class NoiseSearchExtension(ComfyExtension):
    async def get_node_list(self):
        searches = (candidates, algorithms, path_algorithms)
        scores = (verifiers, learned_verifiers, matching, population, judges)
        return [node for module in (*searches, *scores, run, loop, results, noises, demo) for node in module.NODES]
