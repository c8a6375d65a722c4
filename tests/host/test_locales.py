"""The nodes in other languages: nothing missing, nothing stale, nothing lost on the way, and the page shows it.

After a change to a node's words: `python locales/update.py`, then translate what it prints.
"""

import json
import re

import pytest

from noise_search.harness import translations, workflow
from noise_search.harness.translations import FILES, LANGUAGES, leaves, plain

from .templates import read

SCRIPT = {"zh": r"[\u4e00-\u9fff]", "ja": r"[\u3040-\u30ff]", "ko": r"[\uac00-\ud7a3]"}
# Numbers, choices in quotation marks, placeholders, types and acronyms, environment variables, files and folders.
NO_WORDS = re.compile(
    r'\d+(?:\.\d+)?|(?<=")[^"]+(?=")|\{\w*\}|\b[A-Z]{3,}[A-Z_]*\b|[\w.]*\.(?:pt|json|txt|safetensors)\b|models/\w+'
)


def words(language, file="nodeDefs.json"):
    return dict(leaves(translations.read(language)[file]))


def prose():
    """The paths of descriptions and tooltips."""
    return [path for path in words("en") if path[-1] in ("description", "tooltip")]


def test_the_english_is_what_the_nodes_say(client):
    now = translations.english(client.object_info())
    for file in FILES:
        assert json.dumps(translations.read("en")[file]) == json.dumps(now[file]), "run locales/update.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_input_and_output_is_named(client, language):
    ours = {id: known for id, known in client.object_info().items() if id.startswith("NS_")}
    nodes = translations.read(language)["nodeDefs.json"]
    assert list(nodes) == list(ours)
    for id, known in ours.items():
        texts = nodes[id]
        assert texts["display_name"] and texts["description"], id
        assert list(texts.get("inputs", {})) == list(workflow.all_inputs(known)), id
        assert all(of["name"] and of["tooltip"] for of in texts.get("inputs", {}).values()), id
        for k, (name, kind) in enumerate(zip(known["output_name"], known["output"], strict=True)):
            assert name == kind or texts["outputs"][str(k)]["name"], f"{id}: {name}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_missing_stale_or_still_english(language):
    for file, english in translations.read("en").items():
        translated = translations.read(language)[file]
        assert [path for path, _ in leaves(translated)] == [path for path, _ in leaves(english)]
        assert not translations.untranslated(english, translated)
    assert all(re.search(SCRIPT[language], words(language)[path]) for path in prose())


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_names_and_placeholders_are_kept(language):
    english, translated = words("en"), words(language)
    for path in prose():
        for kept in NO_WORDS.findall(plain(english[path])):
            assert kept in plain(translated[path]), f"{path}: {kept}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_inputs_are_called_by_their_names_on_the_node(language):
    """A tooltip that speaks of `keep` must call it what the translated node calls it."""
    english, translated = words("en"), words(language)
    labels = {}
    for (node, *path), label in translated.items():
        if path[0] == "inputs" and path[-1] == "name":
            labels.setdefault(path[1], {})[node] = label
    mentions = 0
    for path in prose():
        for name in re.findall(r"`(\w+)`|\b([a-z]+_[a-z0-9_]+)\b", english[path]):
            known = labels.get("".join(name), {})
            meant = [known[path[0]]] if path[0] in known else list(known.values())
            assert not meant or any(label in translated[path] for label in meant), f"{path}: {name}"
            mentions += bool(meant)
    assert mentions > 10


def test_the_server_serves_them(client):
    served = client.get("/i18n").json()
    for language in ("en", *LANGUAGES):
        files = translations.read(language)
        assert served[language]["nodeDefs"] == files["nodeDefs.json"]
        assert served[language]["nodeCategories"] == files["main.json"]["nodeCategories"]


@pytest.fixture(params=LANGUAGES)
def locale(request):
    """The page is opened by a browser of each language in turn."""
    return request.param


SHOWN = """() => Object.fromEntries(Object.keys(LiteGraph.registered_node_types).filter(id => id.startsWith('NS_'))
    .map(id => {
        const node = LiteGraph.createNode(id), data = node.constructor.nodeData
        const inputs = node.inputs.map(i => [i.name, i.localized_name])
        const widgets = (node.widgets ?? []).filter(w => !w.name.includes('control')).map(w => [w.name, w.label])
        return [id, {title: node.title, description: data.description, category: data.category,
            inputs: Object.fromEntries([...inputs, ...widgets]), outputs: node.outputs.map(o => o.localized_name)}]
    }))"""
SAID = "keys => keys.map(key => document.querySelector('#vue-app').__vue_app__.config.globalProperties.$t(key))"


def test_the_page_shows_every_word(page, locale, client):
    keys = {".".join(("nodeDefs", *path)): plain(text) for path, text in words(locale).items()}
    assert page.tab.evaluate(SAID, list(keys)) == list(keys.values())
    shown, info = page.tab.evaluate(SHOWN), client.object_info()
    parts = translations.read(locale)["main.json"]["nodeCategories"]
    assert shown
    for id, texts in translations.read(locale)["nodeDefs.json"].items():
        assert shown[id]["title"] == plain(texts["display_name"])
        assert shown[id]["description"] == plain(texts["description"])
        assert shown[id]["category"] == "/".join(parts[part] for part in info[id]["category"].split("/"))
        names = {name: plain(of["name"]) for name, of in texts.get("inputs", {}).items()}
        assert names.items() <= shown[id]["inputs"].items(), id
        for k, of in texts.get("outputs", {}).items():
            assert "name" not in of or shown[id]["outputs"][int(k)] == plain(of["name"]), id


MIDDLE_OF = """([type, name]) => {
    const node = app.graph.nodes.find(n => n.type === type), widget = node.widgets.find(w => w.name === name)
    const [x, y] = app.canvas.ds.convertOffsetToCanvas([node.pos[0] + node.size[0] / 2, node.pos[1] + widget.y + 10])
    const {left, top} = app.canvas.canvas.getBoundingClientRect()
    return [left + x, top + y]
}"""


def test_a_tooltip_is_read_under_the_mouse(page, locale):
    page.load(read("shapes_world_random_search"))
    page.screenshot(f"in {locale}", fit=False)
    page.tab.mouse.move(*page.tab.evaluate(MIDDLE_OF, ["NS_SearchBudget", "images"]), steps=3)
    tooltip = page.tab.locator(".node-tooltip")
    tooltip.wait_for()
    page.screenshot(f"tooltip in {locale}", fit=False)
    assert tooltip.inner_text() == words(locale)["NS_SearchBudget", "inputs", "images", "tooltip"]
    assert not page.errors and not page.alerts()
