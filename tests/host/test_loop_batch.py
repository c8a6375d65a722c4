"""Several candidates in one turn of a loop, around a body that costs nothing."""

import re

import pytest
import torch

from .in_process import ExecutionError
from .looping import Draw, Looped
from .searching import Level
from .test_loop import account, nested, seeds


@pytest.fixture
def looped(comfy):
    def made(batch=4, by="noise", **settings):
        return Looped(comfy, batch=batch, by=by, **settings)

    return made


def told(run):
    return [(line.recipe, line.row) for line in account(run).lanes[0]]


@pytest.mark.parametrize("value", ["latent", "image"])
def test_a_batch_finds_what_one_by_one_finds(looped, value):
    one_by_one, together = looped(batch=1, images=10, value=value), looped(batch=4, images=10, value=value)
    best, noise, seed, run = one_by_one.run()
    same, same_noise, same_seed, beside = together.run()
    assert one_by_one.runs == [1] * 10 and together.runs == [4, 4, 2]
    assert together.seeds == one_by_one.seeds == list(range(7, 17))
    assert told(run) == told(beside) and seed == same_seed and account(beside).spent == 10
    assert torch.equal(noise.tensor, same_noise.tensor) and noise.to_metadata() == same_noise.to_metadata()
    if value == "latent":
        assert best.keys() == same.keys() and torch.equal(best["samples"], same["samples"])
    else:
        assert torch.equal(best, same)


@pytest.mark.parametrize(
    ("node", "own", "runs"),
    [
        ("NS_ZeroOrderSearch", {"neighbours": 4}, [1, 3, 1, 3, 1, 3, 1, 3, 1, 3]),
        ("NS_EvolutionarySearch", {}, None),
        ("NS_CoarseToFineSearch", {"per_band": 3}, None),
        ("NS_ScreenedSearch", {}, [3, 3, 2, 3, 3, 2, 3, 1]),
        ("NS_AutoSearch", {}, None),
    ],
)
def test_rounds_are_told_whole_whatever_the_batch(looped, node, own, runs):
    one_by_one, together = (looped(batch=n, images=20, algorithm=node, **own) for n in (1, 3))
    _, _, _, run = one_by_one.run()
    _, _, _, beside = together.run()
    assert told(run) == told(beside) and len(told(run)) == 20 and len(together.runs) < 20
    assert max(together.runs) == 3 and runs in (None, together.runs)


def test_a_search_goes_on_with_another_batch(looped):
    loop = looped(batch=1, images=5)
    loop.run()
    loop.graph.set(loop.start, batch=4)
    loop.graph.set(loop.budget, images=12)
    _, _, _, run = loop.run()
    assert account(run).recalled == 5 and seeds(run) == list(range(7, 19))
    assert loop.seeds == list(range(12, 19)) and loop.runs == [3, 4]
    loop.graph.set(loop.start, batch=1)
    loop.graph.set(loop.budget, images=14)
    _, _, _, run = loop.run()
    assert account(run).recalled == 12 and loop.seeds == [19, 20] and loop.runs == [1, 1]
    assert told(run) == told(looped(batch=1, images=14).run(loop.end.at(3)))


def test_score_and_scores_of_score_images_share_a_history(looped):
    loop = looped(batch=1, images=5, value="image")
    scored = score_images(loop)
    loop.graph.set(loop.end, score=scored)
    loop.run()
    loop.graph.set(loop.start, batch=4)
    loop.graph.set(loop.end, score=scored.at(4))
    loop.graph.set(loop.budget, images=9)
    _, _, _, run = loop.run()
    assert account(run).recalled == 5 and loop.runs == [3, 1]
    assert told(run) == told(straight_scores(looped, images=9))


def score_images(loop, verifier=None):
    g = loop.graph
    return g.add("NS_ScoreImages", images=loop.draw.at(1), verifier=verifier or g.add("NS_ImageStatistics"))


def straight_scores(looped, images):
    loop = looped(batch=1, images=images, value="image")
    loop.graph.set(loop.end, score=score_images(loop))
    return loop.run(loop.end.at(3))


def test_never_over_budget_nor_far_past_a_target(looped):
    loop = looped(batch=64, images=10)
    loop.run()
    assert loop.runs == [10]
    loop = looped(batch=4, images=40)
    everything = told(loop.run(loop.end.at(3)))
    values = [row[0] for _, row in everything]
    aim = max(values[:7])
    at = values.index(aim)
    loop.graph.set(loop.budget, use_target=True, target_score=aim)
    _, _, _, run = loop.run()
    assert account(run).stages[0]["ended"] == "target reached" and at < len(told(run)) <= at + 4
    loop.graph.set(loop.budget, use_target=False, patience=3)
    _, _, _, run = loop.run()
    values = values[: len(told(run))]
    assert account(run).stages[0]["ended"] == "patience ended" and values.index(max(values)) == len(values) - 4


