"""What is hacked by what? Searches by different verifiers, each seen by all the others and by the oracle.

    found = summary(measure(prompts, 32, scratch))

Random search on Shapes World: for one prompt all searches have the same candidates, and differ in which they choose.
So every candidate is scored once by everyone, and each row of the table says what one of them would have chosen.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..demo import oracle
from ..demo.scenes import Prompt, parse
from ..demo.verifiers import WEIGHTS, ShapesOracle, ShapesVerifier
from ..demo.world import STEPS
from ..harness.chat_server import Asked, chat_server, words
from ..search import Block, Budget, Search
from ..search.algorithms import RandomSearch
from ..verifiers import (
    MEAN_RANK,
    ClassProbability,
    Endpoint,
    ImageStatistic,
    Measure,
    PromptChecklist,
    SelfConsistency,
    Verifier,
)
from ..verifiers import combine as combined
from ..verifiers.verifier import Rule
from ..verifiers.weights import fingerprint
from .classifier import classifier, kind_of
from .helps import Bench

NOTHING, ENSEMBLE = "nothing (the plain image)", "ensemble (mean rank)"
CLIP, CLASS, CHECKLIST, ORACLE = "CLIPScore (Shapes Verifier)", "class probability", "checklist", "oracle"
CONSISTENT = "self-consistency"
TOGETHER = (CLIP, CLASS, CHECKLIST)
"""What the ensemble ranks by."""
CERTAIN = 0.98  # the checklist's judge is right, and says so with this probability


@dataclass
class Scored:
    """All candidates of all prompts, as everyone scored them.

    names  the verifiers, the oracle last
    signs  of each, +1 where higher is better
    rows   [prompts, candidates, names]; candidate 0 is the plain image
    """

    names: list[str]
    signs: list[int]
    rows: np.ndarray


def measure(prompts: Sequence[Prompt], samples: int, scratch: Path, say=print, steps: int | None = None) -> Scored:
    """Everyone's scores of `samples` candidates a prompt. What `scratch` remembers is not computed again.

    steps  of the classifier's training
    """
    texts = [prompt.text() for prompt in prompts]
    folder = classifier(scratch, *([steps] if steps else []), say=say)
    with judge_of(prompts) as url:
        judges = everyone(folder, Endpoint(url, "oracle", side=256))
        verifier = together(list(judges.values()))
        bench = Bench(texts, scratch, say, verifier)
        search = Search((Block(RandomSearch(), Budget(images=samples)),))
        archives = bench.archives("everyone's scores", search, STEPS)
        rows = np.array([[entry.row for entry in archive.entries] for archive in archives])
    return Scored(list(judges), [judge.sign for judge in judges.values()], rows)


def everyone(folder: Path, endpoint: Endpoint) -> dict[str, Measure]:
    """Who searches, by name. Add a verifier here, before the oracle, and it is in the table."""
    return {
        CLIP: ShapesVerifier(),
        CLASS: PerPrompt(fingerprint(folder), lambda text: ClassProbability(folder, kind_of(parse(text)))),
        CHECKLIST: PerPrompt(CHECKLIST, lambda text: PromptChecklist(endpoint, "\n".join(questions(parse(text))))),
        CONSISTENT: SelfConsistency(WEIGHTS),
        "sharpness": ImageStatistic("sharpness"),
        "colourfulness": ImageStatistic("colourfulness"),
        ORACLE: ShapesOracle(),
    }


def together(measures: Sequence[Measure]) -> Verifier:
    """All of them side by side; the first is searched, which makes no difference to random search."""
    first = Verifier.of(measures[0])
    searched = (True, *[False] * (len(measures) - 1))
    return Verifier(tuple(measures), first.rule, searched, False, "|".join(measure.key for measure in measures))


class PerPrompt:
    """A measure that is set up differently for each prompt: `make(prompt)` gives the one to ask."""

    reads, sign, needs_prompt = "images", 1, True

    def __init__(self, key: str, make: Callable[[str], Measure]):
        self.name, self.key, self.notes = key, f"{key} per prompt", []
        self._make = functools.cache(make)

    def modules(self) -> Sequence[torch.nn.Module]:
        return []

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        numbers = torch.empty(len(images))
        for prompt in dict.fromkeys(prompts):
            rows = [i for i, text in enumerate(prompts) if text == prompt]
            numbers[rows] = self._make(prompt).measure(images[rows], [prompt] * len(rows), device).float()
        return numbers


# --- the checklist's judge --------------------------------------------------------------------------------


def asked_about(prompt: Prompt) -> list[str]:
    """The prompt's facts that people put on a list: what is there, how large, where. Not that nothing else is."""
    return [fact for fact in oracle.facts(prompt) if not fact.startswith("exactly") and not fact.endswith("in all")]


def questions(prompt: Prompt) -> list[str]:
    return [f"Is it true: {fact}?" for fact in asked_about(prompt)]


