"""Names from a workflow never leave their folder, and nothing is overwritten unsaid."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noise_search.search import SearchError

pytestmark = pytest.mark.usefixtures("comfy")


@pytest.fixture
def folder():
    from noise_search.nodes.host import folder

    return folder


BAD = [
    "", " ", ".", "..", "../x", "a/../../x", "a/..", "/etc/passwd", "//host/share", "..\\x", "a\\..\\..\\x",
    "C:\\x", "C:x", "\\\\host\\share\\x", "x\0y", "x\ny", "con", "NUL.safetensors", "a/aux", "x:stream", "a//b",
    "x.", "x ", "~/../x", "\ud800", "é" * 200,
]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_names_that_lead_out_are_refused(folder, tmp_path, name):
    with pytest.raises(SearchError, match="The name"):
        folder.inside(tmp_path, name, ".safetensors")


@pytest.mark.parametrize("name", ["winner", "a/b", "a\\b", "a b", "λ", "x.y", "~x", "...x"])
def test_ordinary_names_are_taken(folder, tmp_path, name):
    path = folder.inside(tmp_path, name, ".safetensors")
    assert path.suffix == ".safetensors" and path.is_relative_to(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.sampled_from("ab./\\:~ \0\n-") | st.characters(), max_size=12))
def test_no_name_leaves(folder, tmp_path_factory, name):
    home = tmp_path_factory.getbasetemp() / "home"
    try:
        path = folder.inside(home, name)
    except SearchError:
        return
    assert path.resolve().is_relative_to(home.resolve()) and path != home


def test_links_out_of_the_folder_are_refused(folder, tmp_path):
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    (other / "x.png").write_bytes(b"")
    (home / "link").symlink_to(other)
    (home / "file.png").symlink_to(other / "x.png")
    (home / "dangling").symlink_to(other / "new")
    for name in ("link/x.png", "file.png", "dangling"):
        with pytest.raises(SearchError, match="leads out"):
            folder.inside(home, name)


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    assert folder.inside(tmp_path / "home", "x").name == "x"


def test_taken_names_get_a_number(folder, tmp_path):
    path = tmp_path / "a" / "x.csv"
    written = [folder.write(path, bytes([n])) for n in range(3)]
    assert [p.name for p in written] == ["x.csv", "x_2.csv", "x_3.csv"]
    assert [p.read_bytes() for p in written] == [b"\0", b"\1", b"\2"]
    assert folder.write(path, b"new", replace=True) == path and path.read_bytes() == b"new"
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.csv", "x_2.csv", "x_3.csv"]


def test_a_failed_write_leaves_nothing(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(folder.os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        folder.write(tmp_path / "x.csv", b"1")
    assert list(tmp_path.iterdir()) == []
