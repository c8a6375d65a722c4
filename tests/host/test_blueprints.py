"""The blueprints of subgraphs/: the page offers them by name, opens them whole, and what is inside runs.

Servers later than 0.3.64 hand a pack's blueprints to the page; before, a person copies them to their own folder, as is
done here.
"""

import json
import shutil

import pytest
from PIL import Image, ImageChops

from noise_search.harness import find, workflow

from .test_server_search import PROMPT, World

FOLDER = find.ROOT / "subgraphs"
BLUEPRINTS = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}

ADD = """([type, values]) => {
    const node = LiteGraph.createNode(type)
    app.graph.add(node)
    for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name == name).value = value
    return node.id
}"""
SET = "([id, name, value]) => { app.graph.getNodeById(id).widgets.find(w => w.name == name).value = value }"
LINK = """([from, output, to, input]) => {
    const [source, target] = [from, to].map(id => app.graph.getNodeById(id))
    source.connect(output, target, target.inputs.findIndex(i => i.name == input))
}"""


def read(name):
    return json.loads(BLUEPRINTS[name].read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def of_the_person(server, base, template_models):
    """The blueprints in the folder of the person who uses the page."""
    place = shutil.copytree(FOLDER, base / "user/default/subgraphs")
    yield
    shutil.rmtree(place)


def put(page, name):
    """Type a blueprint's name into the page's search box and take it; the node's id."""
    page.tab.evaluate("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.tab.get_by_placeholder("Search Nodes").fill(name)
    page.tab.get_by_text("Blueprint", exact=True).first.wait_for()
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_function("app.graph.nodes.some(n => n.isSubgraphNode())")
    assert not page.missing_nodes() and not page.alerts() and not page.errors
    return page.tab.evaluate("app.graph.nodes.find(n => n.isSubgraphNode()).id")


@pytest.fixture
def empty(page):
    """The page with nothing on the canvas."""
    page.tab.evaluate("() => app.graph.clear()")
    return page


def inside(blueprint, info, id):
    """What the page is to queue for a blueprint that stands alone: its inner nodes, as `id:inner`."""
    (graph,) = blueprint["definitions"]["subgraphs"]
    sources = {link["id"]: link for link in graph["links"] if link["origin_id"] > 0}
    asked = {}
    for node in graph["nodes"]:
        inputs = {name: value for name, _, value in workflow.widgets(node, info[node["type"]]) if name}
        for slot in node["inputs"]:
            if link := sources.get(slot["link"]):
                inputs[slot["name"]] = [f"{id}:{link['origin_id']}", link["origin_slot"]]
        asked[f"{id}:{node['id']}"] = {"class_type": node["type"], "inputs": inputs}
    return asked


def handed_out(graph, asked, id):
    """The widgets that a blueprint shows outside, each with the value of the one inside that it stands for."""
    nodes, values = {node["id"]: node for node in graph["nodes"]}, {}
    for link in graph["links"]:
        if link["origin_id"] == graph["inputNode"]["id"]:
            node = nodes[link["target_id"]]
            slot = node["inputs"][link["target_slot"]]
            if "widget" in slot:
                outer = graph["inputs"][link["origin_slot"]]["name"]
                values[outer] = asked[f"{id}:{node['id']}"]["inputs"][slot["name"]]
    return values


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_opens_whole(name, empty, client):
    """Every value and link inside is where the file has it; what is handed outside shows the same values."""
    id, blueprint, info = put(empty, name), read(name), client.object_info()
    shown = {node: {k: given[k] for k in ("class_type", "inputs")} for node, given in empty.api().items()}
    assert shown == inside(blueprint, info, id)
    (graph,) = blueprint["definitions"]["subgraphs"]
    (node,) = blueprint["nodes"]
    assert node["type"] == graph["id"] and node["title"] == graph["name"] == name
    assert empty.widgets()[str(id)] == handed_out(graph, shown, id)
    empty.screenshot(f"blueprint {name}")


def test_a_searched_ksampler_runs_and_obeys_its_outer_values(empty, client, base, history):
    id = put(empty, "KSampler with Search and Report")

    def add(type, **values):
        return empty.tab.evaluate(ADD, [type, values])

    def link(source, output, target, input):
        empty.tab.evaluate(LINK, [source, output, target, input])

    world, verifier = add("NS_ShapesWorld"), add("NS_ShapesVerifier")
    positive, negative = (add("CLIPTextEncode", text=text) for text in (PROMPT, ""))
    latent, save = add("EmptyLatentImage", width=256, height=256), add("SaveImage", filename_prefix="blueprint")
    for text, input in ((positive, "positive"), (negative, "negative")):
        link(world, 1, text, "clip")
        link(text, 0, id, input)
    for source, output, input in ((world, 0, "model"), (world, 2, "vae"), (verifier, 0, "verifier")):
        link(source, output, id, input)
    link(latent, 0, id, "latent_image")
    link(id, 1, save, "images")
    settings = {"seed": 77, "steps": 3, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "images": 5}
    for name, value in settings.items():
        empty.tab.evaluate(SET, [id, name, value])
    assert empty.run() == "execution_success"
    assert history.rows("SELECT count(*) FROM candidates") == [(5,)]
    (saved,) = (base / "output").glob("blueprint*.png")
    empty.screenshot("ran blueprint")

    history.make_room(but="")
    same = World(images=5, steps=3, seed=77)
    same.graph.set(same.block, verifier=same.graph.add("NS_ShapesVerifier"))
    (image,) = client.run(same.graph).images(same.saved)
    with Image.open(saved) as picture:
        assert ImageChops.difference(picture.convert("RGB"), image.convert("RGB")).getbbox() is None


def test_two_searches_in_a_row_as_one_block(empty, client, base):
    """The chain inside is the chain that the search runs."""
    id = put(empty, "Random, then Zero-Order")
    for name, value in {"explore": 3, "refine": 4, "neighbours": 2}.items():
        empty.tab.evaluate(SET, [id, name, value])
    chain = {node: {k: given[k] for k in ("class_type", "inputs")} for node, given in empty.api().items()}
    w = World()
    w.graph.update(chain)
    (last,) = (node for node, given in chain.items() if given["class_type"] == "NS_ZeroOrderSearch")
    w.graph.set(w.block, search=[last, 0])
    report = w.report()
    text = client.run(w.graph).text(report)
    assert "Random Search: 3 candidates" in text and "Zero-Order Search: 4 candidates" in text


def test_they_lie_where_servers_look_for_them(base):
    assert {path.stem for path in (base / "custom_nodes").glob("*/subgraphs/*.json")} == set(BLUEPRINTS)
