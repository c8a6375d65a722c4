"""Where ComfyUI is looked for, and in which order."""

import pytest

from noise_search.harness import find


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without ComfyUI."""
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setattr(find, "usual_places", lambda: (tmp_path / "around", tmp_path / "workspace"))
    return tmp_path


def make(place, version="0.3.64"):
    (place / "comfy").mkdir(parents=True)
    (place / "comfy/sd.py").touch()
    (place / "main.py").touch()
    (place / "comfyui_version.py").write_text(f'__version__ = "{version}"\n')
    return place


def test_nothing_found(nowhere):
    assert find.comfyui() is None


def test_argument_then_variable_then_around_then_workspace(nowhere, monkeypatch):
    workspace = make(nowhere / "workspace")
    assert find.comfyui() == workspace
    around = make(nowhere / "around")
    assert find.comfyui() == around
    monkeypatch.setenv("COMFYUI_PATH", str(make(nowhere / "variable")))
    assert find.comfyui() == nowhere / "variable"
    assert find.comfyui(str(make(nowhere / "argument"))) == nowhere / "argument"


def test_a_named_place_without_comfyui_is_an_error(nowhere, monkeypatch):
    make(nowhere / "workspace")
    with pytest.raises(FileNotFoundError, match="--comfyui is .*holds no ComfyUI"):
        find.comfyui(str(nowhere))
    monkeypatch.setenv("COMFYUI_PATH", str(nowhere))
    with pytest.raises(FileNotFoundError, match="COMFYUI_PATH is"):
        find.comfyui()


def test_version(nowhere):
    assert find.version(make(nowhere / "any", "0.4.1")) == "0.4.1"


def test_the_pack_inside_custom_nodes_finds_the_comfyui_around_it(monkeypatch, tmp_path):
    monkeypatch.setattr(find, "ROOT", make(tmp_path / "ComfyUI") / "custom_nodes" / "noise-search")
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    assert find.comfyui() == tmp_path / "ComfyUI"