@contextlib.contextmanager
def judge_of(prompts: Sequence[Prompt]) -> Iterator[str]:
    """The URL of a server that speaks as an OpenAI-compatible one does, and asks the oracle."""
    about = {
        question: (prompt, fact) for prompt in prompts for question, fact in zip(questions(prompt), asked_about(prompt))
    }

    @functools.lru_cache(maxsize=64)
    def seen(size: tuple[int, int], pixels: bytes) -> list:
        return oracle.read(np.frombuffer(pixels, np.uint8).reshape(*size[::-1], 3) / 255)

    def answer(asked: Asked):
        prompt, fact = about[asked.question.removesuffix(" Please answer yes or no.")]
        holds = dict(oracle.judge(seen(asked.image.size, asked.image.tobytes()), prompt))[fact]
        yes, no = (CERTAIN, 1 - CERTAIN) if holds else (1 - CERTAIN, CERTAIN)
        return ("Yes" if holds else "No"), words(Yes=yes, No=no)

    with chat_server(answer) as (url, _):
        yield url


# --- what it comes to -------------------------------------------------------------------------------------


def choices(scored: Scored) -> dict[str, np.ndarray]:
    """Who searches → which candidate they choose of each prompt; the earlier of two equals."""
    columns = scored.rows * scored.signs
    found = {NOTHING: np.zeros(len(columns), dtype=int)}
    for k, name in enumerate(scored.names):
        found[name] = columns[..., k].argmax(1)
    places = [scored.names.index(name) for name in TOGETHER]
    rule = mean_rank(len(TOGETHER))
    ensemble = [int(rule(torch.tensor(rows[:, places])).argmax()) for rows in columns]
    oracle_last = found.pop(ORACLE)
    return found | {ENSEMBLE: np.array(ensemble), ORACLE: oracle_last}


def mean_rank(count: int) -> Rule:
    """The rule of Combine Verifiers over so many columns, higher better in each."""
    same = [Verifier.of(ImageStatistic("exposure")) for _ in range(count)]
    return combined(same, MEAN_RANK).rule


def summary(scored: Scored, draws: int = 4000) -> dict:
    """For each who searches, as the chosen images' means: every score, in its own units and in standard deviations
    of a candidate above the plain image's mean; and [mean, low, high] of the share of images that are right."""
    prompts, samples, _ = scored.rows.shape
    picks = np.random.default_rng(0).integers(prompts, size=(draws, prompts))
    spread = scored.rows.std(1).mean(0)
    plain = scored.rows[:, 0].mean(0)
    table = {}
    for name, chosen in choices(scored).items():
        rows = scored.rows[np.arange(prompts), chosen]
        right = (rows[:, -1] == 1).astype(float)
        low, high = np.percentile(right[picks].mean(1), [2.5, 97.5])
        table[name] = {
            "scores": dict(zip(scored.names, np.round(rows.mean(0), 4).tolist())),
            "rise": dict(zip(scored.names, np.round((rows.mean(0) - plain) / spread, 2).tolist())),
            "right": [round(float(x), 4) for x in (right.mean(), low, high)],
        }
    return {"prompts": prompts, "samples": samples, "steps": STEPS, "names": scored.names, "table": table}


REPORT = """\
## What is hacked by what?

{prompts} held-out prompts of Shapes World, random search with {samples} samples; every row chooses among the same \
samples, by another verifier. A column says what the chosen images score with one verifier: how far above the plain \
images' mean, in standard deviations of that score among the samples of one prompt. Where a verifier is searched its \
own score is **bold**: it rises for everybody. What counts is the last column, images with every fact of the prompt \
right (95 % intervals over the prompts); the oracle is never wrong.

{table}

- *Class probability* is a small classifier of single things, asked for the first thing that the prompt names.
- *Checklist* asks a judge that is right whether each thing of the prompt is there, in its size and place, over the \
protocol of Prompt Checklist; as people's lists do, it does not ask whether anything is there that should not be.
- *Self-consistency* compares the image with what it was expected to become at noise level 0.4, in the features of \
the Shapes Verifier's image side. It reads no prompt.
- The *ensemble* is the mean rank of CLIPScore, class probability and checklist.

In their own units:

{units}

{machine}.
"""


def report(found: dict) -> str:
    return REPORT.format(
        **{name: found[name] for name in ("prompts", "samples", "machine")},
        table=_table(found, lambda row, name: f"{row['rise'][name]:+.2f}"),
        units=_table(found, lambda row, name: f"{row['scores'][name]:.3f}"),
    )


def _table(found: dict, cell: Callable[[dict, str], str]) -> str:
    lines = [f"| searched by | {' | '.join(found['names'])} | right |", "|---" * (len(found["names"]) + 2) + "|"]
    for searched, row in found["table"].items():
        cells = [f"**{cell(row, name)}**" if name == searched else cell(row, name) for name in found["names"]]
        right = "{:.0%} ({:.0%}–{:.0%})".format(*row["right"])
        lines.append(f"| {searched} | {' | '.join(cells)} | {right} |")
    return "\n".join(lines)