@pytest.mark.parametrize("kind", ["list", "tuple", "tensor", "array"])
def test_numbers_of_another_node_are_scores(looped, kind):
    loop = looped(batch=4, images=6)
    loop.graph.set(loop.mean, kind=kind)
    _, _, _, run = loop.run()
    assert [row[0] for _, row in told(run)] == pytest.approx([mean_of(seed) for seed in range(7, 13)])


def mean_of(seed):
    return torch.randn((1, 4, 8, 8), generator=torch.Generator("cpu").manual_seed(seed)).flatten()[:7].mean().item()


def test_one_row_that_has_no_score(looped):
    loop = looped(batch=4, images=8)
    loop.graph.set(loop.mean, nan_at=13)
    with pytest.raises(ExecutionError, match="score is nan for candidate 6, seed 13.*on_nan to exclude"):
        loop.run()
    loop.graph.set(loop.end, on_nan="exclude")
    _, _, _, run = loop.run()
    assert account(run).recalled == 6 and loop.runs == [2]
    assert [bool(line.excluded) for line in account(run).lanes[0]] == [n == 6 for n in range(8)]


@pytest.mark.parametrize("how", ["error", "cancel"])
def test_it_goes_on_after_what_stopped_it(looped, comfy, how):
    from comfy.model_management import InterruptProcessingException

    def stop():
        raise RuntimeError("the brush broke") if how == "error" else InterruptProcessingException

    loop = looped(batch=3, images=8)
    with pytest.raises(ExecutionError) as stopped:
        loop.run(breaks_at=2, breaks_with=stop)
    assert stopped.value.data["node_id"] == loop.draw.id
    _, _, _, run = loop.run()
    assert account(run).recalled == 3 and loop.runs == [3, 2] and seeds(run) == list(range(7, 15))


def test_a_winner_runs_again_alone_after_a_restart(looped):
    from noise_search.nodes.host.loop_values import RECENT

    loop = looped(batch=4, images=8, value="image", seed=20)
    first, _, seed, _ = loop.run()
    loop.forget()
    RECENT.clear()
    again, _, same, run = loop.run()
    assert loop.runs == [1] and loop.seeds == [seed] == [same] and torch.equal(first, again)
    assert account(run).recalled == 7


def test_a_kept_row_does_not_hold_its_batch_in_memory(looped):
    loop = looped(batch=8, images=400, value="image")
    top = loop.graph.add("NS_TopCandidates", run=loop.end.at(3), k=3)
    images, value, run = loop.run(top.at(1), loop.end, loop.end.at(3))
    assert Draw.most < 4 and len(loop.runs) == 50 and torch.equal(images[:1], value)
    kept = [run.choose(None).latents.get(line.recipe.id) for line in run.choose(None).kept()]
    assert len(kept) >= 8 and all(row.untyped_storage().nbytes() == row.nbytes for row in kept)


@pytest.mark.parametrize("batch_index", [None, [3]])
@pytest.mark.parametrize("size", [(1, 4, 8, 8), (1, 16, 3, 4, 4)], ids=["image", "video"])
def test_the_latent_of_each_candidate(looped, comfy, size, batch_index):
    """With all that a LATENT may hold; what another node adds to a row is what it adds to a candidate alone."""
    from comfy.sample import prepare_noise

    given = {"samples": torch.randn(size), "noise_mask": torch.rand((1, *size[-2:])), "about": "it"}
    given |= {"batch_index": batch_index} if batch_index else {}
    values = []
    for batch in (1, 4):
        loop = looped(batch=batch, images=6)
        hand, seen = handing(given)
        comfy.nodes |= {f"hand {loop.name}": hand, f"see {loop.name}": seen}
        loop.graph.set(loop.start, latent=loop.graph.add(f"hand {loop.name}"))
        loop.graph.set(loop.draw, latent=loop.graph.add(f"see {loop.name}", latent=loop.start.at(3)))
        values.append(loop.run(loop.end))
        handed = seen.latents[0]
        assert handed["samples"].shape == (batch, *size[1:]) and handed["noise_mask"].shape[0] in (1, batch)
        assert all(torch.equal(row, given["samples"][0]) for row in handed["samples"])
        alone = prepare_noise(given["samples"], 5, given.get("batch_index"))
        assert all(torch.equal(row, alone[0]) for row in prepare_noise(handed["samples"], 5, handed.get("batch_index")))
    one, other = values
    assert one.keys() == other.keys() == given.keys() and other.get("batch_index") == batch_index
    assert torch.equal(one["samples"], other["samples"]) and torch.equal(other["noise_mask"], given["noise_mask"])


def handing(latent):
    class Hand:
        RETURN_TYPES, FUNCTION, CATEGORY = ("LATENT",), "hand", "test"
        latents: list = []

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {}}

        def hand(self):
            return (latent,)

    class See(Hand):
        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"latent": ("LATENT",)}}

        def hand(self, latent):
            self.latents.append(latent)
            return (latent,)

    return Hand, See


