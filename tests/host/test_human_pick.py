"""Human Pick on the real server: a person answers over the routes that the page uses."""

import itertools
import time
import uuid

import pytest
import requests
from PIL import ImageChops, ImageStat

from noise_search.harness.client import Failed
from noise_search.harness.graph import Graph

from .person import Person, answer
from .test_server_search import World, recalled, same

SEEDS = itertools.count(500_000, 1000)
NO_LIMIT = 0.0


def asking(images=6, rows=1, screen=False, **settings):
    """A search by hand, of its own."""
    w = World(images=images, rows=rows, seed=next(SEEDS))
    more = {"screen": w.graph.add("NS_ShapesVerifier")} if screen else {}
    w.human = w.graph.add("NS_HumanPick", **{"time_limit": NO_LIMIT, **settings, **more})
    w.graph.set(w.block, verifier=w.human)
    return w


def is_like(one, other):
    """The same picture but for JPEG and size."""
    difference = ImageChops.difference(one.convert("RGB").resize((64, 64)), other.resize((64, 64)))
    return max(ImageStat.Stat(difference).mean) < 4


def question(client):
    """The first that is asked."""
    return client.wait_for(lambda e: e.type == "noise_search.question").data


def test_what_is_picked_wins_and_is_not_asked_about_again(client):
    w = asking()
    client.heard = first = Person(client.url, lambda question, shown: [4])
    run = client.run(w.graph)
    (asked,), (shown,) = first.asked, first.seen
    assert asked["way"] == "pick the best" and asked["count"] == 6 and asked["best"] is None
    assert "a red circle" in asked["about"][0] and is_like(*run.images(w.saved), shown[4])
    w.graph.set(w.budget, images=9)
    client.heard = second = Person(client.url, lambda question, shown: [question["best"]])
    again = client.run(w.graph)
    (asked,), (shown,) = second.asked, second.seen
    assert asked["count"] == 4 and asked["best"] == 3 and is_like(*run.images(w.saved), shown[3])
    assert same(*again.images(w.saved), *run.images(w.saved)) and recalled(again, w.sampler) > 0


def test_a_ranking_and_its_scores(client):
    w = asking(way="rank")
    report = w.report(k=6)
    client.heard = Person(client.url, lambda question, shown: [3, 1, 0, 2, 5, 4])
    run = client.run(w.graph)
    assert f"{w.seed + 3}" in run.text(report) and "Human Pick" in run.text(report)
    (board,) = [b for b in client.get("/noise_search/boards").json() if b["prompt"] == run.prompt_id]
    assert board["lanes"][0]["values"] == [4, 5, 3, 6, 1, 2]  # 6 images, less the place of each


def test_a_round_of_many_is_asked_in_parts(client):
    w = asking(images=10, shown=4)
    client.heard = person = Person(client.url, lambda question, shown: [0])
    run = client.run(w.graph)
    assert [(asked["count"], asked["best"]) for asked in person.asked] == [(3, None), (4, 3), (5, 4)]
    assert is_like(*run.images(w.saved), person.seen[-1][0])


def test_pages_know_what_was_spent_before_they_are_asked(client):
    w = asking(images=5)
    client.heard = person = Person(client.url)
    client.run(w.graph)
    order = [e for e in client.events if e.type in ("noise_search.board", "noise_search.question")]
    asked = next(n for n, e in enumerate(order) if e.type == "noise_search.question")
    before = order[asked - 1].data
    assert len(person.asked) == 1 and before["spent"] == before["total"] == 15


def test_a_screen_shows_a_few(client):
    w = asking(images=8, shown=2, screen=True)
    client.heard = person = Person(client.url)
    client.run(w.graph)
    assert [asked["count"] for asked in person.asked] == [2]


def test_ratings_in_a_loop(client):
    g = Graph()
    model, clip, vae = g.add("NS_ShapesWorld").out(3)
    search = g.add("NS_RandomSearch", budget=g.add("NS_SearchBudget", images=3))
    latent = g.add("EmptyLatentImage", width=256, height=256, batch_size=1)
    start = g.add("NS_SearchLoopStart", search=search, latent=latent, seed=next(SEEDS))
    text = g.add("CLIPTextEncode", clip=clip, text="a red circle")
    sampler = g.add("KSampler", model=model, positive=text, negative=text, seed=start.at(2), latent_image=start.at(3),
                    steps=2, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=1.0)  # fmt: skip
    image = g.add("VAEDecode", samples=sampler, vae=vae)
    human = g.add("NS_HumanPick", way="rate 1 to 10", time_limit=NO_LIMIT)
    score = g.add("NS_ScoreImages", images=image, verifier=human)
    saved = g.add("SaveImage", images=g.add("NS_SearchLoopEnd", loop=start, score=score, value=image),
                  filename_prefix="rated")  # fmt: skip
    ratings = iter([3, 9, 4])
    client.heard = person = Person(client.url, lambda question, shown: [next(ratings)])
    run = client.run(g)
    assert len(person.asked) == 3 and is_like(*run.images(saved), person.seen[1][0])
    g.set(human, way="rank")
    with pytest.raises(Failed, match="Score Images has only one, as in a loop: choose to rate"):
        client.run(g)


def test_when_time_is_up_the_plain_image_stays(client):
    w = asking(images=4, time_limit=1.0)
    plain = w.save(w.sample(w.model))
    report = w.report()
    run = client.run(w.graph)
    assert question(client)["seconds_left"] <= 1.0
    assert "nobody answered: 1." in run.text(report)
    assert is_like(*run.images(w.saved), *(image.convert("RGB") for image in run.images(plain)))
    assert client.get("/noise_search/questions").json() == []


