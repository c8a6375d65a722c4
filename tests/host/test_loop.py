"""The search loop in ComfyUI's executor, around a body that costs nothing."""

import gc
import re

import pytest
import torch

from .in_process import ExecutionError
from .looping import Draw, Hold, Loader, Looped


@pytest.fixture
def looped(comfy):
    def made(**settings):
        return Looped(comfy, **settings)

    return made


def score(latent):
    return latent["samples"].flatten()[:7].mean().item()


def account(run):
    return run.choose(None).account


def seeds(run):
    return [int(line.recipe.seed) for line in account(run).lanes[0]]


def test_the_best_of_some_seeds(looped):
    loop = looped(images=6)
    value, noise, seed, run = loop.run()
    assert loop.seeds == seeds(run) == [7, 8, 9, 10, 11, 12] and Loader.runs == 1
    found = account(run)
    assert found.spent == found.estimate == 6 and found.recalled == 0
    assert score(value) == max(line.value for line in found.lanes[0]) and seed == int(found.best().recipe.seed)
    assert torch.equal(noise.generate_noise(value), value["samples"]) and noise.seed == seed


def test_a_budget_of_one_image_is_the_plain_run(looped):
    loop = looped(images=1)
    value, _, seed, _ = loop.run()
    assert loop.seeds == [7] and seed == 7
    assert torch.equal(value["samples"], loop.run(loop.draw)["samples"])


@pytest.mark.parametrize("images", [64, 65, 66, 140])
def test_longer_than_a_chain(looped, images):
    loop = looped(images=images)
    _, _, _, run = loop.run()
    assert loop.seeds == list(range(7, 7 + images)) == seeds(run)


@pytest.mark.parametrize(
    "node", ["NS_ZeroOrderSearch", "NS_EvolutionarySearch", "NS_CoarseToFineSearch", "NS_AutoSearch"]
)
def test_noises_that_no_seed_draws(looped, node):
    loop = looped(images=16, algorithm=node, by="noise")
    value, noise, _, run = loop.run()
    found = account(run)
    assert len(found.lanes[0]) == 16 and {line.recipe.draw for line in found.lanes[0]} - {"seed"}
    assert torch.equal(noise.generate_noise(value), value["samples"])
    best = found.best().recipe
    assert best.draw == "seed" or "use End's noise" in found.notes[0]


def test_noises_that_no_seed_draws_need_the_noise_output(looped):
    loop = looped(images=9, algorithm="NS_ZeroOrderSearch", by="seed")
    with pytest.raises(ExecutionError, match="Zero-Order Search makes noises that no seed draws.*connect noise"):
        loop.run()
    assert not loop.seeds


def test_the_budgets_ends(looped):
    loop = looped(images=60)
    loop.graph.set(loop.budget, patience=3)
    _, _, _, run = loop.run()
    assert account(run).stages[0]["ended"] == "patience ended" and len(loop.seeds) < 30
    values = [line.value for line in account(run).lanes[0]]
    assert values.index(max(values)) == len(values) - 4
    enough = sorted(values)[-2]
    loop.graph.set(loop.budget, patience=0, use_target=True, target_score=enough)
    _, _, _, run = loop.run()
    assert account(run).stages[0]["ended"] == "target reached" and len(seeds(run)) == 1 + [
        v >= enough for v in values
    ].index(True)
    loop.graph.set(loop.budget, use_target=False, images=0, seconds=0.3)
    _, _, _, run = loop.run()
    assert account(run).stages[0]["ended"] == "time is up" and seeds(run) == list(range(7, 7 + len(seeds(run))))


@pytest.mark.parametrize("value", ["latent", "image"])
def test_twice_the_budget_computes_only_the_second_half(looped, value):
    loop = looped(images=6, value=value)
    loop.run()
    loop.graph.set(loop.budget, images=12)
    best, _, seed, run = loop.run()
    assert loop.seeds == [13, 14, 15, 16, 17, 18] and account(run).recalled == 6
    straight = looped(images=12, value=value)
    same, _, same_seed, again = straight.run()
    assert same_seed == seed and seeds(run) == seeds(again)
    assert torch.equal(*((x["samples"] if value == "latent" else x) for x in (best, same)))


