"""The page's fixture and the template check, on ComfyUI's own default workflow."""

import copy

import pytest

from noise_search.harness import workflow

from .page import Page

OPEN_DEFAULT = "async () => { await app.loadGraphData() }"


@pytest.fixture(scope="module")
def default(browser, server, template_models):
    """The page's default workflow; it asks for the SD 1.5 checkpoint that a stand-in is there for."""
    page = Page(browser, server.url)
    page.tab.evaluate(OPEN_DEFAULT)
    yield page.workflow()
    page.close()


def test_page_opens_queues_and_is_pictured(page, default):
    template = copy.deepcopy(default)
    size = next(node for node in template["nodes"] if node["type"] == "EmptyLatentImage")
    steps = next(node for node in template["nodes"] if node["type"] == "KSampler")
    size["widgets_values"], steps["widgets_values"][2] = [64, 64, 1], 2
    page.load(template)
    assert not page.missing_nodes() and not page.alerts() and not page.errors
    assert page.run() == "execution_success"
    assert page.screenshot("default_workflow").stat().st_size > 20_000


def test_templates_convert_as_the_page_does(page, client, default):
    page.load(default)
    graph = workflow.to_api(default, client.object_info())
    asked = {node: {k: given[k] for k in ("class_type", "inputs")} for node, given in page.api().items()}
    assert graph == asked


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda sampler: sampler.update(type="Gone"), "no such node"),
        (lambda sampler: sampler["widgets_values"].pop(1), "has 6 widget values"),
        (lambda sampler: sampler["widgets_values"].__setitem__(2, "20"), "widget steps is '20', not INT"),
        (lambda sampler: sampler["widgets_values"].__setitem__(4, "none"), "widget sampler_name is 'none'"),
        (lambda sampler: sampler["inputs"][0].update(link=None), "required input model is not linked"),
        (lambda sampler: sampler["inputs"][0].update(name="modle"), "has no input modle"),
        (lambda sampler: sampler.update(mode=4), "muted or bypassed"),
    ],
)
def test_damaged_templates_are_refused(default, client, damage, complaint):
    template = copy.deepcopy(default)
    damage(next(node for node in template["nodes"] if node["type"] == "KSampler"))
    with pytest.raises(workflow.Mismatch, match=complaint):
        workflow.to_api(template, client.object_info())
