"""The history as files."""

import csv
import io
import json
import math

import pytest

from noise_search.report import to_csv, to_json
from noise_search.report.export import COLUMNS, COSTS
from noise_search.search import Account, Recipe

from .searches import MEASURES, paths, random_then_zero_order, searched

HEADINGS = [*MEASURES[:2], f"{MEASURES[2]} (watched)"]


@pytest.fixture(params=["chain", "batch", "paths"])
def account(request):
    kinds = {
        "chain": (random_then_zero_order(), {}),
        "batch": (random_then_zero_order((4, 6)), {"shape": (3, 4, 8, 8), "unseen": (4, 9)}),
        "paths": (paths(), {}),
    }
    search, facts = kinds[request.param]
    return searched(search, seed=2**64 - 3, **facts)[0]


def test_every_candidate_is_a_line(account):
    rows = list(csv.DictReader(io.StringIO(to_csv(account))))
    assert list(rows[0]) == COLUMNS + HEADINGS + COSTS
    lines = [(image, line) for image, lane in enumerate(account.lanes) for line in lane]
    assert len(rows) == len(lines)
    for row, (image, line) in zip(rows, lines, strict=True):
        assert row["image"] == str(image) and row["seed"] == line.recipe.seed and row["id"] == line.recipe.id
        assert row["evaluations"] == str(line.nfe) and row["excluded"] == line.excluded
        for name, x in zip(["value", *HEADINGS], [line.value, *line.row], strict=True):
            assert row[name] == ("" if math.isnan(x) else repr(x))
    for image in range(len(account.lanes)):
        first = next(row for row in rows if row["image"] == str(image) and row["rank"] == "1")
        assert first["id"] == account.best(image).recipe.id


def test_a_line_holds_the_whole_recipe(account):
    for row in csv.DictReader(io.StringIO(to_csv(account))):
        settings = json.loads(row["settings"] or "{}")
        moves = json.loads(row["moves"] or "[]")
        recipe = Recipe(row["draw"], row["seed"], row["parent"], tuple(settings.items()), tuple(map(tuple, moves)))
        assert recipe.id == row["id"]


def test_json_reads_back_as_the_account(account):
    again = Account.from_json(to_json(account))
    assert again.to_json() == account.to_json()
    assert [line.recipe for line in again.lanes[0]] == [line.recipe for line in account.lanes[0]]