@pytest.mark.parametrize(
    ("value", "restarted", "runs"),
    [("latent", True, 0), ("image", True, 1), (None, True, 0), ("image", False, 0)],
)
def test_the_history_answers(looped, value, restarted, runs):
    """An IMAGE is not kept on disk: after a restart the winner's body runs once more."""
    from noise_search.nodes.host.loop_values import RECENT

    loop = looped(images=8, value=value, seed=20)
    loop.graph.set(loop.draw, index=loop.start.at(4))
    wanted = [loop.end if value else loop.end.at(3), loop.end.at(2), loop.end.at(3)]
    first, seed, _ = loop.run(*wanted)
    assert seed != 20 and Draw.indices == list(range(8))
    loop.forget()
    if restarted:
        RECENT.clear()
    again, same, run = loop.run(*wanted)
    assert loop.seeds == [seed] * runs and same == seed and account(run).recalled == 8 - runs
    assert Draw.indices == [seed - 20] * runs
    if value:
        assert torch.equal(*((x["samples"] if value == "latent" else x) for x in (first, again)))


@pytest.mark.parametrize("how", ["error", "cancel"])
@pytest.mark.parametrize("at", [1, 2, 5])
def test_it_goes_on_after_what_stopped_it(looped, comfy, how, at):
    from comfy.model_management import InterruptProcessingException

    def stop():
        raise RuntimeError("the brush broke") if how == "error" else InterruptProcessingException

    loop = looped(images=8)
    with pytest.raises(ExecutionError) as stopped:
        loop.run(breaks_at=at, breaks_with=stop)
    told = stopped.value.data
    assert (
        told["node_id"] == loop.draw.id
        and told["node_type"] == "Draw"
        and ("exception_message" in told) == (how == "error")
    )
    _, _, _, run = loop.run()
    assert (
        loop.seeds == list(range(6 + at, 15)) and account(run).recalled == at - 1 and seeds(run) == list(range(7, 15))
    )


def test_a_search_that_was_lost_on_the_way_is_taken_up_from_the_history(looped):
    from noise_search.nodes.host.loop_search import Loop

    def lose():
        for handle in [held for held in gc.get_objects() if isinstance(held, Loop)]:
            handle.searches.clear()

    loop = looped(images=8)
    _, _, _, run = loop.run(breaks_at=4, breaks_with=lose)
    assert loop.seeds == [7, 8, 9, 10, 10, 11, 12, 13, 14] and seeds(run) == list(range(7, 15))


def test_memory_does_not_grow_with_the_candidates(looped, comfy):
    loop = looped(images=200, value="image")
    g = loop.graph
    g.add("Hold", latent=loop.draw)
    loop.run()
    assert len(loop.seeds) == len(Hold.seen) == 200
    assert Draw.most < 16  # keep = 8, the plain one, the one being made
    assert len(Draw.alive) < 14

    def held(cache):
        return len(cache.cache) + sum(map(held, cache.subcaches.values()))

    assert held(comfy.executor.caches.outputs) < 80 and held(comfy.executor.caches.objects) < 80


def test_what_hangs_on_the_body_runs_for_every_candidate(looped):
    loop = looped(images=5)
    loop.graph.add("Hold", latent=loop.draw)
    behind = loop.graph.add("Hold", latent=loop.end)
    value, *_ = loop.run()
    assert len(Hold.seen) == 6 and torch.equal(Hold.seen[-1], value["samples"]) and behind.id in loop.comfy.shown
    shown = [id for id in loop.comfy.shown if id != behind.id]
    assert len(shown) == 5  # what each showed is in the queue's history


def nested(loop):
    """A loop in the loop: the inner one refines by noise what the outer one draws by seed."""
    g = loop.graph
    loop.inner_budget = g.add("NS_SearchBudget", images=4)
    search = g.add("NS_RandomSearch", budget=loop.inner_budget)
    start = g.add("NS_SearchLoopStart", search=search, latent=loop.draw, seed=loop.start.at(2))
    draw = g.add("Draw", latent=start.at(3), noise=start.at(1), key="inner")
    end = g.add("NS_SearchLoopEnd", loop=start, score=g.add("Mean", samples=draw), value=draw)
    loop.judge = g.add("Mean", samples=end)
    g.set(loop.end, score=loop.judge, value=end)
    return loop


def test_what_hangs_far_out_still_runs(looped, comfy):
    """ComfyUI may take the loop's next step before the nodes on the way to a preview."""
    comfy.nodes["Pass"] = passing()
    loop, far = looped(images=5), None
    for _ in range(5):
        far = loop.graph.add("Pass", value=far or loop.draw)
    loop.graph.add("Hold", latent=far)
    loop.graph.add("PreviewAny", source=loop.mean)  # which ComfyUI prefers, and the step after it
    loop.run(loop.end)
    assert len(Hold.seen) == 5 and all(isinstance(samples, torch.Tensor) for samples in Hold.seen)


