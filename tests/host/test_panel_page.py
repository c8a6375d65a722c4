"""The live panel on the real page: it grows, stops, answers clicks, comes back. Screenshots are in tests/output."""

import json

import pytest

from noise_search.harness import workflow

from .page import Page
from .panels import REPORT, SAMPLER, SEARCH, Panel, queue, searching
from .templates import read

LONG = 5000  # images: a search that goes on until it is stopped


@pytest.fixture
def stopping(client):
    """Whatever still runs when the test ends is cancelled."""
    yield
    client.interrupt()


def seed_of(candidate):
    return json.loads(candidate["recipe"])["seed"]


def widget(page, node, name):
    return page.widgets()[node][name]


def test_it_grows_and_stops_with_the_best(page, client, stopping):
    page.load(searching(LONG))
    assert page.tab.locator(".ns-panel").count() == 0  # nothing to show yet
    prompt = queue(page)
    panel = Panel(page, SEARCH)
    for count in (2, 5, 8):
        panel.wait_for(count)
    panel.show()
    page.screenshot("panel running", fit=False)
    assert panel.of(".ns-thumb").count() == 6
    cost = panel.of(".ns-cost").inner_text()
    assert f" / {2 * LONG} evaluations" in cost and "left" in cost
    measures = panel.of(".ns-measures").inner_text()
    assert "Shapes Verifier" in measures and "Shapes Oracle (watched)" in measures
    panel.of(".ns-stop").click()
    panel.wait_until("stopped")
    client_knows = [b for b in client.get("/noise_search/boards").json() if b["prompt"] == prompt]
    page.tab.wait_for_function("() => app.nodeOutputs[17]?.images", timeout=120_000)  # it went on
    panel.show()
    page.screenshot("panel stopped", fit=False)
    assert [b["ended"] for b in client_knows] == ["stopped"] and panel.of(".ns-stop").count() == 0
    known, shown = client_knows[0]["lanes"][0], panel.candidates()
    assert shown == known["candidates"] and len(shown) < LONG
    pictures = panel.tab.evaluate(f"() => [...document.querySelectorAll(`{panel.mark} img`)].map(i => i.naturalWidth)")
    assert pictures == [192] * 6
    assert not page.errors and not page.alerts()


def test_the_report_shows_it_too_and_then_its_own_pictures(page):
    page.load(searching(6))
    queue(page)
    page.tab.wait_for_function("id => app.nodeOutputs[id]?.images", arg=REPORT, timeout=200_000)
    panel, other = Panel(page, REPORT), Panel(page, SEARCH)
    panel.wait_until("budget spent")
    panel.show(scale=0.9)
    page.screenshot("panel folded on the report", fit=False)
    assert panel.board() == other.board() and not panel.of(".ns-chart").is_visible()
    panel.of("header button").click()
    assert panel.of(".ns-chart").is_visible()
    page.screenshot("panel unfolded on the report", fit=False)
    assert not page.errors


def test_a_dot_tells_its_candidate(page, client):
    page.tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.load(searching(8))
    assert page.run(timeout=300) == "execution_success"
    panel = Panel(page, SEARCH)
    panel.wait_until("budget spent")
    panel.show()
    candidates, lane = panel.candidates(), panel.board()["lanes"][0]
    apart = farthest(panel)
    panel.click(apart)
    facts = panel.of(".ns-facts").inner_text()
    page.screenshot("panel with a candidate", fit=False)
    seed = seed_of(candidates[apart])
    assert f"Candidate {apart} of 8" in facts and f"seed {seed}" in facts
    for name, number in zip(("Score", "Shapes Verifier", "Shapes Oracle (watched)"),
                            (lane["values"][apart], *candidates[apart]["row"])):  # fmt: skip
        assert f"{name}: {number:.4g}" in facts
    panel.of(".ns-buttons button").nth(0).click()
    page.tab.locator(".p-toast-message", has_text="on the clipboard").wait_for()
    assert page.tab.evaluate("navigator.clipboard.readText()") == seed
    panel.of(".ns-chart").press("ArrowRight")
    assert f"Candidate {min(apart + 1, 7)} of 8" in panel.of(".ns-facts").inner_text()
    panel.of(".ns-back").click()
    assert panel.of(".ns-thumb").count() == 6
    assert not page.errors


def farthest(panel):
    """A candidate whose dot stands alone."""
    spots = panel.tab.evaluate("id => app.graph.getNodeById(id).noiseSearchPanel.spots", panel.node)

    def room(n):
        return min((spots[n][0] - x) ** 2 + (spots[n][1] - y) ** 2 for m, (x, y) in enumerate(spots) if m != n)

    return max(range(1, len(spots)), key=room)


