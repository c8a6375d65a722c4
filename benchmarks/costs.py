"""What does searching cost? One warm real server, with our blocks and without them.

    found = measure(comfyui, scratch, candidates=64)

Wall time of one queued search against as many queued plain runs; time to import the pack; memory.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from ..demo.world import CFG, STEPS
from ..harness.client import Client
from ..harness.graph import Graph
from ..harness.server import Server

PROMPT = "a red circle left of a blue square and above a small green triangle"
BATCHED, ONE_BY_ONE = 0, 1  # settings of the search block's `batch`


def measure(comfyui: Path, scratch: Path, candidates: int, repeats: int, memory: tuple[int, int], say=print) -> dict:
    """All costs; `memory` names two numbers of candidates whose peak memory is compared."""
    found = {"candidates": candidates, "repeats": repeats}
    found["import_seconds"] = import_seconds(comfyui)
    say(f"import of the pack: {found['import_seconds']:.3f} s")
    found |= wall_times(comfyui, scratch / "speed", candidates, repeats, say)
    found["peak_megabytes"] = peak_megabytes(comfyui, scratch / "memory", memory)
    say(f"peak memory: {found['peak_megabytes']}")
    return found


# --- wall time --------------------------------------------------------------------------------------------


def graph(seed: int, candidates: int = 0, batch: int = BATCHED) -> Graph:
    """Shapes World through a stock KSampler, decoded and saved; with `candidates`, that many are searched."""
    g = Graph()
    model, clip, vae = g.add("NS_ShapesWorld").out(3)
    text = g.add("CLIPTextEncode", clip=clip, text=PROMPT)
    latent = g.add("EmptyLatentImage", width=256, height=256, batch_size=1)
    if candidates:
        search = g.add("NS_RandomSearch", budget=g.add("NS_SearchBudget", images=candidates))
        verifier = g.add("NS_ImageStatistics", statistic="sharpness", better="higher", target=0.5)
        model = g.add(
            "NS_SearchWithKSampler", model=model, search=search, verifier=verifier, vae=vae, prompt="", batch=batch
        )
    sampled = g.add(
        "KSampler", model=model, positive=text, negative=text, latent_image=latent, seed=seed,
        steps=STEPS, cfg=CFG, sampler_name="euler", scheduler="simple", denoise=1.0,
    )  # fmt: skip
    g.add("SaveImage", images=g.add("VAEDecode", samples=sampled, vae=vae), filename_prefix="cost")
    return g


def plain_runs(client: Client, seed: int, candidates: int) -> float:
    """Seconds for as many queued runs without a search, each with the next seed."""
    began = time.monotonic()
    queued = [client.queue(graph(seed + n)) for n in range(candidates)]
    client.wait(queued[-1], timeout=3600)
    return time.monotonic() - began


def search_run(client: Client, seed: int, candidates: int, batch: int = BATCHED) -> float:
    """Seconds for one queued search."""
    began = time.monotonic()
    client.run(graph(seed, candidates, batch), timeout=3600)
    return time.monotonic() - began


def wall_times(comfyui: Path, base: Path, candidates: int, repeats: int, say=print) -> dict:
    """Seconds of each way, taking turns, with new seeds each time, so that neither a cache nor a history answers."""
    ways: dict[str, Callable] = {
        "plain": plain_runs,
        "batched": search_run,
        "one_by_one": lambda *facts: search_run(*facts, batch=ONE_BY_ONE),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    seeds = iter(range(int(time.time()) * 1000, 2**62, 1000))  # the base may hold the history of an earlier run
    with Server(comfyui, base) as server:
        client = Client(server.url)
        for way in ways.values():  # everything is loaded and has run once
            way(client, next(seeds), 8)
        for _ in range(repeats):
            for name, way in ways.items():
                seconds[name].append(way(client, next(seeds), candidates))
                say(f"{name}, {candidates} images: {seconds[name][-1]:.2f} s")
        client.close()
    return {"seconds": seconds, **{name: median(seconds[name]) for name in ways}}


# --- memory -----------------------------------------------------------------------------------------------


def peak_megabytes(comfyui: Path, base: Path, sizes: Sequence[int]) -> dict[int, float]:
    """The largest resident size of the server's process during a search of each size, one after another in a
    server that has searched once before: what grows with the candidates, and not what loading takes."""
    with Server(comfyui, base) as server:
        client, process = Client(server.url), psutil.Process(server.process.pid)
        seeds = iter(range(int(time.time()) * 1000, 2**62, 1000))
        search_run(client, next(seeds), sizes[0])
        peaks = {size: _peak(process, partial(search_run, client, next(seeds), size)) for size in sizes}
        client.close()
    return {size: peak / 2**20 for size, peak in peaks.items()}


def _peak(process: psutil.Process, act: Callable[[], object]) -> int:
    """The largest resident size, in bytes, while `act` runs."""
    peak, ended = process.memory_info().rss, threading.Event()

    def look():
        nonlocal peak
        while not ended.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        act()
    finally:
        ended.set()
        looking.join()
    return peak


# --- import -----------------------------------------------------------------------------------------------

IMPORT = """
import asyncio, sys, time
comfyui, root = sys.argv[1:]
sys.argv = ["main.py", "--cpu"]
sys.path.insert(0, comfyui)
import comfy.options
comfy.options.enable_args_parsing()
import utils.extra_config  # first, as in main.py
import execution, server, nodes
from importlib.util import module_from_spec, spec_from_file_location
began = time.perf_counter()
spec = spec_from_file_location("pack", f"{root}/__init__.py", submodule_search_locations=[root])
sys.modules["pack"] = pack = module_from_spec(spec)
spec.loader.exec_module(pack)
extension = asyncio.run(pack.comfy_entrypoint())
assert asyncio.run(extension.get_node_list())
print(time.perf_counter() - began)
"""


def import_seconds(comfyui: Path, repeats: int = 5) -> float:
    """Median time that the pack adds to ComfyUI's start: a new interpreter each time, ComfyUI itself imported."""
    command = [sys.executable, "-c", IMPORT, str(comfyui), str(Path(__file__).parents[1])]
    said = [subprocess.run(command, cwd=comfyui, stdout=subprocess.PIPE, check=True) for _ in range(repeats)]
    return median(float(output.stdout.split()[-1]) for output in said)
