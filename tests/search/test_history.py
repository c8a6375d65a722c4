"""The history: what earlier runs of the same search evaluated."""

import math
import multiprocessing
import sqlite3

import pytest

from noise_search.search import Recipe, Result, SearchError
from noise_search.search.history import History

RECIPE = Recipe("seed", str(2**64 - 1), moves=(("advance", 0, 5), ("renoise", 5, 4, "9")))
RESULT = Result((0.1 + 0.2, -1e-300, math.nan), 30, 1.25)


def evaluated(history, key, n, size=0):
    memory = history.of(key)
    memory.record([(0, Recipe("seed", str(n)), Result((float(n),), 5, 0.1))])
    if size:
        memory.latents.put(0, str(n), bytes(size))
    return memory


def test_what_was_recorded_is_recalled_to_the_last_digit(tmp_path):
    with History(tmp_path / "folder" / "history.sqlite") as history:
        history.of("k").record([(1, RECIPE, RESULT)])
    with History(tmp_path / "folder" / "history.sqlite") as history:
        memory = history.of("k")
        found = memory.recall(1, RECIPE)
        assert found.row[:2] == RESULT.row[:2]
        assert math.isnan(found.row[2])
        assert (found.nfe, found.seconds) == (30, 1.25)
        assert memory.recall(0, RECIPE) is None
        assert memory.recall(1, RECIPE.noise) is None
        assert history.of("other").recall(1, RECIPE) is None


def test_the_first_record_stands():
    with History(":memory:") as history:
        memory = history.of("k")
        memory.record([(0, RECIPE, Result((1.0,), 5, 0.1))])
        memory.record([(0, RECIPE, Result((2.0,), 5, 0.1))])
        assert memory.recall(0, RECIPE).row == (1.0,)


def test_latents_and_the_account_are_kept_by_lane_and_id():
    with History(":memory:") as history:
        memory = history.of("k")
        for lane, id, content in [(0, "a", b"1"), (0, "b", b"2"), (1, "a", b"3")]:
            memory.latents.put(lane, id, content)
        memory.latents.put(0, "b", b"4")
        memory.latents.drop([(0, "a"), (1, "never")])
        assert [memory.latents.get(*place) for place in [(0, "a"), (0, "b"), (1, "a")]] == [None, b"4", b"3"]
        assert memory.run() is None
        memory.put_run("one")
        memory.put_run("two")
        assert memory.run() == "two"
        assert history.of("other").run() is None


def test_searches_longest_unused_are_forgotten_first(tmp_path):
    with History(tmp_path / "h.sqlite", megabytes=1) as history:
        for key in "abc":
            evaluated(history, key, 1, 300_000)
        history.of("a")  # used again
        evaluated(history, "d", 1, 300_000)
        held = {key for (key,) in history.rows("SELECT key FROM searches")}
        assert held == {"a", "c", "d"}
        for table in ("candidates", "latents"):
            assert {key for (key,) in history.rows(f"SELECT DISTINCT key FROM {table}")} == held


def test_the_file_stays_within_its_bound(tmp_path):
    path = tmp_path / "h.sqlite"
    with History(path, megabytes=1) as history:
        for n in range(30):
            evaluated(history, f"search {n}", n, 200_000)
            assert history.bytes_used() <= 2**20 + 50_000
        assert history.of("search 29").latents.get(0, "29") is not None
    assert path.stat().st_size <= 2**20 + 50_000


def test_one_search_alone_keeps_to_the_bound_and_its_evaluations():
    with History(":memory:", megabytes=1) as history:
        memory = history.of("k")
        for n in range(30):
            memory.record([(0, Recipe("seed", str(n)), Result((float(n),), 5, 0.1))])
            memory.latents.put(0, str(n), bytes(100_000))
        assert history.bytes_used() <= 2**20 + 50_000
        assert all(memory.recall(0, Recipe("seed", str(n))) for n in range(30))
        assert memory.latents.get(0, "0") is not None
        assert memory.latents.get(0, "29") is None


def test_states_give_way():
    """To whatever else is to be remembered; and they push out nothing but states of other searches."""
    with History(":memory:", megabytes=1) as history:
        old, new = (evaluated(history, key, 1, 200_000) for key in "ab")
        old.states.put(0, "x", bytes(300_000))
        new.states.put(0, "y", bytes(2_000_000))  # never fits: nothing goes for it
        assert old.states.places() == [(0, "x")] and not new.states.places()
        new.states.put(0, "y", bytes(400_000))
        assert not old.states.places() and new.states.get(0, "y") == bytes(400_000)
        new.states.put(0, "z", bytes(400_000))
        assert new.states.places() == [(0, "y")]
        assert old.latents.get(0, "1") and new.latents.get(0, "1")
        new.latents.put(0, "2", bytes(400_000))
        assert new.latents.get(0, "2") and old.latents.get(0, "1") and not new.states.places()


def test_states_whose_search_was_forgotten_go(tmp_path):
    with History(tmp_path / "h.sqlite") as history:
        for key in "ab":
            history.of(key).states.put(0, "x", b"1")
        with history.changing("b") as db:
            db.execute("DELETE FROM searches WHERE key = 'a'")
    with History(tmp_path / "h.sqlite") as history:
        assert history.rows("SELECT key FROM states") == [("b",)]


def test_a_search_that_another_server_forgot_can_still_be_forgotten():
    with History(":memory:", megabytes=1) as history:
        memory = evaluated(history, "a", 1)
        with history.changing("b") as db:
            db.execute("DELETE FROM searches WHERE key = 'a'")
        memory.record([(0, RECIPE, RESULT)])
        assert ("a",) in history.rows("SELECT key FROM searches")


def test_a_change_that_fails_leaves_nothing_half_written():
    with History(":memory:") as history:
        memory = history.of("k")
        unwritable = Result((object(),), 5, 0.1)
        with pytest.raises(TypeError):
            memory.record([(0, RECIPE, RESULT), (1, RECIPE, unwritable)])
        with pytest.raises(sqlite3.Error), history.changing("k") as db:
            db.execute("INSERT INTO runs VALUES ('k', 'text')")
            db.execute("INSERT INTO nowhere VALUES (1)")
        assert memory.recall(0, RECIPE) is None
        assert memory.run() is None
        memory.put_run("afterwards")
        assert memory.run() == "afterwards"


def test_a_file_that_is_no_history_is_said(tmp_path):
    path = tmp_path / "h.sqlite"
    path.write_bytes(b"not a database " * 1000)
    with pytest.raises(SearchError, match=r"^The history .*h\.sqlite cannot be read"):
        History(path)


def _write(path, lane, count, gate):
    gate.wait()
    with History(path, megabytes=64) as history:
        memory = history.of("shared")
        for n in range(count):
            memory.record([(lane, Recipe("seed", str(n)), Result((float(n),), 5, 0.1))])
            memory.latents.put(lane, str(n), bytes(1000))
            memory.put_run(str(n))


def test_processes_share_one_file_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    path, gate = tmp_path / "h.sqlite", context.Barrier(3)
    workers = [context.Process(target=_write, args=(path, lane, 40, gate)) for lane in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with History(path) as history:
        memory = history.of("shared")
        for lane in range(3):
            assert all(memory.recall(lane, Recipe("seed", str(n))).row == (n,) for n in range(40))
            assert memory.latents.get(lane, "39") == bytes(1000)
