"""An evaluator in a process of its own: one JSON request a line on stdin, one JSON answer a line on stdout.

Started with the latent's shape and seed; builds the same analytic world as the test.
"""

import importlib.util
import json
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("standalone", Path(__file__).resolve().parents[2] / "standalone.py")
standalone = importlib.util.module_from_spec(spec)
spec.loader.exec_module(standalone)
standalone.load()

import torch  # noqa: E402  (the pack is loaded first)
from worlds import World, brightness  # noqa: E402

from noise_search.search import NoiseSpace, Recipe  # noqa: E402
from noise_search.search.space import seeded_noise  # noqa: E402

torch.set_num_threads(1)


def recipes(lists):
    return [[Recipe.from_json(text) for text in slot] for slot in lists]


def serve(rows: int, seed: int):
    space = NoiseSpace(seeded_noise(torch.empty(rows, 1, 2, 2), seed), seed)
    world = World(space, brightness)
    for line in sys.stdin:
        request = json.loads(line)
        for text in request.get("lineage", []):
            space.add(Recipe.from_json(text))
        verb = request["verb"]
        if verb == "facts":
            answer = {"steps": world.steps, "whole": world.whole, "noise": world.noise}
        elif verb == "path_cost":
            answer = world.path_cost(request["i"], request["j"])
        elif verb == "cost":
            answer = world.cost(recipes(request["slots"]))
        elif verb == "evaluate":
            results = world.evaluate(recipes(request["slots"]), lambda: False)
            answer = [[[list(r.row), r.nfe, r.seconds] for r in slot] for slot in results]
        elif verb == "keep":
            answer = world.keep(recipes(request["finished"]), recipes(request["alive"]))
        elif verb == "counted":
            answer = world.counted
        elif verb == "latent":
            answer = world.latents[request["lane"], request["id"]].tolist()
        print(json.dumps(answer), flush=True)


serve(int(sys.argv[1]), int(sys.argv[2]))