def test_a_loop_in_a_loop(looped):
    loop = nested(looped(images=3, seed=100))
    value, _, _, run = loop.run()
    assert loop.seeds == [100, 100, 101, 102, 103, 101, 101, 102, 103, 104, 102, 102, 103, 104, 105]
    best = max(score({"samples": seeded(s)}) for s in range(100, 106))
    assert score(value) == pytest.approx(best) and len(account(run).lanes[0]) == 3
    loop.graph.set(loop.budget, images=4)
    loop.run()
    assert loop.seeds == [103, 103, 104, 105, 106]


def test_node_numbers_do_not_matter(looped):
    loop = nested(looped(images=3, seed=400))
    loop.run(loop.end)
    renamed = {f"9:{id}": node for id, node in loop.graph.items()}
    for node in renamed.values():
        node["inputs"] = {k: [f"9:{v[0]}", v[1]] if isinstance(v, list) else v for k, v in node["inputs"].items()}
    loop.graph.clear()
    loop.graph.update(renamed)
    loop.graph.set(f"9:{loop.budget.id}", images=4)
    loop.run([f"9:{loop.end.id}", 0])
    assert loop.seeds == [403, 403, 404, 405, 406]
    loop.graph.set(f"9:{loop.inner_budget.id}", images=5)
    loop.run([f"9:{loop.end.id}", 0])
    assert loop.seeds == [400, 404, 401, 405, 402, 406, 403, 407]  # one more in each inner loop
    loop.graph.set(f"9:{loop.judge.id}", nan_at=-2)  # another score for the outer loop: the inner one is remembered
    loop.run([f"9:{loop.end.id}", 0])
    assert loop.seeds == [401, 402, 403]  # the first is in ComfyUI's cache


def seeded(seed):
    return torch.randn((1, 4, 8, 8), generator=torch.Generator("cpu").manual_seed(seed))


def test_an_inner_loop_that_stops_early(looped):
    loop = nested(looped(images=3, seed=300))
    loop.graph.set(loop.inner_budget, images=40, patience=2)
    loop.run()
    assert 3 * 4 <= len(loop.seeds) < 40


@pytest.mark.parametrize("alike", [True, False])
def test_two_loops_in_one_graph(looped, alike):
    loop = looped(images=5, value="latent")
    g = loop.graph
    start = g.add("NS_SearchLoopStart", search=loop.search, latent=loop.latent, seed=7 if alike else 50)
    draw = g.add("Draw", latent=start.at(3), seed=start.at(2), key=loop.loader)
    end = g.add("NS_SearchLoopEnd", loop=start, score=g.add("Mean", samples=draw), value=draw)
    one, other, run, other_run = loop.run(loop.end, end, loop.end.at(3), end.at(3))
    assert seeds(run) == list(range(7, 12)) and seeds(other_run) == (
        list(range(7, 12)) if alike else list(range(50, 55))
    )
    assert torch.equal(one["samples"], other["samples"]) == alike


def test_two_ends_of_one_start(looped):
    loop = looped(images=4)
    lower = loop.graph.add("NS_SearchLoopEnd", loop=loop.start, score=loop.mean, value=loop.draw, better="lower")
    loop.graph.add("Hold", latent=lower)
    best, worst = loop.run(loop.end, lower)
    assert score(best) > score(worst) and len(Hold.seen) == 1
    assert len(loop.seeds) < 8  # either runs its own copies, or finds the other's scores


def test_lower_scores_may_be_better(looped):
    loop = looped(images=40)
    loop.graph.set(loop.end, better="lower")
    value, _, _, run = loop.run()
    scores = [line.row[0] for line in account(run).lanes[0]]
    assert score(value) == min(scores)
    aim = sorted(scores)[2]
    loop.graph.set(loop.budget, use_target=True, target_score=aim)
    _, _, _, run = loop.run()
    assert len(seeds(run)) == 1 + [x <= aim for x in scores].index(True)


def test_a_batch_is_one_candidate(looped):
    loop = looped(images=3, rows=2, by="noise")
    value, noise, seed, run = loop.run()
    assert value["samples"].shape[0] == 2 and len(account(run).lanes) == 1
    drawn = torch.randn((2, 4, 8, 8), generator=torch.Generator("cpu").manual_seed(seed))
    assert torch.equal(value["samples"], drawn) and torch.equal(noise.generate_noise(value), drawn)


