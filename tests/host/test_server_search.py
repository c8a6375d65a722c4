"""Searches on Shapes World through the real server: what its client sees, and what survives."""

import itertools
import json
import re

import pytest
from PIL import ImageChops

from noise_search.harness.client import Client, Failed
from noise_search.harness.graph import Graph

PROMPT = "a red circle left of a blue square"
SEEDS = itertools.count(1000, 100)  # every test searches anew


class World:
    """A graph that searches Shapes World and saves the winner. Its nodes may be changed before it is queued."""

    def __init__(self, images=6, steps=3, rows=1, seed=None, text=PROMPT, algorithm="NS_RandomSearch", batch=0):
        self.graph = g = Graph()
        self.model, self.clip, self.vae = g.add("NS_ShapesWorld").out(3)
        self.budget = g.add("NS_SearchBudget", images=images)
        self.verifier = g.add("NS_WatchVerifier", verifier=g.add("NS_ShapesVerifier"), watched=g.add("NS_ShapesOracle"))
        self.block = g.add(
            "NS_SearchWithKSampler", model=self.model, search=g.add(algorithm, budget=self.budget),
            verifier=self.verifier, vae=self.vae, batch=batch,
        )  # fmt: skip
        self.positive, self.negative = (g.add("CLIPTextEncode", clip=self.clip, text=t) for t in (text, ""))
        self.latent = g.add("EmptyLatentImage", width=256, height=256, batch_size=rows)
        self.steps, self.seed = steps, next(SEEDS) if seed is None else seed
        self.sampler = self.sample(self.block)
        self.saved = self.save(self.sampler)

    def sample(self, model, **changes):
        settings = {"seed": self.seed, "steps": self.steps, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple",
                    "denoise": 1.0, "latent_image": self.latent, **changes}  # fmt: skip
        return self.graph.add("KSampler", model=model, positive=self.positive, negative=self.negative, **settings)

    def save(self, latent):
        image = self.graph.add("VAEDecode", samples=latent, vae=self.vae)
        return self.graph.add("SaveImage", images=image, filename_prefix="searched")

    def report(self, after=None, **settings):
        return self.graph.add("NS_SearchReport", run=self.block.at(1), after=after or self.sampler, **settings)


def same(one, other):
    return ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox() is None


def restarted(server):
    """A client of the server, killed and come up again."""
    server.kill()
    server.start()
    return Client(server.url)


def bars(run, node):
    """(value, max) of the progress that a node showed."""
    return [(said["value"], said["max"]) for said in run.of("progress", node)]


def texts(run, node):
    return [said["text"] for said in run.of("text", node)]


def recalled(run, node):
    """Evaluations that came from the history, as the last line of live text says."""
    return int(re.search(r"(\d+) from the history", texts(run, node)[-1])[1])


def test_a_search_reports_as_it_runs(client):
    w = World(images=20, batch=2)
    report = w.report()
    run = client.run(w.graph)
    spent = [value for value, most in bars(run, w.sampler) if most == 60]
    assert spent == sorted(spent) and len(set(spent)) >= 20 and spent[-1] == 60
    said = texts(run, w.sampler)
    assert "20 images" in said[0] and PROMPT in said[0]
    assert any(re.search(r"\d+ / 60 evaluations, .* left, best -?[\d.]+", text) for text in said)
    assert "60 of 60 evaluations, 0 from the history" in said[-1]
    assert run.of("preview"), "no picture of the best so far was sent"
    (picture,) = run.images(w.saved)
    assert picture.size == (256, 256) and json.loads(picture.info["noise_search"])["recipes"]
    assert "20 candidates, 60 evaluations" in run.text(report) and "Oracle (watched)" in run.text(report)
    assert all(picture.width == 1024 for picture in run.images(report)) and run.images(report)


