"""Loops around stock nodes through the real server: what its client sees, and what survives."""

import itertools
import json
import re
from pathlib import Path

import pytest
from PIL import ImageChops

from noise_search.harness import find
from noise_search.harness.client import Client, Failed
from noise_search.harness.graph import Graph
from noise_search.harness.server import Server

from .test_server_search import bars, restarted, same, texts

PROMPT = "a red circle left of a blue square"
SEEDS = itertools.count(50_000, 1000)  # every test searches anew


class HiresFix:
    """A loop around two passes of a stock KSampler with an upscale between, its picture scored and saved."""

    def __init__(self, images=5, seed=None, algorithm="NS_RandomSearch", steps=2, batch=0):
        self.graph = g = Graph()
        self.seed, self.steps = next(SEEDS) if seed is None else seed, steps
        self.model, self.clip, self.vae = g.add("NS_ShapesWorld").out(3)
        self.budget = g.add("NS_SearchBudget", images=images)
        self.positive, self.negative = (g.add("CLIPTextEncode", clip=self.clip, text=t) for t in (PROMPT, ""))
        self.latent = g.add("EmptyLatentImage", width=192, height=192, batch_size=1)
        self.search = g.add(algorithm, budget=self.budget)
        self.start = g.add("NS_SearchLoopStart", search=self.search, latent=self.latent, seed=self.seed)
        model = g.add("NS_ApplyNoise", model=self.model, noise=self.start.at(1))
        self.first = self.sample(model, self.start.at(3), 0)
        larger = g.add("LatentUpscale", samples=self.first, upscale_method="bilinear", width=256, height=256,
                       crop="disabled")  # fmt: skip
        if batch:
            self.second = self.sample(model, larger, 0, denoise=0.5)
            g.set(self.start, batch=batch)
        else:
            self.second = self.sample(self.model, larger, self.start.at(2), denoise=0.5)
        self.decoded = g.add("VAEDecode", samples=self.second, vae=self.vae)
        self.verifier = g.add("NS_ShapesVerifier")
        self.score = g.add("NS_ScoreImages", images=self.decoded, verifier=self.verifier, prompt=PROMPT)
        score = self.score.at(4 if batch else 0)
        self.end = g.add("NS_SearchLoopEnd", loop=self.start, score=score, value=self.decoded)
        self.saved = g.add("SaveImage", images=self.end, filename_prefix="looped")
        self.report = g.add("NS_SearchReport", run=self.end.at(3))

    def sample(self, model, latent, seed, denoise=1.0):
        return self.graph.add(
            "KSampler", model=model, positive=self.positive, negative=self.negative, latent_image=latent, seed=seed,
            steps=self.steps, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=denoise,
        )  # fmt: skip

    @property
    def body(self):
        return [self.first, self.second, self.decoded, self.score]

    @property
    def outside(self):
        return ["1", self.positive, self.negative, self.latent, self.search, self.verifier]


def times_run(run, node):
    """How often a node of the page ran, copies of it included."""
    return sum(said["display_node"] == getattr(node, "id", node) for said in run.of("executing"))


def forget_all(client):
    """Empty the server's cache, which it does after the run that comes next."""
    client.free()
    graph = Graph()
    graph.add("PreviewAny", source=graph.add("PrimitiveString", value="next"))
    client.run(graph)


def recalled(run, loop):
    return int(re.search(r"(\d+) from the history", texts(run, loop.end)[-1])[1])


def test_the_body_runs_once_for_each_candidate_and_all_else_once(client):
    forget_all(client)
    loop = HiresFix(images=5)
    run = client.run(loop.graph)
    assert [times_run(run, node) for node in loop.body] == [5] * 4
    assert [times_run(run, node) for node in loop.outside] == [1] * 6
    (picture,) = run.images(loop.saved)
    assert picture.size == (256, 256) and json.loads(picture.info["noise_search"])["recipes"]
    assert re.search(r"images +5 announced, 5 spent", run.text(loop.report)) and run.images(loop.report)
    g = loop.graph
    g.set(loop.budget, images=1)
    g.set(loop.start, seed=int(re.search(r"\n +1 .* seed (\d+)", run.text(loop.report))[1]))
    assert same(*client.run(g).images(loop.saved), picture)


def test_a_batch_of_candidates_goes_through_the_body_together(client):
    forget_all(client)
    loop = HiresFix(images=8, batch=3)
    run = client.run(loop.graph)
    assert [times_run(run, node) for node in loop.body] == [3] * 4
    assert [times_run(run, node) for node in loop.outside] == [1] * 6
    assert [value for value, most in bars(run, loop.end) if most == 8][:3] == [3, 6, 8]
    (picture,) = run.images(loop.saved)
    assert len(json.loads(picture.info["noise_search"])["recipes"]) == 1
    loop.graph.set(loop.start, batch=1)
    loop.graph.set(loop.budget, images=10)
    run = client.run(loop.graph)
    assert recalled(run, loop) == 8 and times_run(run, loop.first) == 2
    alone = HiresFix(images=8, seed=loop.seed, batch=1)
    alone.graph.set(alone.second, seed=1)  # Apply Noise takes its place: another history, and the same pictures
    run = client.run(alone.graph)
    (same_picture,) = run.images(alone.saved)
    assert times_run(run, alone.first) == 8
    assert picture.info["noise_search"] == same_picture.info["noise_search"]
    assert max(high for _, high in ImageChops.difference(picture, same_picture).getextrema()) <= 2