def test_scores_that_are_no_numbers(looped):
    loop = looped(images=5)
    loop.graph.set(loop.mean, nan_at=3)
    with pytest.raises(ExecutionError, match="score is nan for candidate 2, seed 9.*on_nan to exclude"):
        loop.run()
    loop = looped(images=5)
    loop.graph.set(loop.mean, nan_at=3)
    loop.graph.set(loop.end, on_nan="exclude")
    _, _, _, run = loop.run()
    lines = account(run).lanes[0]
    assert [bool(line.excluded) for line in lines] == [False, False, True, False, False]


def test_a_whole_number_is_a_score(looped):
    loop = looped(images=3)
    loop.graph.set(loop.end, score=loop.mean.at(1))
    _, _, seed, _ = loop.run()
    assert seed == 7 and len(loop.seeds) == 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda w: w.graph.set(w.start, search=w.graph.add("NS_SearchOverPaths")),
            "Search over Paths works inside a.*: use Auto Search, Random Search, Screened Search, ",
        ),
        (
            lambda w: w.graph.set(w.start, search=w.graph.add("NS_EvolutionarySearch", mid_path="0.5")),
            "Evolutionary Search works inside a.*: clear its mid_path, or use Search with KSampler",
        ),
        (
            lambda w: w.graph.set(w.budget, evaluations=40),
            "cannot see the denoiser's evaluations.*limit images or seconds",
        ),
        (lambda w: w.graph.set(w.end, score=1.0), "score does not depend on Search Loop Start.*connect noise"),
        (lambda w: w.graph.set(w.end, score=w.graph.add("Mean", samples=w.latent)), "score does not depend on"),
        (lambda w: w.graph.set(w.draw, seed=3), "neither noise nor seed leads into the loop.*connect noise"),
        (lambda w: w.graph[w.end.id]["inputs"].pop("value"), "value output is connected and its value input is not"),
        (lambda w: w.graph.set(w.budget, images=0), "all 0, so that nothing may be spent"),
        (lambda w: w.graph.set(w.end, loop=w.graph.add("Pass", value=w.start)), "connect its loop input to the loop"),
    ],
    ids=["path", "mid_path", "evaluations", "number", "outside", "no seed", "no value", "budget", "not direct"],
)
def test_bad_wiring_is_said_before_anything_is_drawn(looped, comfy, change, sentence):
    comfy.nodes["Pass"] = passing()
    loop = looped()
    change(loop)
    with pytest.raises(ExecutionError) as refused:
        loop.run()
    assert re.search(sentence, str(refused.value)) and "\n" not in str(refused.value).strip() and not Draw.seeds


def passing():
    from .in_process import Any

    class Pass:
        RETURN_TYPES, FUNCTION, CATEGORY = (Any("*"),), "go", "test"

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"value": (Any("*"), {})}}

        def go(self, value):
            return (value,)

    return Pass


@pytest.fixture(params=["lru", "none"])
def other_cache(request, comfy, monkeypatch):
    """ComfyUI's executor as --cache-lru 20 and --cache-none make it."""
    import execution

    kind = {"lru": execution.CacheType.LRU, "none": execution.CacheType.DEPENDENCY_AWARE}[request.param]
    monkeypatch.setattr(comfy, "executor", execution.PromptExecutor(comfy.server, cache_type=kind, cache_size=20))
    return request.param


def test_other_cache_modes(looped, other_cache):
    loop = looped(images=40, value="image")
    g = loop.graph
    # Two loops that are the same but for End; with --cache-none ComfyUI itself mixes up nodes that are the same.
    twin = g.add("NS_SearchLoopStart", search=loop.search, latent=loop.latent, seed=7 if other_cache == "lru" else 8)
    draw = g.add("Draw", latent=twin.at(3), seed=twin.at(2), key=loop.loader)
    end = g.add("NS_SearchLoopEnd", loop=twin, score=g.add("Mean", samples=draw), value=draw.at(1))
    one, _, run = loop.run(loop.end, end, loop.end.at(3))
    assert seeds(run) == list(range(7, 47)) and Loader.runs == 1 and Draw.most < 20
    straight = looped(images=40, value="image")
    assert torch.equal(one, straight.run(straight.end))
    g.set(loop.budget, images=43)
    loop.run(loop.end)
    assert sorted(set(loop.seeds)) == [47, 48, 49]


def test_a_loop_in_a_loop_in_other_cache_modes(looped, other_cache):
    test_a_loop_in_a_loop(looped)
