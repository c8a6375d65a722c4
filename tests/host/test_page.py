"""Every template in the real page: nothing missing, misplaced or hidden; the Shapes World ones run from it.

The screenshots are kept in tests/output, to be looked at.
"""

from itertools import combinations

import pytest

from noise_search.harness import workflow

from .person import Person
from .templates import OWN_WORLD, TEMPLATES, read

HIDE_MINIMAP = "() => app.ui.settings.setSettingValue('Comfy.Minimap.Visible', false)"  # it hides a corner of pictures


@pytest.fixture
def opened(name, page, template_models):
    """The page with the template open, as it opens."""
    page.tab.evaluate(HIDE_MINIMAP)
    page.load(read(name))
    page.tab.wait_for_timeout(1500)  # until widgets have taken their sizes
    return page


@pytest.mark.parametrize("name", TEMPLATES)
def test_opens_whole(name, opened, client):
    picture = opened.screenshot(f"template {name}", fit=False)
    assert not opened.missing_nodes() and not opened.alerts() and not opened.errors, picture
    info, template = client.object_info(), read(name)
    shown = {node: {k: given[k] for k in ("class_type", "inputs")} for node, given in opened.api().items()}
    assert shown == workflow.to_api(template, info)
    typed = opened.widgets()
    for node in workflow.sent(template):
        meant = {name: value for name, _, value in workflow.widgets(node, info[node["type"]]) if name}
        assert meant.items() <= typed[str(node["id"])].items(), workflow.label(node)


def nothing_overlaps(boxes):
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"nodes {one} and {other} overlap: {a}, {b}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_nothing_lies_on_anything(name, opened):
    boxes = opened.boxes()
    nothing_overlaps(boxes)
    groups = [group["bounding"] for group in read(name)["groups"]]
    notes = {str(node["id"]) for node in read(name)["nodes"] if node["type"] in workflow.NOTES}
    for node, (left, top, right, bottom) in boxes.items():
        inside = [x <= left and y <= top and right <= x + w and bottom <= y + h for x, y, w, h in groups]
        assert node in notes or sum(inside) == 1, f"node {node} is not in one group"


@pytest.mark.parametrize("name", TEMPLATES)
def test_links_read_from_left_to_right(name, opened):
    """Or from above, where a column is full."""
    boxes = opened.boxes()
    for number, source, _, target, *_ in read(name)["links"]:
        a, b = boxes[str(source)], boxes[str(target)]
        assert a[2] <= b[0] or (a[0] <= b[0] and a[3] <= b[1]), f"link {number}: {source} to {target}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_opens_from_a_link(name, page, server, template_models):
    page.tab.goto(f"{server.url}/?noise-search={name}")
    count = len(read(name)["nodes"])
    page.tab.wait_for_function(f"window.app?.graph?.nodes.length == {count}", timeout=60_000)
    assert sorted(n["type"] for n in page.workflow()["nodes"]) == sorted(n["type"] for n in read(name)["nodes"])


@pytest.mark.parametrize("name", OWN_WORLD)
def test_runs_from_the_page(name, opened, client):
    client.heard = Person(client.url)
    assert opened.run(timeout=300) == "execution_success"
    opened.tab.wait_for_function(
        "() => app.graph.nodes.filter(n => ['SaveImage', 'PreviewImage', 'NS_SearchReport'].includes(n.type))"
        ".every(n => n.imgs?.length)"
    )
    opened.screenshot(f"ran {name}", fit=False)
    assert not opened.alerts() and not opened.errors
    nothing_overlaps(opened.boxes())


def test_the_template_browser_shows_them(page):
    page.tab.keyboard.press("Escape")
    page.tab.get_by_text("Templates", exact=True).first.click()
    page.tab.get_by_text("noise-search", exact=True).first.click()
    for name in TEMPLATES:  # a picture is fetched when its card comes into view
        page.tab.get_by_text(name, exact=True).scroll_into_view_if_needed()
        page.tab.wait_for_function("name => [...document.images].some(i => i.alt == name && i.naturalWidth)", arg=name)
    page.screenshot("template browser", fit=False)
