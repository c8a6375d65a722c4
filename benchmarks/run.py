"""Measure whether searching helps and what it costs: `python benchmarks/run.py`, from the repository's root.

Writes results.md, results.json, helps.png and family.* into benchmarks/results. About 100 minutes on two idle cores.
What was measured is remembered in --scratch: an interrupted run goes on where it was. --quick takes minutes,
says little, and writes into out/benchmarks.
"""

import argparse
import functools
import importlib.util
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

_spec = importlib.util.spec_from_file_location("standalone", Path(__file__).parents[1] / "standalone.py")
_standalone = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_standalone)
_standalone.load()

from noise_search.benchmarks import (  # noqa: E402
    children,
    costs,
    family,
    family_picture,
    family_words,
    hacking,
    helps,
    overhead,
    picture,
    scoring,
    words,
)
from noise_search.demo.scenes import held_out_prompts  # noqa: E402
from noise_search.harness import find  # noqa: E402


def main():
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    options.scratch.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.json"
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name in [options.only] if options.only else PARTS:
        if found := PARTS[name](options):
            results[name] = {"machine": words.machine(), **found}
    file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (options.out / "results.md").write_text(words.report(results), encoding="utf-8")
    say(f"Written: {options.out}/results.md, results.json, helps.png")


def measure_helps(options):
    prompts = held_out_prompts(options.prompts or (10 if options.quick else 100))
    found = helps.summary(helps.measure(prompts, 16 if options.quick else 64, options.scratch, say))
    picture.draw(found, options.out / "helps.png")
    return found


def measure_hacking(options):
    prompts = held_out_prompts(options.prompts or (6 if options.quick else 50))
    size = {"samples": 8, "steps": 30} if options.quick else {"samples": 32}
    return hacking.summary(hacking.measure(prompts, scratch=options.scratch, say=say, **size))


def measure_costs(options):
    comfyui = find.comfyui(options.comfyui)
    if comfyui is None:
        return say("The costs are left out: no ComfyUI was found (--comfyui, COMFYUI_PATH).")
    size = (8, 1, (4, 16)) if options.quick else (64, 5, (32, 512))
    return {"comfyui": find.version(comfyui), **costs.measure(comfyui, options.scratch, *size, say)}


FEWER = ("predictable", "unpredictable", "ε model", "balanced", "checklist")
SEEDS = {"quick": (2, 2, 1), "table": (64, 16, 8), "full": (64, 64, 64)}
"""On the analytic problems, on those of FEWER, on Shapes World."""
SAMPLES = {"quick": (16, 32), "table": (128, 32), "full": (128, 128)}
"""On the analytic problems, on Shapes World."""
LONG = {"quick": (1, 16), "table": (64, 128), "full": (64, 128)}
"""Prompts and samples on Shapes World for Auto Search beside random search, and prompts for what children bring."""
LONG_WAYS = [family.RANDOM, family.AUTO]


def measure_family(options):
    """Into files of its own, which hold what is finished."""
    size = "quick" if options.quick else "full" if options.full else "table"
    (analytic, fewer, shapes), (far, as_far) = SEEDS[size], SAMPLES[size]
    sizes = {name: (fewer if name in FEWER else analytic, far) for name in family.NAMES}
    sizes[family.SHAPES] = shapes, as_far
    found, began = {"machine": words.machine(), "size": size, "problems": {}}, time.monotonic()
    courses = {}
    with ProcessPoolExecutor(words.cores(), multiprocessing.get_context("spawn")) as pool:
        measured = functools.partial(
            family.measure, each=functools.partial(pool.map, chunksize=4), scratch=options.scratch
        )
        for name, (seeds, samples) in sizes.items():
            courses[name] = measured(name, seeds, samples)
            found["problems"][name] = family.facts(name, seeds) | family.summary(courses[name])
            write_family(found, options.out)
            say(f"{name}: {len(courses[name])} searches, {seeds} seeds; {time.monotonic() - began:.0f} s so far")
        prompts, samples = LONG[size]
        long = measured(family.SHAPES, prompts, samples, only=LONG_WAYS)
        found["long"] = {"steps": family.problem_of(family.SHAPES, prompts).steps} | family.summary(long)
        if prompts == shapes:
            found["long"]["soonest"] = family.soonest(courses[family.SHAPES], long[family.RANDOM])
        noises = children.gains(long[family.RANDOM].score[:, : children.SAMPLES])
        found["children"] = {"more noises": noises} | children.gained(family.SHAPES, prompts, pool.map)
    write_family(found, options.out)


def write_family(found, out):
    (out / "family.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "family.md").write_text(family_words.report(found), encoding="utf-8")
    family_picture.draw(found["problems"], out / "family.png")


def measure_scoring(options):
    return scoring.measure(find.comfyui(options.comfyui), options.scratch, 1 if options.quick else 5, say)


def measure_overhead(options):
    return overhead.measure(*(20, 1) if options.quick else (64, 3), say)


PARTS = {
    "helps": measure_helps,
    "hacking": measure_hacking,
    "family": measure_family,
    "costs": measure_costs,
    "scoring": measure_scoring,
    "overhead": measure_overhead,
}


def arguments():
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that everything works")
    full = "the family on 64 seeds of every problem (six hours), not 8 or 16 of some (one)"
    parser.add_argument("--full", action="store_true", help=full)
    parser.add_argument("--prompts", metavar="N", type=int, help="held-out prompts (100)")
    parser.add_argument("--only", choices=PARTS, help="measure one part, keep the others' results")
    parser.add_argument("--comfyui", metavar="DIR", help="where ComfyUI is")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where the results go")
    parser.add_argument("--scratch", metavar="DIR", type=Path, help="what is remembered between runs")
    options = parser.parse_args()
    root = Path(__file__).absolute().parents[1]
    options.out = options.out or root / ("out/benchmarks" if options.quick else "benchmarks/results")
    options.scratch = options.scratch or Path(tempfile.gettempdir()) / "noise-search-benchmarks"
    return options


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    main()
