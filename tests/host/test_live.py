"""What the server tells pages of a search, while it runs and after: the same as the report, nothing decoded for it."""

import io
import itertools
import json

import pytest
import requests
from PIL import Image

from .test_server_loop import HiresFix
from .test_server_search import World, same

SEEDS = itertools.count(700_000, 1000)


def board_of(client, prompt_id):
    (board,) = [board for board in client.get("/noise_search/boards").json() if board["prompt"] == prompt_id]
    return board


def exported(run, w):
    """The account of the search, as Export History writes it."""
    place = run.text(w.export).removeprefix("Saved as ")
    return json.loads(open(place, encoding="utf-8").read())


def test_the_board_is_what_the_report_says(client):
    w = World(images=7, steps=2, seed=next(SEEDS), batch=3)
    w.export = w.graph.add("NS_ExportHistory", run=w.block.at(1), after=w.sampler, format="JSON")
    report = w.report()
    run = client.run(w.graph)
    board, account = board_of(client, run.prompt_id), exported(run, w)
    (lane,), (lines,) = board["lanes"], account["lanes"]
    assert [c["id"] for c in lane["candidates"]] == [line["id"] for line in lines]
    assert [c["at"] for c in lane["candidates"]] == list(itertools.accumulate(line["nfe"] for line in lines))
    assert lane["values"] == pytest.approx([line["value"] for line in lines], rel=1e-5)
    for candidate, line in zip(lane["candidates"], lines):
        assert candidate["row"] == pytest.approx(line["row"], rel=1e-5) and candidate["recipe"] == line["recipe"]
    ranked = sorted(lines, key=lambda line: -line["value"])
    assert lane["best"] == [line["id"] for line in ranked[:6]]
    assert [(c["name"], c["searched"]) for c in board["columns"]] == list(zip(account["measures"], account["searched"]))
    assert (board["spent"], board["total"], board["ended"]) == (14, 14, "budget spent")
    assert board["nodes"] == [w.block.id, report.id] and board["seed_at"] == [w.sampler.id, "seed"]


def told(client, run):
    return [e.data for e in client.events if e.type == "noise_search.board" and e.data["prompt"] == run.prompt_id]


def test_messages_bring_what_is_new(client):
    w = World(images=12, steps=2, seed=next(SEEDS), batch=1)
    run = client.run(w.graph)
    messages = told(client, run)
    assert (messages[0]["spent"], messages[0]["total"], messages[0]["lanes"]) == (0, 24, [])
    known = []
    for message in messages:
        for lane in message["lanes"]:
            assert lane["from"] == len(known) and lane["values_from"] == len(known)
            known += lane["candidates"]
    assert known == board_of(client, run.prompt_id)["lanes"][0]["candidates"] and len(known) == 12
    assert messages[-1]["ended"] == "budget spent" and not messages[0]["ended"]


def test_a_message_of_a_loop_has_all_that_it_counts(client):
    run = client.run(HiresFix(images=6, seed=next(SEEDS)).graph)
    messages = told(client, run)
    assert [(m["spent"], m["total"], m["lanes"]) for m in messages[:1]] == [(0, 6, [])]
    assert all(m["spent"] == sum(map(len_of, m["lanes"])) for m in messages) and messages[-1]["spent"] == 6


def test_every_candidate_has_a_small_picture_for_now(client):
    w = World(images=4, steps=2, seed=next(SEEDS))
    board = board_of(client, client.run(w.graph).prompt_id)
    for candidate in board["lanes"][0]["candidates"]:
        picture = client.get(f"/noise_search/boards/{board['search']}/0/{candidate['id']}.jpg").content
        assert len(picture) < 20_000 and max(Image.open(io.BytesIO(picture)).size) == 192
    for wrong in (f"{board['search']}/0/none.jpg", f"{board['search']}/7/{candidate['id']}.jpg", "none/0/none.jpg"):
        refused = requests.get(f"{client.url}/noise_search/boards/{wrong}", timeout=30)
        assert refused.status_code == 404 and "No picture" in refused.json()["error"]


def test_stop_keeps_the_best(client):
    w = World(images=5000, steps=2, seed=next(SEEDS), batch=1)
    report = w.report()
    queued = client.queue(w.graph)
    heard = client.wait_for(lambda e: e.type == "noise_search.board" and sum(map(len_of, e.data["lanes"])) >= 3)
    assert requests.post(stop_at(client, heard.data), timeout=30).ok
    run = client.wait(queued)
    board = board_of(client, queued)
    assert run.status == "success" and board["ended"] == "stopped" and board["spent"] < 10_000
    assert "stopped" in run.text(report) and len(run.images(w.saved)) == 1
    lane = board["lanes"][0]
    best = next(c for c in lane["candidates"] if c["id"] == lane["best"][0])
    alone = World(images=1, steps=2, seed=int(json.loads(best["recipe"])["seed"]))
    alone.graph.set(alone.sampler, model=alone.model)
    assert same(*client.run(alone.graph).images(alone.saved), *run.images(w.saved))
    refused = requests.post(stop_at(client, board), timeout=30)
    assert refused.status_code == 409 and refused.json()["error"] == "This search has ended."
    unknown = requests.post(stop_at(client, {"search": "0" * 32}), timeout=30)
    assert unknown.status_code == 404 and "not known" in unknown.json()["error"]


