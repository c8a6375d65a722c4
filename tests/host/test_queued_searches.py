"""Searches in ComfyUI's executor: what is remembered, what is seen anew, what the caches may forget."""

import json
import math
import sqlite3
from pathlib import Path

import pytest
import torch
from PIL import Image

from noise_search.harness.graph import Node

from .in_process import ExecutionError
from .searching import ALGORITHMS, Level, Queued, account, close, wrap
from .test_failures import interrupting
from .test_family import FAMILY

NODES = [node for node, _ in ALGORITHMS.values()]


@pytest.fixture
def queued(comfy, sd3):
    def made(**settings):
        return Queued(comfy, sd3, **settings)

    return made


def lines(run):
    return [[line.recipe.id for line in lane] for lane in account(run).lanes]


def test_twice_the_budget_computes_only_the_second_half(queued):
    q = queued(images=4)
    q.run(q.sampler)
    assert q.evaluations == 12
    q.graph.set(q.budget, images=8)
    latent, run = q.run(q.sampler, q.run_)
    found = account(run)
    assert q.evaluations == 12 and found.spent == 24 and found.recalled == 12
    fresh = queued(images=8)
    straight, same = fresh.run(fresh.sampler, fresh.run_)
    assert fresh.evaluations == 24 and lines(run) == lines(same) and torch.equal(latent["samples"], straight["samples"])


@pytest.mark.parametrize("node", FAMILY)
def test_nor_does_a_search_between_the_steps_solve_anything_again(queued, node):
    """The states that it goes on from are on disk: another process finds them there."""
    from noise_search.nodes.host import histories

    def search(images):
        q = queued(images=images)
        q.graph.set(q.block, search=q.graph.add(node, **FAMILY[node], budget=q.budget))
        q.graph.set(q.sampler, steps=6)
        return q

    q = search(images=16)
    first = account(q.run(q.run_, q.sampler)[0])
    assert q.evaluations == first.spent
    histories._history.cache_clear()
    q.graph.set(q.budget, images=32)
    found = account(q.run(q.run_, q.sampler)[0])
    known = {line.recipe for line in found.lanes[0]}
    last = sum(line.nfe for line in first.lanes[0] if line.recipe not in known)
    assert last <= 6  # tried with what was too little for a round: with more budget there is the round instead
    assert q.evaluations == found.spent - found.recalled == found.spent - first.spent + last
    fresh = search(images=32)
    assert lines(fresh.run(fresh.run_, fresh.sampler)[0]) == [[line.recipe.id for line in lane] for lane in found.lanes]


def failing_once(model, at):
    """A MODEL whose evaluation number `at` is not a number."""
    from comfy.patcher_extension import WrappersMP

    model, calls = model.clone(), []

    def predict(executor, x, *args, **kwargs):
        calls.append(1)
        return executor(x, *args, **kwargs) * (math.nan if len(calls) == at else 1)

    wrap(model, WrappersMP.PREDICT_NOISE, predict, "failing once")
    return model


@pytest.mark.parametrize("node", ["NS_TreeSearch", "NS_SearchOverPaths", "NS_BacktrackingSearch"])
def test_a_model_that_failed_once_has_not_failed_for_good(queued, sd3, node):
    q = queued(images=16, algorithm=node, model=failing_once(sd3.model, 30))
    q.graph.set(q.block, batch=1)
    q.graph.set(q.sampler, steps=6)
    with pytest.raises(ExecutionError, match="not finite"):
        q.run(q.sampler)
    found = account(q.run(q.run_, q.sampler)[0])
    assert found.recalled > 0 and q.evaluations == found.spent - found.recalled > 0


@pytest.fixture
def full_disk(monkeypatch):
    """Nothing can be kept, and all is left for the end of the search."""
    from noise_search.nodes.host.latents import Latents
    from noise_search.search.history import Shelf

    def full(shelf, *content):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Shelf, "put", full)
    monkeypatch.setattr(Latents, "keep", lambda latents, wanted: None)


