"""The results in plain words and tables."""

from __future__ import annotations

import os
import platform

import torch

from . import hacking, overhead, scoring
from .helps import MORE_STEPS, ORACLE, RANDOM, checkpoints

HEAD = """\
# Results

Measured by `python benchmarks/run.py`, which writes this page; run it again to repeat it. `--only` measures one \
part: helps, hacking, family, costs, scoring or overhead. `--quick` shows in a few minutes that everything works. The \
first three and the last need no ComfyUI, and the first two go on where they were interrupted. All algorithms are \
compared on [a page of their own](family.md).
"""

HELPS = """\
## Does it help?

{prompts} held-out prompts of Shapes World, euler, {steps} “simple” steps, cfg {cfg:g}: one sample is {steps} \
evaluations of the denoiser. Every search is by the Shapes Verifier, a small CLIP; the oracle only watches and \
says whether the chosen image is right. In brackets: bootstrap 95 % intervals over the prompts.

**Images with every fact of the prompt right**

{all_facts}

**Verifier score of the chosen image**

{score}

**Share of the prompt's facts that hold in the chosen image**

{facts}

Random search at {most} samples is right {gain:.2f} ({low:.2f}–{high:.2f}) times as often as the plain sample \
(to reach: 1.5). The same evaluations spent on {most} × the steps are right for {more_steps}.

**What the verifier misses.** Had the oracle itself chosen among the same samples, {oracle} would be right at \
{most} samples: of all that choosing among them can gain over the plain image, the verifier brings {captured}. The \
rest is the verifier's to gain; what is missing to 100 % is the model's, or more samples'. From {first} to {most} \
samples the score rises by {score_rise} and the share of right images by {right_rise}: where the second \
lags behind the first, more search only pleases the verifier.

![Evaluations against images with every fact right, and against the verifier's score](helps.png)

“More steps” is one sample with 4, 16, … × the steps. Nothing stands where a search is not yet itself: \
“{first} random, then zero-order” is random search up to {first} samples, and one round over paths takes more than \
4 samples. A search over paths counts its best finished image, not those of the round under way. Prompts are searched \
ten at a time, side by side, each group from the same ten noises: torch's generator on the CPU reads 32 bits of a seed.

{machine}.
"""

COSTS = """\
## What it costs

One warm ComfyUI {comfyui} server on the CPU; one queued random search of {candidates} images, each decoded and \
scored (Image Statistics), by a stock KSampler, against {candidates} queued runs of the same graph without the \
search, each decoded and saved. Medians of {repeats} alternating repeats, with new seeds each time.

| | seconds | against plain | to reach |
|---|---|---|---|
| {candidates} queued plain runs | {plain:.2f} | 1 | |
| one search, batched | {batched:.2f} | {batched_ratio:.2f} | ≤ 0.5 |
| one search, one image at a time | {one_by_one:.2f} | {one_by_one_ratio:.2f} | ≤ 1.05 |

| | | to reach |
|---|---|---|
| import of the pack, ComfyUI loaded (median of 5 new interpreters) | {import_seconds:.2f} s | ≤ 0.3 s |
| peak memory of a warm server, search of {few} images | {few_megabytes:.0f} MB | |
| the same server, then {many} images | {many_megabytes:.0f} MB ({memory_change:+.1%}) | within 5 % |

{machine}.
"""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def machine() -> str:
    """What the numbers were measured on."""
    return f"{cores()} CPU cores ({platform.machine()}, {platform.system()}), torch {torch.__version__}"


def report(results: dict) -> str:
    """results.md."""
    parts = {
        "helps": _helps,
        "hacking": hacking.report,
        "costs": _costs,
        "scoring": scoring.report,
        "overhead": overhead.report,
    }
    return "\n".join([HEAD, *(write(results[name]) for name, write in parts.items() if name in results)])


def _helps(found: dict) -> str:
    samples = checkpoints(found["ways"][RANDOM]["samples"][-1])
    gain, low, high = found["gain"]
    return HELPS.format(
        **{name: found[name] for name in ("prompts", "steps", "cfg", "machine")},
        **{name: _table(found, samples, name) for name in ("all_facts", "score", "facts")},
        **_misses(found["ways"]),
        gain=gain,
        low=low,
        high=high,
        most=samples[-1],
        first=samples[-1] // 4,
        more_steps=_percent(found["ways"][MORE_STEPS]["all_facts"][-1]),
    )


def _misses(ways: dict) -> dict[str, str]:
    """What lies between the verifier's choice and the oracle's, in random search."""
    right, score = ([mean for mean, *_ in ways[RANDOM][number]] for number in ("all_facts", "score"))
    possible = ways[ORACLE]["all_facts"][-1][0] - right[0]
    before = len(right) // 4
    return {
        "oracle": _percent(ways[ORACLE]["all_facts"][-1]),
        "captured": f"{(right[-1] - right[0]) / possible:.0%}" if possible else "all",
        "score_rise": f"{score[-1] - score[before - 1]:+.3f}",
        "right_rise": f"{100 * (right[-1] - right[before - 1]):+.0f} points",
    }


def _table(found: dict, samples: list[int], number: str) -> str:
    """One line a way, one column a number of samples."""
    text = _number if number == "score" else _percent
    heads = [f"{n * found['steps']} = {n} sample{'s' * (n > 1)}" for n in samples]
    lines = [f"| evaluations | {' | '.join(heads)} |", "|---" * (len(samples) + 1) + "|"]
    for name, way in found["ways"].items():
        cells = [text(way[number][way["samples"].index(n)]) if n in way["samples"] else "" for n in samples]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(interval: list[float]) -> str:
    mean, low, high = interval
    return f"{mean:.0%} ({low:.0%}–{high:.0%})"


def _number(interval: list[float]) -> str:
    mean, low, high = interval
    return f"{mean:.3f} ({low:.3f}–{high:.3f})"


def _costs(found: dict) -> str:
    (few, few_megabytes), (many, many_megabytes) = found["peak_megabytes"].items()
    ratios = {f"{way}_ratio": found[way] / found["plain"] for way in ("batched", "one_by_one")}
    return COSTS.format(
        **found,
        **ratios,
        few=few,
        few_megabytes=few_megabytes,
        many=many,
        many_megabytes=many_megabytes,
        memory_change=many_megabytes / few_megabytes - 1,
    )
