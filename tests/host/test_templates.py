"""Every template in workflows/: fits the server's nodes and runs through the real server."""

import io
import re

import av
import numpy as np
import pytest
from PIL import Image

from noise_search.demo import oracle, scenes
from noise_search.harness import workflow

from .person import Person
from .templates import COMPARING, FOLDER, OWN_WORLD, TEMPLATES, read

# Sizes at which a stand-in for a large model takes seconds.
SMALL = {
    "EmptyLatentImage": {"width": 64, "height": 64},
    "EmptySD3LatentImage": {"width": 64, "height": 64},
    "EmptyHunyuanLatentVideo": {"width": 48, "height": 48, "length": 5},
    "KSampler": {"steps": 2},
    "BasicScheduler": {"steps": 2},
    "NS_SearchBudget": {"images": 3, "evaluations": 0},
}


@pytest.fixture
def graph(name, client, template_models):
    """The template as a graph for the API; those of large models at a small size."""
    client.heard = Person(client.url)
    graph = workflow.to_api(read(name), client.object_info())
    if name not in OWN_WORLD:
        for node in graph.values():
            node["inputs"].update(SMALL.get(node["class_type"], {}))
    return graph


@pytest.mark.parametrize("name", TEMPLATES)
def test_runs(name, graph, client):
    run = client.run(graph, timeout=600)
    images, videos, reports = (
        of(graph, *types) for types in (("SaveImage", "PreviewImage"), ("SaveVideo",), ("NS_SearchReport",))
    )
    assert images or videos and reports
    assert all(run.images(node) for node in images + reports)
    assert all(len(frames(run, node)) == 5 for node in videos)
    assert all(re.search("budget spent|target reached", run.text(node)) for node in reports)
    if name in OWN_WORLD:
        shows_what_its_notes_say(graph, run)


def shows_what_its_notes_say(graph, run):
    """What is saved has every fact right; what stands beside it, for comparison, has not."""
    typed = {str(graph[node]["inputs"]["text"]) for node in of(graph, "CLIPTextEncode")} - {""}
    (text,) = {graph[node]["inputs"]["value"] for node in of(graph, "PrimitiveStringMultiline")} or typed
    prompt = scenes.parse(text)

    def right(node):
        (image,) = run.images(node)
        return all(holds for _, holds in oracle.check(np.asarray(image.convert("RGB")) / 255, prompt))

    assert all(right(node) for node in of(graph, "SaveImage"))
    assert not any(right(node) for node in of(graph, "PreviewImage"))


def of(graph, *types):
    """The nodes of these types."""
    return [node for node in graph if graph[node]["class_type"] in types]


def frames(run, node):
    """The frames of the video that a node saved."""
    (ref,) = run.outputs[node]["images"]
    with av.open(io.BytesIO(run.client.image_bytes(ref))) as video:
        return list(video.decode(video=0))


@pytest.mark.parametrize("name", TEMPLATES)
def test_seeds_are_fixed(name):
    """A seed that changes begins another search each time, where the history is to go on."""
    values = [value for node in read(name)["nodes"] for value in node.get("widgets_values", [])]
    assert "fixed" in values and not {"randomize", "increment", "decrement"} & set(values)


@pytest.mark.parametrize("name", COMPARING)
def test_the_plain_image_and_the_searched_one_differ_in_the_search_only(graph):
    """As do two searches that are compared."""
    samplers = [graph[node]["inputs"] for node in of(graph, "KSampler", "SamplerCustomAdvanced")]
    *others, searched = ({k: v for k, v in s.items() if k not in ("model", "guider")} for s in samplers)
    assert searched in others


def test_the_template_browser_gets_them_with_their_pictures(client):
    assert set(client.get("/api/workflow_templates").json()["noise-search"]) == set(TEMPLATES)
    for name in TEMPLATES:
        picture = client.get(f"/api/workflow_templates/noise-search/{name}.jpg").content
        assert len(picture) < 60_000 and Image.open(io.BytesIO(picture)).width >= 300
        assert client.get(f"/api/workflow_templates/noise-search/{name}.json").json() == read(name)
    assert {path.stem for path in FOLDER.glob("*.jpg")} == set(TEMPLATES)
