"""The whole history of a search as a file for other programs."""

from __future__ import annotations

import csv
import io
import json
import math

from ..search.account import Account
from .words import headings

COLUMNS = ["image", "order", "rank", "id", "parent", "draw", "seed", "settings", "moves", "value"]
COSTS = ["evaluations", "seconds", "generation", "complete", "excluded"]


def to_csv(account: Account) -> str:
    """One line for each candidate of each image of the latent batch, in order of evaluation.

    Columns: COLUMNS, the measures (those only watched are marked), those of unfinished images where they have their
    own, COSTS. Seeds are text of up to 20 digits; numbers keep every digit; a cell is empty where there is no number.
    `rank` counts finished candidates of an image, 1 being the winner. Of a loop around a graph, which sees no
    evaluations, `evaluations` are its images.
    """
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS + headings(account) + account.early + COSTS)
    for image, lane in enumerate(account.lanes):
        ranks = {line.recipe.id: rank for rank, line in enumerate(account.ranked(image), 1)}
        for order, line in enumerate(lane):
            recipe = line.recipe
            settings, moves = (json.dumps(x) if x else "" for x in (dict(recipe.settings), recipe.moves))
            out.writerow(
                [image, order, ranks.get(recipe.id, ""), recipe.id, recipe.parent, recipe.draw, recipe.seed]
                + [settings, moves, *map(_cell, [line.value, *line.row])]
                + [line.nfe, line.seconds, line.generation, int(line.complete), line.excluded]
            )
    return text.getvalue()


def to_json(account: Account) -> str:
    """The account as indented JSON, which `Account.from_json` reads back."""
    return json.dumps(json.loads(account.to_json()), indent=1, ensure_ascii=False)


def _cell(x: float) -> str:
    return repr(x) if math.isfinite(x) else ""