def test_an_image_is_not_lost_with_what_could_not_be_kept(queued, full_disk, caplog):
    q = queued(images=16, algorithm="NS_TreeSearch")
    q.graph.set(q.sampler, steps=6)
    latent, run = q.run(q.sampler, q.run_)
    assert account(run).spent == q.evaluations and latent["samples"].isfinite().all()
    assert caplog.text.count("database or disk is full") == 2  # the latents, the states


def test_nor_a_cancel(queued, sd3, full_disk, caplog):
    broken, _ = interrupting(sd3.model, 40)
    q = queued(images=16, algorithm="NS_TreeSearch", model=broken)
    q.graph.set(q.sampler, steps=6)
    with pytest.raises(ExecutionError) as stopped:
        q.run(q.sampler)
    assert "exception_message" not in stopped.value.data and "database or disk is full" in caplog.text


@pytest.mark.parametrize("node", ["NS_AutoSearch", "NS_TreeSearch", "NS_EvolutionarySearch", "NS_SuccessiveHalving"])
def test_a_search_that_ends_with_noise_is_the_same_when_it_is_recalled(queued, node):
    q = queued(images=24)
    own = {"mid_path": "0.25, 0.5"} if node == "NS_EvolutionarySearch" else FAMILY[node]
    q.graph.set(q.block, search=q.graph.add(node, **own, budget=q.budget))
    sampler = q.sample_with_noise_left(6)
    first = q.run(q.run_, sampler)[0]
    assert account(first).spent == q.evaluations
    before = lines(first)
    q.forget()
    again = q.run(q.run_, sampler)[0]
    assert q.evaluations == 0 and lines(again) == before


def test_a_round_that_ends_with_noise_is_not_begun_where_it_cannot_be_finished(queued):
    """Eight images are begun in a round and one is finished, which needs its x0 once more."""
    finished = []
    for images in (15, 16, 17, 18, 19, 20):
        q = queued(images=images)
        q.graph.set(q.block, search=q.graph.add("NS_SuccessiveHalving", width=8, budget=q.budget))
        sampler = q.sample_with_noise_left(5)
        [lane] = account(q.run(q.run_, sampler)[0]).lanes
        rounds = [line.complete for line in lane[1:]].count(True)
        begun = sum(len(line.recipe.moves) == 1 for line in lane[1:])
        finished.append((begun, rounds))
    assert all(begun == 8 * number for begun, number in finished) and len(set(finished)) > 1


def test_states_are_on_disk_as_the_search_runs(queued, monkeypatch):
    from noise_search.nodes.host import evaluator, histories

    monkeypatch.setattr(evaluator, "SAVED_EVERY", 0)
    q, on_disk = queued(images=16, algorithm="NS_TreeSearch"), []
    q.graph.set(q.sampler, steps=6)
    numbers = q.level.numbers

    def looking(latents):
        on_disk.extend(histories.history().rows("SELECT count(*) FROM states"))
        return numbers(latents)

    q.level.numbers = looking
    q.run(q.sampler)
    assert on_disk[0] == (0,) and on_disk[-1] > on_disk[0]


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("at", [5, 17])
def test_a_cancelled_search_goes_on_where_it_was(comfy, queued, sd3, node, at):
    broken, calls = interrupting(sd3.model, at)
    q = queued(images=16, algorithm=node, model=broken)
    q.graph.set(q.block, batch=1)
    with pytest.raises(ExecutionError) as stopped:
        q.run(q.sampler)
    assert "exception_message" not in stopped.value.data and len(calls) == at  # an interrupt, not an error
    latent, run = q.run(q.sampler, q.run_)
    found = account(run)
    assert found.spent <= found.estimate and q.evaluations == found.spent - found.recalled
    assert found.recalled > 0 or at < 6
    fresh = queued(images=16, algorithm=node)
    fresh.graph.set(fresh.block, batch=1)
    straight, same = fresh.run(fresh.sampler, fresh.run_)
    assert lines(run) == lines(same) and torch.equal(latent["samples"], straight["samples"])


