"""The nodes' words in other languages, in the files that ComfyUI's page looks them up in.

`locales/<language>/nodeDefs.json` holds node id → display_name, description, inputs (by name) and outputs (by
number) with a name and a tooltip each; `main.json` holds nodeCategories, the parts of the menu path. What a
language lacks is shown in English. `locales/en` is the English that the translations were made from, so that a
text that changes in a node is seen to need new translations. The page does not translate the choices of a menu.
"""

import json
import re
from collections import defaultdict

from .find import ROOT
from .graph import options_of
from .workflow import all_inputs

LANGUAGES = ("zh", "ja", "ko")
FILES = ("nodeDefs.json", "main.json")
KEPT = {"CLIPScore", "HPSv2", "ImageReward", "PickScore", "vae"}  # the same in every language


def english(info):
    """What our nodes say, file name → content. info: the server's /object_info."""
    ours = {id: known for id, known in info.items() if id.startswith("NS_")}
    parts = [part for known in ours.values() for part in known["category"].split("/")]
    return {
        "nodeDefs.json": {id: texts_of(known) for id, known in ours.items()},
        "main.json": {"nodeCategories": {part: escaped(part) for part in parts}},
    }


def texts_of(known):
    """One node's entry. An output that is named by its type is translated by the page itself."""
    inputs = {name: entry(name, options_of(spec).get("tooltip")) for name, spec in all_inputs(known).items()}
    named = zip(known["output_name"], known["output"], known.get("output_tooltips") or [None] * 99)
    outputs = {str(k): entry(None if name == kind else name, tip) for k, (name, kind, tip) in enumerate(named)}
    whole = {
        "display_name": escaped(known["display_name"]),
        "description": escaped(known["description"]),
        "inputs": inputs,
        "outputs": {k: texts for k, texts in outputs.items() if texts},
    }
    return {key: texts for key, texts in whole.items() if texts}


def entry(name, tooltip):
    return {key: escaped(text) for key, text in (("name", name), ("tooltip", tooltip)) if text}


def escaped(text):
    """As the page's message format wants it: {, }, @ and | have a meaning there."""
    return re.sub(r"[{}@|]", r"{'\g<0>'}", text)


def plain(text):
    """As the page shows it."""
    return re.sub(r"\{'([{}@|])'\}", r"\1", text)


def leaves(tree, path=()):
    """(path, text) of every text, in order."""
    for key, below in tree.items():
        if isinstance(below, dict):
            yield from leaves(below, (*path, key))
        else:
            yield (*path, key), below


def renewed(now, before, translated):
    """A language's texts in the order of the English. What is new or has changed stays in English.

    now, before: the English as the nodes say it, and as it was translated. A new text that is the same as another,
    such as a tooltip that many nodes share, takes the translation of that one.
    """
    old, texts = dict(leaves(before)), dict(leaves(translated))
    known = defaultdict(set)
    for path, text in old.items():
        known[path[-1], text].add(texts.get(path, text))

    def translation(path, text):
        if old.get(path) == text and path in texts:
            return texts[path]
        same = known[path[-1], text]
        return next(iter(same)) if len(same) == 1 else text

    return with_texts(now, translation)


def with_texts(tree, translation, path=()):
    return {
        key: with_texts(below, translation, (*path, key))
        if isinstance(below, dict)
        else translation((*path, key), below)
        for key, below in tree.items()
    }


def untranslated(now, translated):
    """(path, text) of what is still in English."""
    texts = dict(leaves(translated))
    return [(path, text) for path, text in leaves(now) if texts.get(path, text) == text and text not in KEPT]


def read(language):
    """file name → content of a language's files; empty where there is none yet."""
    files = {name: ROOT / "locales" / language / name for name in FILES}
    return {n: json.loads(f.read_text(encoding="utf-8")) if f.exists() else {} for n, f in files.items()}


def write(language, content):
    for name, tree in content.items():
        file = ROOT / "locales" / language / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
