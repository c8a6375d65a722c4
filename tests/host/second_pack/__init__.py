"""Another pack, for the tests: names much like ours, a folder of its own on Python's path, wrappers on the MODEL."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # as many packs do: `import search` now finds this one's

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS  # noqa: E402, F401