def test_a_crash_loses_nothing_that_was_scored(queued):
    """The history is on disk as the search runs: another process would read it."""
    from noise_search.nodes.host import histories

    q = queued(images=6)
    numbers, calls = q.level.numbers, []
    q.graph.set(q.block, batch=1)

    def crash(latents):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("out of order")
        return numbers(latents)

    q.level.numbers = crash
    with pytest.raises(ExecutionError, match="out of order"):
        q.run(q.sampler)
    histories._history.cache_clear()  # as a new process: the file is opened again
    run = q.run(q.run_, q.sampler)[0]
    assert len(calls) == 4 + 3, "six candidates, three of them scored before"
    assert account(run).recalled == q.evaluations == 9


def test_the_same_search_again_samples_nothing(queued):
    q = queued(images=5)
    first = q.run(q.sampler)
    q.forget()
    again, run = q.run(q.sampler, q.run_)
    assert q.evaluations == 0 and account(run).recalled == 15 and torch.equal(first["samples"], again["samples"])


@pytest.mark.parametrize("node", ["NS_RandomSearch", "NS_ZeroOrderSearch"])
def test_the_same_search_again_has_the_same_gallery(queued, node):
    """Also where it was recalled in several generations."""
    q = queued(images=40, algorithm=node)
    first = [line.recipe.id for line in q.run(q.run_, q.sampler)[0].choose("after").kept()]
    q.forget()
    again = [line.recipe.id for line in q.run(q.run_, q.sampler)[0].choose("after").kept()]
    assert q.evaluations == 0 and len(first) >= 8 and again == first


def test_a_winner_whose_latent_was_not_kept_is_sampled_again(queued):
    q = queued(images=16)
    q.graph.set(q.block, keep=1)
    q.run(q.sampler)
    q.graph.set(q.budget, images=4)  # its winner was dropped for better ones
    latent, run = q.run(q.sampler, q.run_)
    found = account(run)
    winner = found.best().recipe
    assert winner not in [line.recipe for line in found.lanes[0][:1]], "the plain image won: nothing was dropped"
    assert q.evaluations == 3 == found.spent - found.recalled
    plain = queued(images=1)
    same = plain.run(plain.sample(plain.source, seed=int(winner.seed)))
    assert close(latent["samples"], same["samples"])


def test_node_numbers_do_not_matter(queued):
    q = queued(images=5)
    q.run(q.sampler)
    renamed = {f"9:{id}": node for id, node in q.graph.items()}
    for node in renamed.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                node["inputs"][name] = [f"9:{value[0]}", value[1]]
    q.graph.clear()
    q.graph.update(renamed)
    q.run(Node(f"9:{q.sampler.id}"))
    assert q.evaluations == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda q: q.graph.set(q.sampler, cfg=3.0),
        lambda q: q.graph.set(q.sampler, seed=8),
        lambda q: q.graph.set(q.sampler, sampler_name="heun"),
        lambda q: q.graph.set(q.sampler, steps=2),
        lambda q: q.graph.set(q.negative, text="blurry"),
        lambda q: q.graph.set(q.block, prompt="a dog"),
    ],
)
def test_whatever_changes_an_image_or_a_score_is_another_search(queued, change):
    q = queued(images=2)
    q.run(q.sampler)
    change(q)
    run = q.run(q.run_, q.sampler)[0]
    assert account(run).recalled == 0 and q.evaluations >= 4


@pytest.mark.parametrize("typed", [False, True])
def test_an_edited_prompt_is_scored_against_the_new_text(queued, typed):
    q = queued(images=3, text="a cat")
    if typed:
        q.graph.set(q.block, prompt="a cat")
    q.run(q.sampler)
    assert set(q.level.prompts) == {"a cat"}
    q.level.prompts.clear()
    q.graph.set(q.block if typed else q.positive, **({"prompt": "a dog"} if typed else {"text": "a dog"}))
    q.run(q.sampler)
    assert set(q.level.prompts) == {"a dog"} and q.evaluations == 9


