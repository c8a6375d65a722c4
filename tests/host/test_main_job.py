"""`python run.py`: the same search with and without ComfyUI, and the five lines and files that it leaves."""

import os
import subprocess
import sys

import pytest

from noise_search.harness import find, job

FILES = {
    "before.png", "after.png", "before_after.png", "curve.png", "gallery.png",
    "report.txt", "history.json", "history.csv",
}  # fmt: skip


def test_comfyui_gives_what_the_embedded_search_gives(server, tmp_path):
    from noise_search.demo import search_embedded

    with_comfyui, without = tmp_path / "with", tmp_path / "without"
    with_comfyui.mkdir(), without.mkdir()
    one = job.search(server, with_comfyui, *job.search_graph(4, job.PROMPT, seed=3))
    other = search_embedded.main(without, images=4, prompt=job.PROMPT, seed=3)
    assert {path.name for path in with_comfyui.iterdir()} == {path.name for path in without.iterdir()} == FILES
    assert [line.recipe for line in one.lanes[0]] == [line.recipe for line in other.lanes[0]]
    for mine, theirs in zip(one.lanes[0], other.lanes[0], strict=True):
        assert mine.row == pytest.approx(theirs.row, abs=1e-3)
    assert one.spent == other.spent


def test_the_command_without_comfyui(tmp_path):
    environ = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    environ.pop("COMFYUI_PATH", None)
    command = [sys.executable, str(find.ROOT / "run.py"), "--here", "--images", "2", "--out", "results"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    heads = [line.split()[0] for line in done.stdout.strip().splitlines()]
    assert heads == ["found", "score", "evaluations", "time", "files"]
    assert {path.name for path in (tmp_path / "results").iterdir()} == FILES
