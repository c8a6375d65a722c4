"""Beside a pack whose names are much like ours, and which changes the same MODEL: both work, in either order."""

import json

import pytest

from noise_search.harness.client import Rejected

from .test_clients import open_file
from .test_server_search import World, same

WAYS = ["outer sample", "unet function", "cfg function"]
IDS = {"RandomSearch", "CLIPScore", "SearchSampler", "WrapModel"}


def their(w, model, way):
    return w.graph.add("WrapModel", model=model, way=way)


def winner(w):
    """A node that shows the winner's seed."""
    noise = w.graph.add("NS_WinnerNoise", run=w.block.at(1), after=w.sampler)
    return w.graph.add("PreviewAny", source=noise.at(1))


def test_both_are_loaded_whole(server, client):
    info = client.object_info()
    ours = {id for id, node in info.items() if node["python_module"] == "custom_nodes.noise-search"}
    theirs = {id for id, node in info.items() if node["python_module"] == "custom_nodes.second-pack"}
    assert theirs == IDS and len(ours) > 40 and all(id.startswith("NS_") for id in ours)
    assert info["RandomSearch"]["display_name"] == info["NS_RandomSearch"]["display_name"]
    assert "IMPORT FAILED" not in server.read_log()


@pytest.mark.parametrize("node", ["RandomSearch", "CLIPScore"])
def test_their_sockets_do_not_fit_ours(client, node):
    w = World()
    socket = {"RandomSearch": "search", "CLIPScore": "verifier"}[node]
    w.graph.set(w.block, **{socket: w.graph.add(node, **({"images": 2} if node == "RandomSearch" else {}))})
    with pytest.raises(Rejected, match="Return type mismatch"):
        client.run(w.graph)


@pytest.mark.parametrize("theirs_first", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_either_order(client, way, theirs_first):
    """The winner is what their MODEL alone draws from the winning seed."""
    w = World(images=8, batch=1, seed=5_000)
    if theirs_first:
        w.graph.set(w.block, model=their(w, w.model, way))
    else:
        w.graph.set(w.sampler, model=their(w, w.block, way))
    seed = winner(w)
    run = client.run(w.graph)
    found = int(run.text(seed))
    alone = World(images=1, seed=found)
    alone.graph.set(alone.sampler, model=their(alone, alone.model, way))
    untouched = alone.save(alone.sample(alone.model))
    plain = client.run(alone.graph)
    assert found != w.seed and same(*run.images(w.saved), *plain.images(alone.saved))
    assert not same(*run.images(w.saved), *plain.images(untouched))


def test_their_search_around_ours(client):
    """Their sampler calls a searched MODEL twice: two searches, and one of the two winners."""
    w = World(images=3, batch=1)
    report = w.report()
    w.graph[w.sampler.id]["class_type"] = "SearchSampler"
    w.graph.set(w.sampler, search=w.graph.add("RandomSearch", images=2), verifier=w.graph.add("CLIPScore"))
    run = client.run(w.graph)
    alone = World(images=3, batch=1, seed=w.seed)
    second = alone.save(alone.sample(alone.block, seed=w.seed + 1))
    expected = client.run(alone.graph)
    assert any(same(*run.images(w.saved), *expected.images(node)) for node in (alone.saved, second))
    assert "first call only" in run.text(report)  # what many searched calls cost is said


def test_the_page_shows_both(client, page):
    w = World(images=2)
    w.graph.set(w.sampler, model=their(w, w.block, WAYS[0]))
    open_file(page, json.dumps(w.graph.fill(client.object_info())).encode(), "both.json", "application/json")
    assert page.run() == "execution_success" and not page.errors