def test_a_loop_reports_as_it_runs(client):
    loop = HiresFix(images=6, steps=12)
    run = client.run(loop.graph)
    bar = bars(run, loop.end)
    assert [value for value, most in bar if most == 6][:6] == [1, 2, 3, 4, 5, 6]
    said = texts(run, loop.end)
    assert said[0] == "Random Search: up to 6 images"
    assert any(re.search(r"Random Search: \d / 6 images, .* left, best -?[\d.]+", text) for text in said)
    assert "6 of 6 images, 0 from the history" in said[-1]
    states = [node for said in run.of("progress_state") for node in said["nodes"].values()]
    steps = {node["node_id"] for node in states if node["display_node_id"] == loop.second.id and node["max"] > 1}
    assert len(steps) == 6  # each candidate's sampling moves the bar of the sampler on the page
    assert max(len(said["nodes"]) for said in run.of("progress_state")) < 40
    assert run.of("preview", loop.end)


def test_an_error_in_the_body_is_shown_on_the_node_that_made_it(client):
    loop = HiresFix(images=6)
    loop.graph.set(loop.score, verifier=loop.graph.add("FaultyVerifier", verifier=loop.verifier, fault="raises"))
    with pytest.raises(Failed, match="the judge fell asleep") as failed:
        client.run(loop.graph)
    assert failed.value.node_id == loop.score.id and failed.value.run.error["node_type"] == "NS_ScoreImages"
    loop.graph.set(loop.budget, images=2)  # what was scored before it is remembered
    run = client.run(loop.graph)
    assert recalled(run, loop) + times_run(run, loop.first) == 2 and run.images(loop.saved)


def test_a_cancelled_loop_goes_on(client):
    loop = HiresFix(images=300)
    queued = client.queue(loop.graph)
    client.wait_for(lambda e: e.type == "progress" and e.data["max"] == 300 and e.data["value"] >= 4)
    client.interrupt()
    stopped = client.wait(queued)
    assert stopped.status == "interrupted" and loop.saved.id not in stopped.executed
    shown = max(value for value, most in bars(stopped, loop.end) if most == 300)
    loop.graph.set(loop.budget, images=shown + 3)
    run = client.run(loop.graph)
    kept = recalled(run, loop)
    assert kept in (shown, shown + 1)  # the interrupt may come when one is kept and not yet shown
    assert times_run(run, loop.first) == shown + 3 - kept and run.images(loop.saved)


def test_a_loop_goes_on_after_the_server_crashed(server):
    loop, client = HiresFix(images=300), Client(server.url)
    client.queue(loop.graph)
    client.wait_for(lambda e: e.type == "progress" and e.data["max"] == 300 and e.data["value"] >= 5)
    client = restarted(server)
    loop.graph.set(loop.budget, images=5)
    run = client.run(loop.graph)
    client.close()
    assert recalled(run, loop) >= 4 and run.images(loop.saved)  # less one, where the best runs again for its picture


def test_zero_order_search_over_two_passes(client):
    loop = HiresFix(images=7, algorithm="NS_ZeroOrderSearch")
    run = client.run(loop.graph)
    assert times_run(run, loop.second) == 7 and "Zero-Order Search" in run.text(loop.report)


def test_ids_of_a_subgraph(client):
    """The page names the nodes of a subgraph by its node and theirs."""
    loop = HiresFix(images=4)
    inside = {id: f"41:7:{id}" for id in loop.graph if id not in (loop.saved.id, loop.report.id)}
    graph = Graph()
    for id, node in loop.graph.items():
        inputs = {n: [inside[v[0]], v[1]] if isinstance(v, list) else v for n, v in node["inputs"].items()}
        graph.add(node["class_type"], id=inside.get(id, id), **inputs)
    run = client.run(graph)
    assert times_run(run, inside[loop.first.id]) == 4 and run.images(loop.saved)
    assert texts(run, inside[loop.end.id])


class Rectangles:
    """A cheap body with large pictures: 12 MB each."""

    def __init__(self, images):
        self.graph = g = Graph()
        search = g.add("NS_RandomSearch", budget=g.add("NS_SearchBudget", images=images))
        start = g.add("NS_SearchLoopStart", search=search, latent=g.add("EmptyLatentImage", width=64, height=64,
                      batch_size=1), seed=next(SEEDS))  # fmt: skip
        image = g.add("EmptyImage", width=1024, height=1024, batch_size=1, color=start.at(4))
        small = g.add("ImageScale", image=image, upscale_method="nearest-exact", width=8, height=8, crop="disabled")
        score = g.add("NS_ScoreImages", images=small, verifier=g.add("NS_ImageStatistics"))
        self.end = g.add("NS_SearchLoopEnd", loop=start, score=score, value=image)
        g.add("PreviewAny", source=self.end.at(2))


def memory_of(server):
    status = Path(f"/proc/{server.process.pid}/status")
    if not status.exists():
        pytest.skip("this system does not tell a process's memory in /proc")
    return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) / 1024


def test_two_hundred_candidates_take_no_more_memory_than_twenty(server, client):
    client.run(Rectangles(20).graph)
    before = memory_of(server)
    run = client.run(Rectangles(200).graph)
    assert run.status == "success" and memory_of(server) - before < 300  # of 2400 MB


@pytest.mark.parametrize("mode", [("--cache-none",), ("--cache-lru", "10")], ids=["none", "lru"])
def test_other_cache_modes(comfyui, tmp_path, mode):
    with Server(comfyui, tmp_path, packs={"noise-search": find.ROOT}, args=mode) as server:
        client = Client(server.url)
        loop = HiresFix(images=5)
        run = client.run(loop.graph)
        assert [times_run(run, node) for node in loop.body] == [5] * 4
        assert [times_run(run, node) for node in loop.outside] == [1] * 6 and run.images(loop.saved)
        loop.graph.set(loop.budget, images=8)
        run = client.run(loop.graph)
        assert recalled(run, loop) == 5 and run.images(loop.saved)
        client.close()
