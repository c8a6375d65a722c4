"""Every template in the real page: nothing missing, misplaced or hidden; the Shapes World ones run from it.

The screenshots are kept in tests/output, to be looked at.
"""

from itertools import combinations

import pytest

from noise_search.harness import workflow

from .page import Page
from .person import Person
from .templates import OWN_WORLD, TEMPLATES, read

HIDE_MINIMAP = "() => app.ui.settings.setSettingValue('Comfy.Minimap.Visible', false)"  # it hides a corner of pictures
A_FEW = """() => {
    const images = app.graph.nodes.some(node => node.type === 'NS_SearchOverPaths') ? 24 : 6
    for (const node of app.graph.nodes)
        if (node.type === 'NS_SearchBudget') node.widgets.find(w => w.name === 'images').value = images
}"""


@pytest.mark.parametrize("name", TEMPLATES)
def test_opens_whole(name, page, client, template_models):
    page.tab.evaluate(HIDE_MINIMAP)
    page.load(read(name))
    page.tab.wait_for_timeout(1500)  # until widgets have taken their sizes
    picture = page.screenshot(f"template {name}", fit=False)
    assert not page.missing_nodes() and not page.alerts() and not page.errors, picture
    info, template = client.object_info(), read(name)
    shown = {node: {k: given[k] for k in ("class_type", "inputs")} for node, given in page.api().items()}
    assert shown == workflow.to_api(template, info)
    typed = page.widgets()
    for node in workflow.sent(template):
        meant = {name: value for name, _, value in workflow.widgets(node, info[node["type"]]) if name}
        assert meant.items() <= typed[str(node["id"])].items(), workflow.label(node)
    boxes = page.boxes()
    nothing_overlaps(boxes)
    every_node_is_in_a_group(boxes, template)
    links_read_from_left_to_right(boxes, template)


def nothing_overlaps(boxes):
    for (one, a), (other, b) in combinations(boxes.items(), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"nodes {one} and {other} overlap: {a}, {b}"


def every_node_is_in_a_group(boxes, template):
    groups = [group["bounding"] for group in template["groups"]]
    notes = {str(node["id"]) for node in template["nodes"] if node["type"] in workflow.NOTES}
    for node, (left, top, right, bottom) in boxes.items():
        inside = [x <= left and y <= top and right <= x + w and bottom <= y + h for x, y, w, h in groups]
        assert node in notes or sum(inside) == 1, f"node {node} is not in one group"


def links_read_from_left_to_right(boxes, template):
    """Or from above, where a column is full."""
    for number, source, _, target, *_ in template["links"]:
        a, b = boxes[str(source)], boxes[str(target)]
        assert a[2] <= b[0] or (a[0] <= b[0] and a[3] <= b[1]), f"link {number}: {source} to {target}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_opens_from_a_link_and_runs(name, browser, server, client, template_models):
    """With a few images of its search; those that need real weights are run, on stand-ins, in test_templates.py."""
    page = Page(browser, f"{server.url}/?noise-search={name}")
    page.tab.wait_for_function(f"app.graph.nodes.length == {len(read(name)['nodes'])}")
    assert sorted(n["type"] for n in page.workflow()["nodes"]) == sorted(n["type"] for n in read(name)["nodes"])
    if name in OWN_WORLD:
        client.heard = Person(client.url)
        page.tab.evaluate(A_FEW)
        assert page.run(timeout=300) == "execution_success"
        page.tab.wait_for_function(
            "() => app.graph.nodes.filter(n => ['SaveImage', 'PreviewImage', 'NS_SearchReport'].includes(n.type))"
            ".every(n => n.imgs?.length)"
        )
        page.screenshot(f"ran {name}", fit=False)
        assert not page.alerts() and not page.errors
        nothing_overlaps(page.boxes())
    page.close()


def test_the_template_browser_shows_them(page):
    page.tab.keyboard.press("Escape")
    page.tab.get_by_text("Templates", exact=True).first.click()
    page.tab.get_by_text("noise-search", exact=True).first.click()
    for name in TEMPLATES:  # a picture is fetched when its card comes into view
        page.tab.get_by_text(name, exact=True).scroll_into_view_if_needed()
        page.tab.wait_for_function("name => [...document.images].some(i => i.alt == name && i.naturalWidth)", arg=name)
    page.screenshot("template browser", fit=False)