def test_a_seed_becomes_the_starting_point_and_can_be_undone(page):
    template = searching(4)
    next(node for node in template["nodes"] if node["id"] == 15)["widgets_values"][1] = "randomize"
    page.load(template)
    assert page.run(timeout=300) == "execution_success"
    panel = Panel(page, SEARCH)
    panel.wait_until("budget spent")
    panel.show()
    before = widget(page, SAMPLER, "seed")
    panel.click(3)
    panel.of(".ns-buttons button").nth(1).click()
    page.tab.locator(".p-toast-message", has_text="The search starts from seed").wait_for()
    assert widget(page, SAMPLER, "seed") == int(seed_of(panel.candidates()[3]))
    assert widget(page, SAMPLER, "control_after_generate") == "fixed"
    page.tab.keyboard.press("Control+z")
    page.tab.wait_for_function("v => app.graph.getNodeById(15).widgets[0].value === v", arg=before)
    assert widget(page, SAMPLER, "control_after_generate") == "randomize"
    Panel(page, SEARCH).wait_for(4)  # it is still there
    assert not page.errors


def test_it_comes_back_after_a_reload_in_mid_search(page, stopping):
    page.load(searching(LONG))
    queue(page)
    panel = Panel(page, SEARCH)
    panel.wait_for(5)
    before = panel.candidates()
    page.tab.wait_for_function(  # what the page keeps for a reload
        "id => Object.values(sessionStorage).concat(Object.values(localStorage)).some(v => v.includes(id))",
        arg=panel.board()["workflow"],
    )
    page.tab.reload()
    page.tab.wait_for_function("window.app?.graph?.nodes.length", timeout=120_000)
    panel = Panel(page, SEARCH)
    panel.wait_for(len(before) + 1)
    assert panel.candidates()[: len(before)] == before
    page.screenshot("panel after a reload", fit=False)
    panel.of(".ns-stop").click()
    panel.wait_until("stopped")
    assert not [error for error in page.errors if "/extensions/noise-search" in error]


def test_two_pages_show_the_same(page, browser, server, client, stopping):
    page.load(searching(LONG))
    other = Page(browser, server.url)
    other.load(page.workflow())
    queue(page)
    panels = [Panel(each, SEARCH) for each in (page, other)]
    for panel in panels:
        panel.wait_for(4)
    panels[1].of(".ns-stop").click()
    for panel in panels:
        panel.wait_until("stopped")
    assert panels[0].candidates() == panels[1].candidates()
    other.load(read("hires_fix_loop"))  # another graph, whose nodes have the same numbers
    assert other.tab.locator(".ns-panel").count() == 0
    assert not page.errors and not other.errors
    other.close()


def test_a_cancelled_search_says_that_it_did_not_finish(page, client):
    page.load(searching(LONG))
    queue(page)
    panel = Panel(page, SEARCH)
    panel.wait_for(2)
    client.interrupt()
    panel.wait_until("did not finish")
    assert panel.of(".ns-stop").count() == 0


def test_on_a_loop(page):
    template = read("hires_fix_loop")
    budget = next(node for node in workflow.sent(template) if node["type"] == "NS_SearchBudget")
    budget["widgets_values"][0] = 4
    page.load(template)
    assert page.run(timeout=400) == "execution_success"
    end = next(str(node["id"]) for node in template["nodes"] if node["type"] == "NS_SearchLoopEnd")
    panel = Panel(page, end)
    panel.wait_until("budget spent")
    panel.show()
    page.screenshot("panel on a loop", fit=False)
    board = panel.board()
    assert (board["unit"], board["spent"], len(panel.candidates())) == ("images", 4, 4)
    start = next(str(node["id"]) for node in template["nodes"] if node["type"] == "NS_SearchLoopStart")
    assert board["seed_at"] == [start, "seed"] and panel.of("img").count() == 4
    assert not page.errors


SET = "async all => { for (const [k, v] of Object.entries(all)) await app.extensionManager.setting.set(k, v) }"


@pytest.mark.parametrize(("palette", "vue"), [("light", False), ("dark", True)])
def test_in_light_and_dark_and_both_ways_of_drawing_nodes(page, palette, vue):
    settings = {"Comfy.ColorPalette": palette, "Comfy.VueNodes.Enabled": vue, "Comfy.Minimap.Visible": False}
    page.load(searching(8))
    page.tab.evaluate(SET, settings)
    try:
        assert page.run(timeout=300) == "execution_success"
        panel = Panel(page, SEARCH)
        panel.wait_until("budget spent")
        panel.show(scale=1.0)
        page.screenshot(f"panel {palette}{' vue' * vue}", fit=False)
        assert panel.of(".ns-chart").is_visible() and panel.of(".ns-thumb").count() == 6
        ink, paper = page.tab.evaluate(
            "mark => { const s = getComputedStyle(document.querySelector(mark)); return [s.color, s.backgroundColor] }",
            panel.mark,
        )
        assert abs(luma(ink) - luma(paper)) > 100
        panel.of(".ns-thumb").first.click()
        assert "Candidate" in panel.of(".ns-facts").inner_text()
    finally:
        usual = {"Comfy.ColorPalette": "dark", "Comfy.VueNodes.Enabled": False, "Comfy.Minimap.Visible": True}
        page.tab.evaluate(SET, usual)
    assert not page.errors


def luma(colour):
    """Of rgb(...) as a browser writes it, 0-255."""
    r, g, b = (float(x) for x in colour[colour.index("(") + 1 : -1].split(",")[:3])
    return 0.299 * r + 0.587 * g + 0.114 * b