def test_the_text_is_found_behind_a_guider(queued):
    q = queued(images=2)
    g = q.graph
    guider = g.add("CFGGuider", model=q.block, positive=q.positive, negative=q.negative, cfg=2.0)
    out = g.add(
        "SamplerCustomAdvanced", noise=g.add("RandomNoise", noise_seed=1), guider=guider,
        sampler=g.add("KSamplerSelect", sampler_name="euler"), latent_image=q.latent,
        sigmas=g.add("BasicScheduler", model=q.block, scheduler="normal", steps=2, denoise=1.0),
    )  # fmt: skip
    q.run(out)
    assert set(q.level.prompts) == {"a cat"}


def test_a_handle_that_lost_its_run_reads_it_back(queued):
    """The search block runs anew while the sampler's output comes from ComfyUI's cache."""
    q = queued(images=5)
    winner = q.graph.add("NS_WinnerNoise", run=q.run_, after=q.sampler)
    report = q.graph.add("NS_SearchReport", run=q.run_, after=q.sampler)
    noise, seed, table = q.run(winner, winner.at(1), report.at(2))
    q.forget(q.block, winner, report)
    again, same, told = q.run(winner, winner.at(1), report.at(2))
    assert q.evaluations == 0 and same == seed and told == table
    assert torch.equal(again.tensor, noise.tensor)
    q.forget(q.block)
    images = q.run(q.graph.add("NS_TopCandidates", run=q.run_, after=q.sampler, k=3).at(1))
    assert q.evaluations == 0 and images.shape[0] == 3


def test_two_samplers_on_one_searched_model_make_two_runs(queued):
    q = queued(images=3)
    second = q.sample(q.block, seed=50)
    image = q.graph.add("VAEDecode", samples=second, vae=q.vae)
    both = q.graph.add("LatentAdd", samples1=q.sampler, samples2=second)
    seeds = [q.graph.add("NS_WinnerNoise", run=q.run_, after=both, which=which).at(1) for which in (0, 1, 2)]
    last, first, other, run, _ = q.run(*seeds, q.run_, image)
    assert len(run.runs) == 2 and {first, other} == {int(r.account.best().recipe.seed) for r in run.runs.values()}
    assert last == other and {r.account.seed for r in run.runs.values()} == {"7", "50"}
    q.graph.add("NS_ExportHistory", run=q.run_, after=both, which=3)
    with pytest.raises(ExecutionError, match="`which` is 3, but there are 2 runs"):
        q.run()


def test_a_searched_model_beside_a_plain_one(queued):
    q = queued(images=4)
    beside = q.sample(q.source)
    searched, plain = q.run(q.sampler, beside)
    assert q.evaluations == 12 + 3
    alone = queued(images=1)
    assert torch.equal(plain["samples"], alone.run(alone.sample(alone.source))["samples"])
    assert not torch.equal(plain["samples"], searched["samples"])


def test_a_two_pass_graph_searches_each_pass_that_adds_noise(queued):
    q = queued(images=3)
    upscaled = q.graph.add("LatentUpscale", samples=q.sampler, upscale_method="nearest-exact", width=64, height=64,
                           crop="disabled")  # fmt: skip
    second = q.sample(q.block, seed=8, denoise=0.6, steps=2)
    q.graph.set(second, latent_image=upscaled)
    _, run = q.run(second, q.run_)
    shapes = [r.account.shape for r in run.runs.values()]
    assert shapes == [[1, 16, 4, 4], [1, 16, 8, 8]]