@pytest.mark.parametrize("node", ["Masks", "Names"])
def test_values_that_have_a_row_for_each(looped, comfy, node):
    comfy.nodes[node] = by_rows(node)
    loop = looped(batch=4, images=6, value=None)
    loop.graph.set(loop.end, value=loop.graph.add(node, samples=loop.draw))
    value, _, seed, _ = loop.run()
    if node == "Masks":
        assert value.shape == (1, 8, 8) and value.flatten()[0].item() == pytest.approx(first_of(seed))
    else:
        assert value == f"{first_of(seed):.4f}"


def by_rows(kind):
    class Rows:
        RETURN_TYPES, FUNCTION, CATEGORY = ("MASK" if kind == "Masks" else "STRING",), "go", "test"

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"samples": ("LATENT",)}}

        def go(self, samples):
            rows = samples["samples"][:, 0]
            names = [f"{row.flatten()[0].item():.4f}" for row in rows]
            return (rows if kind == "Masks" else names if len(rows) > 1 else names[0],)

    return Rows


def first_of(seed):
    return torch.randn((1, 4, 8, 8), generator=torch.Generator("cpu").manual_seed(seed)).flatten()[0].item()


def test_a_loop_with_a_batch_in_a_loop(looped):
    one_by_one, together = (nested(looped(batch=0, by="seed", images=3, seed=100)) for _ in range(2))
    inner = next(id for id, node in together.graph.items() if node["inputs"].get("latent") == list(together.draw))
    end = next(id for id, node in together.graph.items() if node["inputs"].get("loop") == [inner, 0])
    together.graph.set(inner, batch=3)
    draw = together.graph[end]["inputs"]["value"]
    together.graph.set(end, score=together.graph.add("Means", samples=draw))
    value, _, seed, run = one_by_one.run()
    same, _, same_seed, beside = together.run()
    assert told(run) == told(beside) and seed == same_seed and torch.equal(value["samples"], same["samples"])
    assert together.runs == [1, 3, 1] * 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.graph.set(w.latent, batch_size=2), "batch is 4, and the latent has 2 rows.*set batch to 1"),
        (lambda w: w.graph.set(w.draw, index=w.start.at(4)), "seed and index are of one.*connect noise instead"),
        (lambda w: w.graph.set(w.draw, seed=w.start.at(2)), "seed and index are of one.*for that of a second pass"),
        (lambda w: nested(w), "a search inside this loop would not keep.*to 1; that of a loop inside it may be more"),
        (lambda w: w.graph.set(w.end, score=score_images(w)), "connected to the score of Score Images.*its scores"),
    ],
    ids=["rows", "index", "seed", "nested", "mean"],
)
def test_what_cannot_be_right_is_said_before_anything_is_drawn(looped, change, sentence):
    loop = looped()
    change(loop)
    with pytest.raises(ExecutionError) as refused:
        loop.run()
    assert re.search(sentence, str(refused.value)) and "\n" not in str(refused.value).strip() and not Draw.seeds


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.graph.set(w.mean, kind="first"), "score is 1 number for 4.*connect the scores of Score Im"),
        (lambda w: w.graph.set(w.end, score=w.graph.add("Mean", samples=w.draw)), "score is 1 number for 4 candidates"),
        (lambda w: w.graph.set(w.end, value=w.graph.add("Mean", samples=w.draw)), "value is float, in which 4 cand"),
        (lambda w: w.graph.set(w.end, value=w.graph.add("RepeatLatentBatch", samples=w.draw, amount=2)),
         "value is LATENT of 8 rows, in which 4 candidates.*or set batch of Search Loop Start to 1"),
        (lambda w: w.graph.set(w.draw, latent=w.latent), "4 candidates go through the loop.*latent has 1 rows"),
    ],
    ids=["one in a list", "one", "a number", "too many rows", "another latent"],
)  # fmt: skip
def test_what_has_not_one_for_each(looped, change, sentence):
    loop = looped()
    change(loop)
    with pytest.raises(ExecutionError) as refused:
        loop.run()
    assert re.search(sentence, str(refused.value)) and "\n" not in str(refused.value).strip() and Draw.runs == [4]


def test_scores_that_only_compare_the_images_of_a_batch(looped):
    loop = looped(value="image")
    g = loop.graph
    parts = {"verifier_1": g.add("NS_ImageStatistics"), "verifier_2": g.add("NS_ImageStatistics", measure="exposure")}
    ranks = g.add("NS_CombineVerifiers", **parts, rule="mean rank")
    g.set(loop.end, score=score_images(loop, ranks).at(4))
    with pytest.raises(ExecutionError, match="compare the images of one batch.*without ranks, z-scores or picks"):
        loop.run()


def test_scores_of_score_images(comfy):
    from noise_search.nodes.host.score_images import Scores

    level = Level(reads="images")
    images = torch.rand((3, 4, 4, 3))
    score, _, _, _, scores = comfy.call("NS_ScoreImages", images=images, verifier=level.verifier)
    expected = [image.flatten()[:7].mean().item() for image in images]
    assert scores == Scores(pytest.approx(tuple(expected)), relative=False)
    assert score == pytest.approx(sum(expected) / 3)
