"""The account of a finished search: plain data that reports are drawn from and that JSON can carry."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field

from .outcome import Outcome
from .recipe import Recipe


@dataclass
class Line:
    """One candidate of one lane, in order of evaluation.

    value  what the rule makes of its row over the whole archive; NaN (None in JSON) where it took no part
    """

    recipe: Recipe
    row: list[float]
    value: float
    nfe: int
    seconds: float
    generation: int
    complete: bool
    excluded: str = ""


@dataclass
class Account:
    """What happened in one search.

    search     the blocks' names
    measures   names of the columns of a row; `searched` tells which of them the rule reads, `signs` whether
               higher (+1) or lower (-1) is better
    lanes      lines of each of the B searches of the latent batch
    stages     for each block: name, limit, spent (evaluations of latent rows), candidates, ended (why), begun
               (how many lines each lane had when it began), notes (what the algorithm did and why)
    spent      evaluations of latent rows, counted at the model; `recalled` of them by earlier runs
    forwards   true forward passes of rows through the network (classifier-free guidance makes two)
    estimate   evaluations announced before the run (inf where only time limits it)
    seconds    wall time of this run
    shape      of the latent [B, ...]
    seed       of the sampler, as text
    sampler    its name, for the reader; `steps` its sigma steps
    notes      what a person should know, a sentence each
    lineage    recipes that candidates descend from, by id
    early      names of the columns behind the measures, where candidates that are not finished have theirs instead
    unit       what is counted where no one sees evaluations: "evaluations", or the "images" of a loop around a graph
    """

    search: str
    measures: list[str]
    searched: list[bool]
    lanes: list[list[Line]]
    stages: list[dict]
    spent: int
    recalled: int
    forwards: int
    estimate: float
    seconds: float
    shape: list[int]
    seed: str
    sampler: str
    steps: int
    notes: list[str] = field(default_factory=list)
    signs: list[int] = field(default_factory=list)
    lineage: dict[str, Recipe] = field(default_factory=dict)
    unit: str = "evaluations"
    early: list[str] = field(default_factory=list)

    @staticmethod
    def of(outcome: Outcome, **facts) -> Account:
        """From what the search left behind; `facts` are the fields that only the caller knows."""
        lanes = [
            [
                Line(e.recipe, list(e.row), value, e.nfe, e.seconds, e.generation, e.complete, e.excluded)
                for e, value in zip(lane.archive.entries, lane.archive.values())
            ]
            for lane in outcome.lanes
        ]
        space, elders = outcome.lanes[0].space, {}
        for lane in lanes:
            for line in lane:
                parent = line.recipe.parent
                while parent and parent not in elders:
                    elders[parent] = space[parent]
                    parent = elders[parent].parent
        stages = [
            {
                "name": s.name,
                "limit": s.limit,
                "spent": s.spent,
                "candidates": s.candidates,
                "ended": s.ended,
                "begun": list(s.begun),
                "notes": list(s.notes),
            }
            for s in outcome.stages
        ]
        return Account(
            lanes=lanes, stages=stages, spent=outcome.spent, recalled=outcome.recalled, lineage=elders, **facts
        )

    @property
    def in_images(self) -> bool:
        return self.unit == "images"

    def ranked(self, lane: int = 0) -> list[Line]:
        """Finished candidates of a lane, best first; ties keep the earlier."""
        lines = [line for line in self.lanes[lane] if line.complete and not math.isnan(line.value)]
        return sorted(lines, key=lambda line: -line.value)

    def best(self, lane: int = 0) -> Line:
        return self.ranked(lane)[0]

    def plain(self, lane: int = 0) -> Line:
        """Candidate 0: the image without a search."""
        return self.lanes[lane][0]

    def curve(self, lane: int = 0) -> list[tuple[int, Line]]:
        """Best-so-far: (evaluations of this row spent, incumbent) after each candidate, valued at the end."""
        points, spent, best = [], 0, None
        for line in self.lanes[lane]:
            spent += line.nfe
            if line.complete and not math.isnan(line.value) and (best is None or line.value > best.value):
                best = line
            if best is not None:
                points.append((spent, best))
        return points

    def to_json(self) -> str:
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["lanes"] = [
            [asdict(line) | {"recipe": line.recipe.to_json(), "id": line.recipe.id} for line in lane]
            for lane in self.lanes
        ]
        content["lineage"] = {id: recipe.to_json() for id, recipe in self.lineage.items()}
        return json.dumps(_finite(content))

    @staticmethod
    def from_json(text: str) -> Account:
        content = json.loads(text)
        content["lanes"] = [[_line(line) for line in lane] for lane in content["lanes"]]
        content["lineage"] = {id: Recipe.from_json(recipe) for id, recipe in content["lineage"].items()}
        for holder, name in [(content, "estimate"), *((stage, "limit") for stage in content["stages"])]:
            holder[name] = math.inf if holder[name] is None else holder[name]
        return Account(**content)


def _line(content: dict) -> Line:
    content = {k: v for k, v in content.items() if k != "id"}
    content["recipe"] = Recipe.from_json(content["recipe"])
    content["value"] = math.nan if content["value"] is None else content["value"]
    content["row"] = [math.nan if x is None else x for x in content["row"]]
    return Line(**content)


def _finite(value):
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, (list, tuple)) else value