def test_no_answer_may_be_no_score(client):
    w = asking(images=4, time_limit=1.0, no_answer="give no score")
    with pytest.raises(Failed, match="Human Pick gave nan"):
        client.run(w.graph)
    client.heard = person = Person(client.url, lambda question, shown: [2])
    run = client.run(w.graph)  # and asks again
    assert len(person.asked) == 1 and is_like(*run.images(w.saved), person.seen[0][2])


def test_where_nobody_listens_nobody_is_waited_for(server):
    w, id = asking(images=4), uuid.uuid4().hex
    requests.post(f"{server.url}/prompt", json={"prompt": w.graph, "prompt_id": id}, timeout=30).raise_for_status()
    late, ended = time.monotonic() + 200, {}
    while not ended and time.monotonic() < late:
        ended = requests.get(f"{server.url}/history/{id}", timeout=30).json()
        time.sleep(0.2)
    assert ended[id]["status"]["status_str"] == "success" and ended[id]["outputs"][w.saved.id]["images"]


def test_a_program_that_goes_away_may_come_back(client, server):
    w = asking(images=4)
    queued = client.queue(w.graph)
    token = question(client)["token"]
    client.close()
    (waiting,) = requests.get(f"{server.url}/noise_search/questions", timeout=30).json()
    assert waiting["token"] == token and waiting["seconds_left"] is None
    assert answer(server.url, waiting, [1]).ok
    late, ended = time.monotonic() + 200, {}
    while not ended and time.monotonic() < late:
        ended = requests.get(f"{server.url}/history/{queued}", timeout=30).json()
        time.sleep(0.2)
    assert ended[queued]["status"]["status_str"] == "success"


def test_cancel_ends_the_wait(client):
    w = asking(images=4)
    queued = client.queue(w.graph)
    asked = question(client)
    client.interrupt()
    assert client.wait(queued).status == "interrupted"
    assert client.get("/noise_search/questions").json() == []
    assert answer(client.url, asked, [1]).status_code == 404


def test_stop_means_that_none_is_better(client):
    w = asking(images=4)
    client.heard = Person(client.url, lambda question, shown: [1])
    best = client.run(w.graph)
    client.heard = lambda event: None
    w.graph.set(w.budget, images=8)
    queued = client.queue(w.graph)
    client.wait_for(lambda e: e.type == "noise_search.question" and e.data["prompt"] == queued)
    (board,) = [b for b in client.get("/noise_search/boards").json() if b["prompt"] == queued]
    assert requests.post(f"{client.url}/noise_search/boards/{board['search']}/stop", timeout=30).ok
    run = client.wait(queued)
    assert run.status == "success" and same(*run.images(w.saved), *best.images(w.saved))


def test_answers_are_checked_and_the_first_counts(client):
    w = asking(images=4)
    queued = client.queue(w.graph)
    asked = question(client)
    place = f"{client.url}/noise_search/questions/{asked['token']}"
    for body, sentence in [
        (b"no JSON", "Expecting value"),
        (b"[1]", "list of whole numbers"),
        (b'{"answer": "1"}', "list of whole numbers"),
        (b'{"answer": [true]}', "list of whole numbers"),
        (b'{"answer": [4]}', "by numbers of 0 to 3"),
        (b'{"answer": [-1]}', "by numbers of 0 to 3"),
        (b'{"answer": [1, 1]}', "each once"),
        (b'{"answer": [1, 2]}', "one image, or none"),
    ]:
        refused = requests.post(place, data=body, timeout=30)
        assert refused.status_code == 400 and sentence in refused.json()["error"], body
    assert requests.get(f"{place}/4.jpg", timeout=30).status_code == 404
    assert answer(client.url, asked, [1]).ok
    assert answer(client.url, asked, [2]).status_code in (404, 409)
    assert client.wait(queued).status == "success"
    assert answer(client.url, {"token": "another"}, [2]).status_code == 404


@pytest.mark.parametrize(
    ("settings", "sentence"), [({"rows": 2}, "latent batch has 2 rows.*set the batch to 1, or choose to rate")]
)
def test_what_cannot_be_asked_is_said_before_anything_is_sampled(client, settings, sentence):
    w = asking(**settings)
    with pytest.raises(Failed, match=sentence) as failed:
        client.run(w.graph)
    assert not [said for said in failed.value.run.of("progress", w.sampler) if said["value"]]


def test_a_batch_is_rated(client):
    w = asking(images=2, rows=2, way="rate 1 to 10")
    client.heard = person = Person(client.url, lambda question, shown: [1, 2, 10, 3])
    run = client.run(w.graph)
    assert [asked["count"] for asked in person.asked] == [4]
    assert [is_like(image, person.seen[0][n]) for image, n in zip(run.images(w.saved), (2, 3))] == [True, True]


def test_score_images_asks_about_its_batch(client):
    g = Graph()
    colours = [g.add("EmptyImage", width=64, height=64, batch_size=1, color=c) for c in (0xFF0000, 0x00FF00, 0x0000FF)]
    batch = g.add("ImageBatch", image1=g.add("ImageBatch", image1=colours[0], image2=colours[1]), image2=colours[2])
    human = g.add("NS_HumanPick", time_limit=NO_LIMIT, question=f"Which? {next(SEEDS)}")
    scored = g.add("NS_ScoreImages", images=batch, verifier=human)
    index = g.add("PreviewAny", source=scored.at(2))
    client.heard = Person(client.url, lambda question, shown: [2])
    assert client.run(g).text(index) == "2"
