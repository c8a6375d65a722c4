"""The comparison of the family in tables: `family.md`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..search.algorithms.auto import STOPS
from .children import NOISES
from .family import RANDOM, checkpoints
from .family_reasons import REASONS

HEAD = """\
# The family compared

Measured by `python benchmarks/run.py --only family{size}`, which writes this page. Every algorithm with \
its defaults, alone, on the same noises; a score is that of the best finished image so far. One sample is as many \
evaluations of the denoiser as one plain image takes. In brackets: bootstrap 95 % intervals over the seeds.

## What each finds for the same evaluations

How far the mean score is above random search's at the same evaluations, in standard deviations of a plain image: the \
means over all problems that were given so many samples; **bold** the greatest of a column. In the last column the \
fewest and the most samples, over the problems, after which it is where random search is after its last.

{ahead_of_random}

## Samples until random search is equalled

After how many samples' worth of evaluations the mean score is where random search's is after all of them. Less is \
better; **bold** the least of a column.

{reach}

![Best score so far against samples' worth of evaluations](family.png)

## The problems

All but Shapes World are Gaussian mixtures with their exact denoiser ({steps} Euler steps, latents of 4 × 16 × 16). \
*Previews*: rank correlation of the score of x̂0, after so much of the steps, with that of the finished image. \
*Linear*: correlation with what ridge regression foretells from the noise's coarse numbers, fitted to three quarters \
of the plain images and asked for the rest. *Agreement*: rank correlation of what is searched with what is watched.

{problems}

## Auto Search against random search

Differences of the mean scores at the same evaluations, in standard deviations of a plain image; **bold** where the \
interval, of the same seeds on both sides, leaves out 0. *Unmeasured*: with its measuring switched off, its ways take \
turns and x̂0 is trusted blindly.

{ahead}
{goal}
## Against the published orderings

Published: BFS over FK steering over best of N (arXiv 2505.23614), and best of N not below search over paths (Ma \
et al. 2025). Differences of the mean scores, in standard deviations of a plain image; **bold** where the interval \
leaves out 0.

{published}

{reasons}

"""

PROBLEM = """\
## {name}: {says}

{seeds} seeds. A plain image has {plain:.2f} ± {deviation:.2f}{optimum}.

{table}

"""


def report(found: dict) -> str:
    """family.md."""
    problems = found["problems"]
    head = HEAD.format(
        size={"table": ""}.get(found["size"], f" --{found['size']}"),
        steps=next(iter(problems.values()))["steps"],
        ahead_of_random=ahead_of_random(problems),
        reach=reach(problems),
        problems=_table(["problem", "", "previews 12.5 %", "25 %", "50 %", "linear", "agreement"], _facts(problems)),
        ahead=_ahead(problems),
        goal=_goal(found.get("long"), found.get("children")),
        published=_published(problems),
        reasons=REASONS,
    )
    return head + "".join(_problem(name, problem) for name, problem in problems.items()) + found["machine"] + ".\n"


def ahead_of_random(problems: dict) -> str:
    """The table for the README: a line a way, a column a checkpoint, the ways ordered by their mean over both."""
    marks, ways = _marks(problems), list(next(iter(problems.values()))["ways"])

    def ahead(problem: dict, way: str, k: int) -> float:
        way_has, random_has = (problem["ways"][name]["score"][k][0] for name in (way, RANDOM))
        return (way_has - random_has) / problem["plain"]["deviation"][0]

    table = {way: _means(problems, lambda problem, k, way=way: ahead(problem, way, k)) for way in ways}
    printed = {way: [f"{round(x, 2) + 0.0:+.2f}" for x in column] for way, column in table.items()}
    best = [f"{max(column):+.2f}" for column in zip(*table.values())]
    lines = []
    for way in sorted(ways, key=lambda way: -sum(table[way])):
        cells = [f"**{x}**" if x == top != "+0.00" else x for x, top in zip(printed[way], best)]
        reached = sorted(problems.values(), key=lambda problem: (_reached(problem, way), problem["samples"]))
        least, most = (_cell(_reached(problem, way), problem) for problem in (reached[0], reached[-1]))
        lines.append([way, *cells, least if least == most else f"{least} to {most}"])
    return _table(["", *marks, "random's last after"], lines)


def _marks(problems: dict) -> list[int]:
    return max((checkpoints(problem["samples"]) for problem in problems.values()), key=len)


def _means(problems: dict, value: Callable[[dict, int], float]) -> list[float]:
    """At each checkpoint, the mean of value(problem, its place) over the problems that have it."""
    columns = [
        [value(problem, k) for k in range(len(checkpoints(problem["samples"])))] for problem in problems.values()
    ]
    there = ([column[k] for column in columns if k < len(column)] for k in range(len(_marks(problems))))
    return [sum(values) / len(values) for values in there]


def reach(problems: dict) -> str:
    """A line a way, a column a problem, the ways ordered by how soon they are there."""
    names = [f"{name} ({problem['samples']})" for name, problem in problems.items()]
    ways = list(next(iter(problems.values()))["ways"])
    columns = [[_reached(problem, way) for way in ways] for problem in problems.values()]
    shares = [
        [n / problem["samples"] for n in column] for column, problem in zip(columns, problems.values(), strict=True)
    ]
    middle = [math.exp(sum(math.log(min(share, 2)) for share in line) / len(line)) for line in zip(*shares)]
    lines = []
    for k in sorted(range(len(ways)), key=lambda k: middle[k]):
        cells = [_cell(column[k], problem) for column, problem in zip(columns, problems.values())]
        cells = [f"**{cell}**" if column[k] == min(column) else cell for cell, column in zip(cells, columns)]
        lines.append([ways[k], *cells, f"{1 / middle[k]:.1f} ×"])
    return _table(["", *names, "speed"], lines) + SPEED


SPEED = """

*Speed* is the geometric mean over the problems of all samples ÷ those needed; what never gets there counts as needing \
twice as many."""


def _reached(problem: dict, way: str) -> float:
    """Samples, or infinitely many."""
    mean = problem["ways"][way]["reaches"][str(problem["samples"])][0]
    return math.inf if mean is None else mean


def _cell(n: float, problem: dict) -> str:
    return f"> {problem['samples']}" if math.isinf(n) else f"{n:.0f}"


def _facts(problems: dict) -> list[list[str]]:
    lines = []
    for name, problem in problems.items():
        plain = problem["plain"]
        trust = [f"{x:.2f}" for x in (*plain["previews"].values(), plain["linear"])]
        lines.append([name, problem["says"], *trust, _agreement(problem)])
    return lines


def _agreement(problem: dict) -> str:
    agreement = problem["plain"]["agreement"]
    return "the same" if agreement > 0.9999 else f"{agreement:.2f}"


def _ahead(problems: dict) -> str:
    marks, lines = _marks(problems), []
    for name, problem in problems.items():
        deviation = problem["plain"]["deviation"][0]
        for pair, column in problem["auto"].items():
            lines.append([name, pair, *(_difference(numbers, deviation) for numbers in column)])
    for pair in next(iter(problems.values()))["auto"]:
        means = _means(
            problems, lambda problem, k, pair=pair: problem["auto"][pair][k][0] / problem["plain"]["deviation"][0]
        )
        lines.append(["mean", pair, *(f"{x:+.2f}" for x in means)])
    return _table(["", "", *marks], [line + [""] * (len(marks) + 2 - len(line)) for line in lines])


GOAL = """
### As far as random search goes with 64 and with 128 samples

Shapes World, {seeds} prompts, {samples} samples: the mean score by the verifier, which is searched, and by the \
oracle, which is not, and after how many samples' worth each is where random search's is after 64 and after 128.

{table}

*Where the limit is.* To judge x̂0 after a third of the steps takes {look} of {steps} evaluations. So a judge that \
never erred would need {for_64:.0f} samples' worth to look at as many noises as the best of 64, and {for_128:.0f} for \
the best of 128. After an eighth of the steps a look takes {glance}: 16 samples' worth are {glances:.0f} of these, at \
an x̂0 that says little here (*previews* above), and not one image. Whatever is quicker than that comes from children \
of the best. {brought}
{soonest}"""

BROUGHT = """\
What these bring, in thousandths of the score: after the best of {noises} noises, nothing but rounds of three children \
of the best image so far, raised to one place or to three in turn, beside as many evaluations of more noises. From \
{noises} noises to {near} is {way:.1f}, to {last} {far:.1f}.

{table}"""


def _goal(problem: dict | None, brought: dict | None) -> str:
    """The longer run on Shapes World, where there is one, and what children of the best bring there."""
    if not (problem and brought):
        return ""
    marks = checkpoints(problem["samples"])
    heads = ["", "", *marks, *(f"random's {n} after" for n in marks[-2:])]
    lines = []
    for way, numbers in problem["ways"].items():
        for judge, scores, reaches in (("verifier", "score", "reaches"), ("oracle", "watched", "watched_reaches")):
            means = [_interval(score, digits=3) for score in numbers[scores]]
            soon = [_samples(numbers[reaches][str(n)], problem) for n in marks[-2:]]
            lines.append([way if judge == "verifier" else "", judge, *means, *soon])
    steps = problem["steps"]
    look = round(steps * next(iter(STOPS))) + 1  # that to score x̂0 is one more
    glance = round(steps / 8) + 1
    needs = {"glance": glance, "glances": 16 * steps / glance} | {f"for_{n}": n * look / steps for n in (64, 128)}
    facts = {"seeds": problem["seeds"], "samples": problem["samples"], "steps": steps, "look": look, **needs}
    random = {n: mean for n, (mean, *_) in zip(marks, problem["ways"][RANDOM]["score"])}
    facts |= {"brought": _brought(brought, random), "soonest": _soonest(problem.get("soonest"))}
    return GOAL.format(table=_table(heads, lines), **facts)


def _soonest(goals: dict[str, dict[str, float]] | None) -> str:
    """A sentence for each goal: which ways of the table of Shapes World are there first."""
    if not goals:
        return ""
    sentences = []
    for goal, ways in goals.items():
        first = [f"{way} ({n:.0f})" for way, n in sorted(ways.items(), key=lambda item: item[1])[:4]]
        sentences.append(f"at random's {goal} " + (", ".join(first) if first else "none"))
    return f"\nOf all ways, with the samples that they have below, are soonest {'; '.join(sentences)}.\n"


def _brought(gains: dict[str, list], random: dict[int, float]) -> str:
    """What children of the best bring: a line a place, a column for some numbers of samples.

    random  the mean best score of so many noises
    """
    after = (9, 10, 12, 14, 16)
    lines = [
        [place, *(_interval([1000 * x for x in column[n - NOISES - 1]], digits=1) for n in after)]
        for place, column in gains.items()
    ]
    *_, near, last = random
    way, far = (1000 * (random[n] - random[NOISES]) for n in (near, last))
    table = _table(["", *(f"{n} samples" for n in after)], lines)
    return BROUGHT.format(noises=NOISES, near=near, last=last, way=way, far=far, table=table)


def _published(problems: dict) -> str:
    marks = (16, 32, 128)
    heads = [f"{pair} at {n}" for pair in next(iter(problems.values()))["published"] for n in marks]
    lines = []
    for name, problem in problems.items():
        places = {n: k for k, n in enumerate(checkpoints(problem["samples"]))}
        deviation = problem["plain"]["deviation"][0]
        cells = [
            _difference(column[places[n]], deviation) if n in places else ""
            for column in problem["published"].values()
            for n in marks
        ]
        lines.append([name, *cells])
    return _table(["", *heads], lines)


def _difference(numbers: Sequence[float], unit: float) -> str:
    mean, low, high = (x / unit for x in numbers)
    return f"**{mean:+.2f}**" if low > 0 or high < 0 else f"{mean:+.2f}"


def _problem(name: str, problem: dict) -> str:
    watched = problem["plain"]["agreement"] <= 0.9999
    marks = checkpoints(problem["samples"])
    (start, start_watched), (deviation, spread) = problem["start"], problem["plain"]["deviation"]
    soon = [f"random's {n} after" for n in marks[-2:]]
    heads = ["", *marks, "area", *soon, "verifier calls", "diversity"]
    digits = 2 if deviation > 0.3 else 3
    lines = []
    for way, numbers in problem["ways"].items():
        scores = [_interval(score, digits) for score in numbers["score"]]
        reaches = [_samples(numbers["reaches"][str(n)], problem) for n in marks[-2:]]
        line = [way, *scores, f"{numbers['area'][0]:.3f}", *reaches, f"{numbers['calls']:.0f}"]
        line.append(f"{numbers['diversity'][0]:.2f}")
        if watched:
            gain = (numbers["score"][-1][0] - start) / deviation
            gain_watched = (numbers["watched"][-1][0] - start_watched) / spread
            line += [_interval(numbers["watched"][-1]), f"{gain - gain_watched:+.2f}"]
        lines.append(line)
    return PROBLEM.format(
        name=name[0].upper() + name[1:],
        says=problem["says"],
        seeds=problem["seeds"],
        plain=problem["plain"]["mean"][0],
        deviation=deviation,
        optimum="" if problem["optimum"] is None else f"; no image has more than {problem['optimum']:g}",
        table=_table(heads + [f"watched at {marks[-1]}", "gap"] * watched, lines) + GAP * watched,
    )


GAP = """

*Gap*: how much more the searched score has risen than the watched one, each in standard deviations of a plain image."""


def _interval(numbers: Sequence[float], digits: int = 2) -> str:
    mean, low, high = (f"{x:.{digits}f}" for x in numbers)
    return f"{mean} ({low}–{high})"


def _samples(numbers: Sequence[float | None], problem: dict) -> str:
    mean, low, high = (f"> {problem['samples']}" if x is None else f"{x:.0f}" for x in numbers)
    return mean if mean == low == high else f"{mean} ({low}–{high})"


def _table(heads: Sequence, lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