def len_of(lane):
    return lane["from"] + len(lane["candidates"])


def stop_at(client, board):
    return f"{client.url}/noise_search/boards/{board['search']}/stop"


def test_a_search_on_the_path_stops_with_a_finished_image(client):
    w = World(images=5000, steps=4, seed=next(SEEDS), algorithm="NS_ParticleSearch")
    queued = client.queue(w.graph)
    first = client.wait_for(lambda e: e.type == "noise_search.board" and e.data["prompt"] == queued)
    assert requests.post(stop_at(client, first.data), timeout=30).ok
    assert client.wait(queued).images(w.saved)
    assert board_of(client, queued)["ended"] == "stopped"


def test_a_cancelled_search_did_not_finish(client):
    w = World(images=5000, steps=2, seed=next(SEEDS), batch=1)
    queued = client.queue(w.graph)
    client.wait_for(lambda e: e.type == "noise_search.board" and e.data["lanes"])
    client.interrupt()
    client.wait(queued)
    client.wait_for(lambda e: e.type == "status" and e.data["status"]["exec_info"]["queue_remaining"] == 0)
    assert board_of(client, queued)["ended"] == "did not finish"


def test_two_rows_are_two_lanes(client):
    w = World(images=3, steps=2, rows=2, seed=next(SEEDS))
    lanes = board_of(client, client.run(w.graph).prompt_id)["lanes"]
    assert [len(lane["candidates"]) for lane in lanes] == [3, 3]
    assert lanes[0]["values"] != lanes[1]["values"]


def test_a_value_that_changes_is_told_again(client):
    w = World(images=6, steps=2, seed=next(SEEDS), batch=1)
    ranks = w.graph.add("NS_CombineVerifiers", verifier_1=w.graph.add("NS_ShapesVerifier"),
                        verifier_2=w.graph.add("NS_ImageStatistics"))  # fmt: skip
    w.graph.set(w.block, verifier=ranks)
    run = client.run(w.graph)
    news = [lane for message in told(client, run) for lane in message["lanes"] if lane["candidates"]]
    assert all(lane["values_from"] == 0 and len(lane["values"]) == len_of(lane) for lane in news)
    assert news[-1]["values"] == board_of(client, run.prompt_id)["lanes"][0]["values"]


def test_a_cheaper_look_at_unfinished_images_has_columns_of_its_own(client):
    w = World(images=12, steps=4, seed=next(SEEDS), algorithm="NS_SuccessiveHalving")
    w.graph.set(w.block, early_verifier=w.graph.add("NS_ImageStatistics"))
    board = board_of(client, client.run(w.graph).prompt_id)
    assert [c["name"] for c in board["columns"]][-1] == "early sharpness" and board["early"] == 1
    (lane,) = board["lanes"]
    for candidate, value in zip(lane["candidates"], lane["values"]):
        assert (value is None) == (not candidate["complete"]) == (candidate["row"][0] is None)
        assert (candidate["row"][-1] is None) == candidate["complete"]
    assert any(not candidate["complete"] for candidate in lane["candidates"])


def test_the_search_sampler_shows_itself_and_where_its_seed_is_typed(client):
    w = World(images=3, steps=2, seed=next(SEEDS))
    g = w.graph
    seed = g.add("PrimitiveInt", value=w.seed)
    noise = g.add("RandomNoise", noise_seed=seed)
    sampler = g.add(
        "NS_SearchSampler", noise=noise, latent_image=w.latent, vae=w.vae, verifier=w.verifier,
        guider=g.add("BasicGuider", model=w.model, conditioning=w.positive),
        sampler=g.add("KSamplerSelect", sampler_name="euler"),
        sigmas=g.add("BasicScheduler", model=w.model, scheduler="simple", steps=2, denoise=1.0),
        search=g.add("NS_RandomSearch", budget=w.budget),
    )  # fmt: skip
    report = g.add("NS_SearchReport", run=sampler.at(4))
    del g[w.saved.id]
    board = board_of(client, client.run(g).prompt_id)
    assert board["nodes"] == [sampler.id, report.id] and board["seed_at"] == [seed.id, "value"]
    assert len(board["lanes"][0]["candidates"]) == 3
