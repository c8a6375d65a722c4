"""Import the pack without ComfyUI, by its folder, whatever that folder is called.

The pack uses relative imports only, because ComfyUI imports it under a name with a path in it. Scripts,
tests and benchmarks call `load()` first; after it, `from noise_search.search import ...` works. The pack's
root never goes on `sys.path`: its `nodes/` would hide ComfyUI's `nodes.py`.
"""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NAME = "noise_search"


def load():
    """The pack as the module `noise_search`, imported once."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = module
        spec.loader.exec_module(module)
    return sys.modules[NAME]
