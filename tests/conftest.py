"""Loads the pack by its folder, under one importable name, before any test is collected."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("standalone", Path(__file__).parents[1] / "standalone.py")
_standalone = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_standalone)
_standalone.load()
