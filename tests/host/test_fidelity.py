"""Unfinished images scored by a cheaper verifier through a cheaper decoder, inside ComfyUI."""

import pytest
import torch

from noise_search.search import SearchError
from noise_search.verifiers import combine

from .searching import Level, Queued, Searching, account, counted, digest
from .test_self_consistency import recorded


class Decoder:
    """A VAE that shows a few latent channels as they are; remembers what it decoded."""

    def __init__(self, contrast=1.0):
        self.contrast, self.seen = contrast, []

    def decode(self, latents):
        self.seen += [digest(latent) for latent in latents]
        return (self.contrast * latents[:, :3]).sigmoid().movedim(1, -1)


@pytest.fixture(scope="module")
def lab(comfy, tiny):
    return Searching(comfy, tiny)


@pytest.fixture(scope="module")
def flow(comfy, sd3):
    return Searching(comfy, sd3)


def halving(lab, images=8):
    (budget,) = lab.call("NS_SearchBudget", images=images)
    return lab.call("NS_SuccessiveHalving", width=4, keep=0.5, cuts=1, first_stop=0.5, budget=budget)[0]


@pytest.mark.parametrize("rows", [1, 2])
def test_each_verifier_and_each_decoder_sees_its_own_kind_once(lab, rows):
    real, cheap = Level("images", slice(0, 7), "real"), Level("images", slice(9, 30), "cheap")
    large, small = Decoder(), Decoder(2.0)
    model, count = counted(lab.tiny.model)
    model, run = lab.searched(
        halving(lab), real.verifier, model, vae=large, early_verifier=cheap.verifier, early_vae=small
    )
    lab.ksampler(model, lab.latent(rows), steps=4)
    found = account(run)
    assert found.measures == ["real"] and found.early == ["early cheap"]
    assert found.spent == count.evaluations <= 8 * 4 * rows
    lines = [line for lane in found.lanes for line in lane]
    done, on_the_way = [line for line in lines if line.complete], [line for line in lines if not line.complete]
    assert len(real.seen) == len(large.seen) == len(done) > rows and len(set(large.seen)) == len(done)
    assert len(cheap.seen) == len(small.seen) == len(on_the_way) >= 4 * rows and len(set(small.seen)) == len(on_the_way)
    assert all(line.row[0] == line.value and line.row[1] != line.row[1] for line in done)
    assert all(line.row[1] == line.value and line.row[0] != line.row[0] for line in on_the_way)
    for lane in range(rows):
        first = [line for line in found.lanes[lane] if not line.complete][:4]
        chosen = sorted(first, key=lambda line: -line.row[1])[:2]
        finished = [line for line in found.lanes[lane] if line.complete][1:3]
        assert [line.recipe.noise for line in finished] == [line.recipe.noise for line in chosen]


def test_the_numbers_are_those_of_the_previews_and_of_the_plain_images(flow):
    """Early: x̂0 of Euler's third evaluation of four; at the end: what a stock sampler gives for the seed."""
    real, cheap = Level(), Level(part=slice(0, 20), name="cheap")
    model, run = flow.searched(halving(flow), real.verifier, early_verifier=cheap.verifier, batch=1)
    flow.ksampler(model, steps=4)
    [lane] = account(run).lanes
    assert {line.complete for line in lane} == {True, False}
    for line in lane:
        recording, seen = recorded(flow.tiny.model)
        latent = flow.ksampler(recording, steps=4, seed=int(line.recipe.seed))
        x0 = flow.tiny.model.model.process_latent_out(seen[2][1].float())
        expected = latent.flatten()[:7].mean() if line.complete else x0.flatten()[:20].mean()
        assert line.value == pytest.approx(expected.item(), abs=1e-4)


def test_a_smaller_decoder_alone_keeps_the_verifier(flow):
    level, large, small = Level("images"), Decoder(), Decoder(3.0)
    model, run = flow.searched(halving(flow), level.verifier, vae=large, early_vae=small)
    flow.ksampler(model, steps=4)
    [lane] = account(run).lanes
    assert account(run).early == ["early level"]
    assert len(large.seen) == sum(line.complete for line in lane)
    assert len(small.seen) == sum(not line.complete for line in lane)


def test_search_sampler_takes_them_too(flow):
    inputs = flow.custom_inputs(steps=4)
    cheap = Level(part=slice(0, 20), name="cheap")
    out = flow.call(
        "NS_SearchSampler", **inputs, search=halving(flow), verifier=Level().verifier, early_verifier=cheap.verifier
    )
    found = out[-1].choose(None).account
    assert found.early == ["early cheap"] and len(cheap.seen) == sum(not line.complete for line in found.lanes[0])


