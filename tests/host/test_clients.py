"""A searched image, made once from the page, asked for again by every client: it is the same image.

Each time it is computed anew: ComfyUI's cache and the search's history are emptied first.
"""

import base64
import copy
import io
import json

import pytest
from PIL import Image, ImageChops

from .page import Page
from .templates import read

IMAGES = 6
OPEN_FILE = """async ([content, name, type]) => {
    const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0))
    await app.handleFile(new File([bytes], name, { type }))
}"""


def edited():
    """The first template as a person would leave it: a smaller budget, another seed, a name of its own."""
    template = copy.deepcopy(read("shapes_world_random_search"))
    for node in template["nodes"]:
        if node["type"] == "NS_SearchBudget":
            node["widgets_values"][0] = IMAGES
        elif node["type"] == "KSampler":
            node["widgets_values"][0] = 2**50 - IMAGES  # the page changes those above 2^50 after a run
        elif node["type"] == "SaveImage":
            node["widgets_values"][0] = "clients/image"
    return template


def newest(base):
    """The last PNG that was saved."""
    return max((base / "output/clients").glob("*.png"), key=lambda path: path.name).read_bytes()


def saved(base):
    return len(list((base / "output/clients").glob("*.png")))


@pytest.fixture(scope="module")
def first(browser, server, base):
    """(the page's own form of the graph, its API form, the PNG) of the first run."""
    page = Page(browser, server.url)
    page.load(edited())
    assert page.run() == "execution_success"
    made = page.workflow(), page.api(), newest(base)
    page.close()
    return made


def open_file(page, content, name, type):
    """As when a file is dropped on the page, over the graph that is there."""
    page.tab.evaluate("() => app.graph.clear()")
    page.tab.evaluate(OPEN_FILE, [base64.b64encode(content).decode(), name, type])
    page.tab.wait_for_function("app.graph.nodes.some(n => n.type == 'NS_SearchWithKSampler')")
    assert not page.missing_nodes() and not page.alerts() and not page.errors


def is_the_same(png, first):
    one, other = (Image.open(io.BytesIO(content)) for content in (first[2], png))
    equal = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox() is None
    return equal and one.info["noise_search"] == other.info["noise_search"]


def by_page(page, base, history):
    """Run what is open; the PNG that came of it, computed anew."""
    before = saved(base)
    assert page.run() == "execution_success" and saved(base) == before + 1
    assert history.rows("SELECT count(*) FROM candidates") == [(IMAGES,)]
    return newest(base)


def by_api(client, graph, base, history):
    before = saved(base)
    client.run(graph)
    assert saved(base) == before + 1 and history.rows("SELECT count(*) FROM candidates") == [(IMAGES,)]
    return newest(base)


def test_the_saved_workflow(first, page, base, history):
    open_file(page, json.dumps(first[0]).encode(), "saved.json", "application/json")
    assert is_the_same(by_page(page, base, history), first)


def test_the_api_form(first, client, base, history):
    assert is_the_same(by_api(client, first[1], base, history), first)


def test_the_api_form_opened_in_the_page(first, page, base, history):
    open_file(page, json.dumps(first[1]).encode(), "api.json", "application/json")
    assert is_the_same(by_page(page, base, history), first)


def test_the_png_opened_in_the_page(first, page, base, history):
    open_file(page, first[2], "image.png", "image/png")
    assert [n["type"] for n in page.workflow()["nodes"]] == [n["type"] for n in first[0]["nodes"]]
    assert is_the_same(by_page(page, base, history), first)


def test_the_graph_in_the_png_given_to_the_api(first, client, base, history):
    graph = json.loads(Image.open(io.BytesIO(first[2])).info["prompt"])
    assert is_the_same(by_api(client, graph, base, history), first)


def test_another_seed_is_another_image(first, client, base, history):
    """That the images compared above could differ."""
    graph = copy.deepcopy(first[1])
    for node in graph.values():
        if node["class_type"] == "KSampler":
            node["inputs"]["seed"] += 1000
    assert not is_the_same(by_api(client, graph, base, history), first)