def test_a_cancelled_search_is_queued_again_and_goes_on(client):
    w = World(images=200, batch=1)
    queued = client.queue(w.graph)
    client.wait_for(lambda e: e.type == "progress" and e.data["max"] == 600 and e.data["value"] > 20)
    client.interrupt()
    stopped = client.wait(queued)
    assert stopped.status == "interrupted" and w.saved.id not in stopped.executed
    done = max(value for value, _ in bars(stopped, w.sampler))
    assert done < 600
    w.graph.set(w.budget, images=done // 3 + 5)
    run = client.run(w.graph)
    assert recalled(run, w.sampler) in (done - done % 3, done - done % 3 - 3) and run.images(w.saved)


def test_a_search_goes_on_after_the_server_crashed(server):
    w, client = World(images=200, batch=1), Client(server.url)
    client.queue(w.graph)
    client.wait_for(lambda e: e.type == "progress" and e.data["max"] == 600 and e.data["value"] > 20)
    client = restarted(server)
    w.graph.set(w.budget, images=10)
    run = client.run(w.graph)
    client.close()
    assert recalled(run, w.sampler) >= 15 and run.images(w.saved)  # less one, where the best is sampled again


def test_a_larger_budget_goes_on_from_half_denoised_images_after_a_restart(server):
    w, client = World(images=12, steps=12, algorithm="NS_AutoSearch"), Client(server.url)
    first = texts(client.run(w.graph), w.sampler)[-1]
    client = restarted(server)
    w.graph.set(w.budget, images=24)
    run = client.run(w.graph)
    client.close()
    spent = int(re.search(r"(\d+) of 144 evaluations, 0 from the history", first)[1])
    assert spent - 12 <= recalled(run, w.sampler) <= spent  # what was too little for a round may be of no use now


def test_one_image_is_the_plain_image(client):
    w = World(images=1)
    plain = w.save(w.sample(w.model))
    run = client.run(w.graph)
    assert same(*run.images(w.saved), *run.images(plain))


def test_a_searched_model_beside_a_plain_one(client):
    w = World(images=8, batch=1)  # as the plain sampler: exact at equal batch size
    plain = w.save(w.sample(w.model))
    seed = w.graph.add("PreviewAny", source=w.graph.add("NS_WinnerNoise", run=w.block.at(1), after=w.sampler).at(1))
    run = client.run(w.graph)
    found = int(run.text(seed))
    alone = World(images=1, seed=found)
    alone.graph.set(alone.sampler, model=alone.model)
    assert same(*client.run(alone.graph).images(alone.saved), *run.images(w.saved))
    assert found == w.seed or not same(*run.images(w.saved), *run.images(plain))


def test_a_batch_of_three(client):
    w = World(images=4, rows=3)
    report = w.report(row=2)
    run = client.run(w.graph)
    pictures = run.images(w.saved)
    assert len(pictures) == 3 and not same(pictures[0], pictures[1])
    assert "36 announced, 36 spent" in run.text(report)


def test_an_edited_prompt_is_searched_anew(client):
    w = World(images=3)
    client.run(w.graph)
    w.graph.set(w.positive, text="two green rings")
    run = client.run(w.graph)
    assert "two green rings" in texts(run, w.sampler)[0] and recalled(run, w.sampler) == 0


def test_two_samplers_on_one_searched_model(client):
    w = World(images=3)
    second = w.sample(w.block, seed=w.seed + 50)
    both = w.graph.add("LatentBatch", samples1=w.sampler, samples2=second)
    reports = [w.report(both, which=which) for which in (1, 2)]
    run = client.run(w.graph)
    assert bars(run, second)[-1] == (3, 3) and run.images(w.saved)
    assert len({run.text(report) for report in reports}) == 2


def test_running_out_of_memory_halves_the_batch(client):
    w = World(images=12, batch=8)
    w.graph.set(w.block, model=w.graph.add("HungryModel", model=w.model, rows=2))
    report = w.report()
    run = client.run(w.graph)
    assert "out of memory" in run.text(report).lower() and run.images(w.saved)
    spent = int(re.search(r"(\d+) spent", run.text(report))[1])
    assert spent <= 36


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda w: w.graph.set(w.budget, images=0),
            "Search Budget: images, evaluations and seconds are all 0.*set one",
        ),
        (lambda w: w.graph.set(w.budget, images=0, evaluations=2), "2 evaluations are too few.*at least 3"),
        (lambda w: w.graph.set(w.positive, text=""), "Shapes Verifier needs a prompt.*type it"),
        (lambda w: w.graph.set(w.block, prompt="a pink elephant"), "Shapes Oracle cannot read the prompt.*pink"),
        (lambda w: faulty(w, "raises"), "Shapes Verifier failed: RuntimeError: the judge fell asleep"),
        (lambda w: faulty(w, "NaN"), "Shapes Verifier gave nan.*on_nan"),
        (lambda w: w.graph.set(w.sampler, latent_image=wrong_channels(w)), "latent has 4 channels.*latents of 3"),
    ],
    ids=["budget 0", "too few", "no prompt", "not of this world", "raises", "NaN", "channels"],
)
def test_what_goes_wrong_reaches_the_client_in_one_sentence(client, change, sentence):
    w = World(images=8, batch=1)
    change(w)
    with pytest.raises(Failed) as failed:
        client.run(w.graph)
    assert re.search(sentence, failed.value.message) and "\n" not in failed.value.message
    assert w.saved.id not in failed.value.run.executed
    sampled = any(value for value, _ in bars(failed.value.run, w.sampler))
    assert sampled == ("judge" in sentence or "gave nan" in sentence)


def faulty(w, fault):
    w.graph.set(w.block, verifier=w.graph.add("FaultyVerifier", verifier=w.verifier, fault=fault))


def wrong_channels(w):
    image = w.graph.add("EmptyImage", width=64, height=64, batch_size=1, color=0x336699)
    return w.graph.add("VAEEncode", pixels=image, vae=w.graph.add("VAELoader", vae_name="tiny_4.safetensors"))


def test_a_verifier_without_numbers_may_be_left_out(client):
    w = World(images=8, batch=1)
    faulty(w, "NaN")
    w.graph.set(w.block, on_nan="exclude")
    report = w.report()
    run = client.run(w.graph)
    assert run.images(w.saved) and "8, 6 of them left out" in run.text(report)
