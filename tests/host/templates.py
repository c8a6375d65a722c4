"""The templates of workflows/, for the tests that run them and those that look at them."""

import json

from noise_search.harness import find

FOLDER = find.ROOT / "workflows"
TEMPLATES = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}
OWN_WORLD = [name for name, path in TEMPLATES.items() if '"NS_ShapesWorld"' in path.read_text(encoding="utf-8")]
COMPARING = [name for name in OWN_WORLD if name.startswith("shapes_world")]  # a sampler with a search and one without


def read(name):
    """The template as UI JSON."""
    return json.loads(TEMPLATES[name].read_text(encoding="utf-8"))
