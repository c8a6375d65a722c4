"""The archive: raw rows in, values out."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noise_search.search import Archive, Entry, Recipe

from .worlds import first


def entry(n, *row, complete=True, excluded=""):
    return Entry(Recipe("seed", str(n)), tuple(map(float, row)), 1, 0.0, n, complete, excluded)


def filled(rows, rule=first, signs=(1,)):
    archive = Archive(rule, signs)
    for n, row in enumerate(rows):
        archive.add(entry(n, *row, excluded="NaN" if math.isnan(row[0]) else ""))
    return archive


def order(archive):
    return [int(e.recipe.seed) for e in archive.ranked()]


def test_an_empty_archive_has_no_best():
    archive = Archive(first, (1,))
    assert archive.best() is None
    assert archive.ranked() == archive.front() == archive.values() == []
    assert archive.fruitless() == 0


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e308, -1e308, math.nan]) | st.floats(-5, 5), max_size=40))
@settings(deadline=None)
def test_ties_keep_the_earlier_and_nan_never_wins(values):
    archive = filled([(v,) for v in values])
    expected = sorted((n for n, v in enumerate(values) if v == v), key=lambda n: (-values[n], n))
    assert order(archive) == expected
    assert [math.isnan(v) for v in archive.values()] == [math.isnan(v) for v in values]
    assert archive.best() is (archive.entries[expected[0]] if expected else None)
    some = [e.recipe for e in archive.entries[::2]][::-1]
    assert [int(e.recipe.seed) for e in archive.ranked(some)] == [n for n in expected if n % 2 == 0]
    assert archive.fruitless() == len(values) - (1 + expected[0] if expected else 0)


def test_a_candidate_is_never_evaluated_twice():
    archive = filled([(1,)])
    with pytest.raises(ValueError, match="was evaluated twice"):
        archive.add(entry(0, 2))


def test_previews_are_valued_and_never_the_best():
    archive = Archive(first, (1,))
    archive.add(entry(0, 1))
    archive.add(entry(1, 5, complete=False))
    archive.add(entry(2, 3, complete=False))
    assert order(archive) == [0]
    assert [int(e.recipe.seed) for e in archive.ranked([e.recipe for e in archive.entries])] == [1, 2, 0]
    assert archive.fruitless() == 0
    assert archive.front() == archive.entries[:1]


def test_the_rule_sees_the_whole_archive_and_is_asked_once_for_each_state_of_it():
    seen = []

    def rule(rows):
        seen.append(rows.clone())
        return rows[:, 0] - rows[:, 0].mean()

    archive = filled([(1, 9), (3, 9), (math.nan, 9)], rule, (1, 0))
    assert archive.values()[:2] == [-1, 1]
    archive.best(), archive.ranked(), archive.fruitless()
    assert len(seen) == 1
    assert torch.equal(seen[0], torch.tensor([[1.0, 9], [3, 9]], dtype=torch.float64))
    archive.add(entry(9, 5, 9))
    assert archive.value(Recipe("seed", "0")) == -2


def test_a_rule_may_leave_candidates_without_a_value():
    archive = filled([(1,), (2,), (3,)], lambda rows: torch.where(rows[:, 0] == 3, math.nan, rows[:, 0]))
    assert order(archive) == [1, 0]


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=30),
    st.tuples(st.sampled_from([-1, 0, 1]), st.sampled_from([-1, 1]), st.sampled_from([-1, 0, 1])),
)
@settings(deadline=None)
def test_the_front_is_what_nothing_else_beats_in_every_measure(rows, signs):
    archive = filled(rows, signs=signs)
    points = [tuple(s * x for s, x in zip(signs, row) if s) for row in rows]

    def beaten(n):
        return any(
            all(o >= x for o, x in zip(points[m], points[n])) and (points[m] != points[n] or m < n)
            for m in range(len(rows))
            if m != n
        )

    assert [int(e.recipe.seed) for e in archive.front()] == [n for n in range(len(rows)) if not beaten(n)]


def test_two_thousand_candidates_keep_their_rows():
    archive = filled([(n % 7, -n) for n in range(2000)], lambda rows: rows[:, 0] + rows[:, 1] / 1e6, (1, 1))
    assert archive.best().recipe.seed == "6"
    assert archive.values()[1999] == 1999 % 7 - 1999 / 1e6
