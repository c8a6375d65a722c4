"""Where ComfyUI is: an argument, COMFYUI_PATH, the folder this pack sits in, comfy-cli's workspace."""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).absolute().parents[1]  # absolute, not resolved: a linked pack sits in custom_nodes


def comfyui(argument=None):
    """The folder of ComfyUI, or None. A place that was asked for by name and is not ComfyUI is an error."""
    for source, place in (("--comfyui", argument), ("COMFYUI_PATH", os.environ.get("COMFYUI_PATH"))):
        if place:
            path = Path(place).expanduser().absolute()
            if not is_comfyui(path):
                raise FileNotFoundError(f"{source} is {path}, which holds no ComfyUI (main.py and comfy/).")
            return path
    return next(filter(is_comfyui, usual_places()), None)


def usual_places():
    """The folder around custom_nodes, then comfy-cli's default workspace."""
    return ROOT.parents[1], default_workspace()


def default_workspace():
    """Where comfy-cli installs ComfyUI when it is not told where."""
    return Path.home() / ("comfy" if sys.platform.startswith("linux") else "Documents/comfy") / "ComfyUI"


def is_comfyui(path):
    return (path / "main.py").is_file() and (path / "comfy" / "sd.py").is_file()


def version(path):
    """ComfyUI's own version number, read without importing it."""
    text = (path / "comfyui_version.py").read_text(encoding="utf-8")
    return re.search(r'__version__ = "(.+?)"', text)[1]