def test_first_call_only_counts_for_each_sampler_and_each_queueing(queued):
    q = queued(images=3)
    q.graph.set(q.block, calls="first call only")
    second = q.sample(q.block, seed=50)
    q.run(q.sampler, second)
    assert q.evaluations == 18
    q.graph.set(q.sampler, seed=70)
    q.run(q.sampler, second)
    assert q.evaluations == 9


def test_a_lora_and_a_model_sampling_node_after_the_search(queued, sd3):
    q = queued(images=4)
    lora = q.graph.add("LoraLoaderModelOnly", model=q.block, lora_name=sd3.lora, strength_model=1.0)
    shifted = q.graph.add("ModelSamplingSD3", model=lora, shift=5.0)
    q.graph.set(q.sampler, model=shifted)
    best, seed = q.run(q.sampler, q.graph.add("NS_WinnerNoise", run=q.run_, after=q.sampler).at(1))
    q.graph.set(lora, model=q.source)
    plain = q.run(q.sample(shifted, seed=seed))
    assert close(best["samples"], plain["samples"])


@pytest.mark.parametrize("node", NODES)
def test_a_saved_png_brings_the_winner_back(queued, base, node):
    q = queued(images=16, algorithm=node, rows=2)
    image = q.graph.add("VAEDecode", samples=q.sampler, vae=q.vae)
    saved = q.graph.add("SaveImage", images=image, filename_prefix=f"{node}")
    best, noise = q.run(q.sampler, q.graph.add("NS_WinnerNoise", run=q.run_, after=q.sampler))
    name = q.comfy.shown[saved.id]["images"][0]["filename"]
    (base / "input" / name).write_bytes((base / "output" / name).read_bytes())
    with Image.open(base / "input" / name) as picture:
        assert json.loads(picture.info["noise_search"])["recipes"]
    loaded = q.graph.add("NS_LoadNoise", name=f"{name} [input]")
    guider = q.graph.add("CFGGuider", model=q.source, positive=q.positive, negative=q.negative, cfg=2.0)
    again = q.graph.add(
        "NS_SearchSampler", noise=loaded, guider=guider, latent_image=q.latent,
        sampler=q.graph.add("KSamplerSelect", sampler_name="euler"),
        sigmas=q.graph.add("BasicScheduler", model=q.source, scheduler="normal", steps=3, denoise=1.0),
        search=q.graph.add("NS_RandomSearch", budget=q.graph.add("NS_SearchBudget", images=1)),
        verifier=q.given(level=Level().verifier)["level"],
    )  # fmt: skip
    same = q.run(again)
    assert close(same["samples"], best["samples"])


def test_two_servers_may_share_the_history(queued, base):
    """Another process reads the file while the search writes it."""
    import sqlite3

    from comfy.patcher_extension import WrappersMP

    q, seen = queued(images=6), []
    q.graph.set(q.block, batch=1)

    def look(executor, x, *args, **kwargs):
        with sqlite3.connect(base / "user" / "noise_search" / "history.sqlite") as other:
            seen.append(other.execute("SELECT count(*) FROM candidates").fetchone()[0])
        return executor(x, *args, **kwargs)

    wrap(q.model, WrappersMP.PREDICT_NOISE, look, "look")
    q.run(q.sampler)
    assert seen[-1] - seen[0] == 5 and q.evaluations == 18


def test_a_randomised_seed_is_said_to_prevent_going_on(queued):
    q = queued(images=2)
    widgets = {"nodes": [{"id": int(q.sampler.id), "type": "KSampler", "widgets_values": [7, "randomize", 3]}]}
    q.graph.add("PreviewAny", source=q.sampler)
    given = q.graph.add("NS_ExportHistory", run=q.run_, after=q.sampler, format="JSON", filename_prefix="notes")
    q.comfy.execute(q.graph, extra_pnginfo={"workflow": widgets})
    path = Path(q.comfy.shown[given.id]["text"][0].removeprefix("Saved as "))
    assert "randomised after each run" in path.read_text(encoding="utf-8")