def test_unconnected_they_change_nothing(flow):
    runs = []
    for early in ({}, {"early_verifier": None, "early_vae": None}):
        model, run = flow.searched(halving(flow), Level().verifier, **early)
        runs.append((flow.ksampler(model, steps=4), account(run)))
    assert torch.equal(runs[0][0], runs[1][0]) and runs[0][1].early == []
    assert [len(line.row) for line in runs[0][1].lanes[0]] == [1] * len(runs[0][1].lanes[0])


def test_the_reports_show_both(flow):
    cheap = Level(part=slice(0, 20), name="cheap")
    model, run = flow.searched(
        halving(flow), Level("images").verifier, vae=flow.tiny.vae, early_verifier=cheap.verifier, early_vae=Decoder()
    )
    flow.ksampler(model, steps=4)
    curve, pictures, table, *_ = flow.call("NS_SearchReport", run=run, after="x")
    assert "early" not in table and "level" in table
    assert curve.shape[-1] == pictures.shape[-1] == 3


def test_another_early_verifier_is_another_search(comfy, sd3):
    """The history never mixes them, and the same one goes on from it."""
    q = Queued(comfy, sd3, images=8, algorithm="NS_SuccessiveHalving")
    q.graph.set(q.search, width=4, cuts=1, first_stop=0.5)
    q.graph.set(q.sampler, steps=4)
    one, other = (Level(part=slice(0, n), name=f"cheap {n}") for n in (20, 30))
    given = q.given(one=one.verifier, other=other.verifier)
    q.graph.set(q.block, early_verifier=given["one"])
    q.run(q.sampler)
    spent = q.evaluations
    q.graph.set(q.block, early_verifier=given["other"])
    _, run = q.run(q.sampler, q.run_)
    assert q.evaluations > 0 and account(run).recalled == 0 and account(run).early == ["early cheap 30"]
    q.forget()
    q.graph.set(q.block, early_verifier=given["one"])
    _, run = q.run(q.sampler, q.run_)
    assert q.evaluations == 0 and account(run).recalled == spent


def test_what_cannot_be_is_one_sentence_before_anything_is_sampled(flow):
    pairs = Level("pairs", name="steadiness")
    with pytest.raises(SearchError, match="^The verifier steadiness judges finished images only"):
        flow.searched(halving(flow), Level().verifier, early_verifier=pairs.verifier)
    with pytest.raises(SearchError, match="^The verifier cheap looks at images: connect a VAE"):
        flow.searched(halving(flow), Level().verifier, early_verifier=Level("images", name="cheap").verifier)


@pytest.mark.parametrize(
    ("node", "sampler_name", "early"),
    [
        ("NS_AutoSearch", "euler", True),
        ("NS_AutoSearch", "dpm_fast", False),
        ("NS_RandomSearch", "euler", False),
        ("NS_TreeSearch", "euler", False),
    ],
)
def test_a_search_that_scored_no_unfinished_image_says_that_they_were_not_used(flow, node, sampler_name, early):
    cheap = Level(name="cheap")
    (budget,) = flow.call("NS_SearchBudget", images=14)
    (search,) = flow.call(node, budget=budget)
    model, run = flow.searched(search, Level().verifier, early_verifier=cheap.verifier)
    flow.ksampler(model, steps=6, sampler_name=sampler_name)
    assert bool(cheap.seen) == early
    said = any("early_verifier and early_vae had nothing to score" in note for note in account(run).notes)
    assert said != early


def test_a_threshold_is_for_a_score_of_unfinished_images_that_stands_alone(flow):
    alone, cheap = Level().verifier, Level(part=slice(0, 20), name="cheap").verifier
    ranks = combine([alone, cheap], "mean rank", [1, 1], 0)
    (search,) = flow.call("NS_BacktrackingSearch", use_threshold=True, threshold=0.0)
    for options in ({"verifier": ranks}, {"verifier": alone, "early_verifier": ranks}):
        with pytest.raises(SearchError, match="^Backtracking Search: threshold needs .* or let one verifier judge"):
            flow.searched(search, **options)
    model, run = flow.searched(search, ranks, early_verifier=cheap)
    flow.ksampler(model, steps=4)
    assert any(not line.complete for line in account(run).lanes[0])
