"""Candidates share calls: the same asks and images as one by one, every evaluation counted, nothing done twice."""

import pytest
import torch

from .searching import ALGORITHMS, Level, Searching, account, close, counted, digest, wrap


@pytest.fixture(scope="module")
def lab(comfy, tiny):
    return Searching(comfy, tiny)


def run(lab, algorithm, batch, budget=None, rows=1, own=None, **settings):
    """(latent, account, Count, Level) of one search in a stock KSampler."""
    level = Level()
    base, count = counted(lab.tiny.model)
    search = lab.search(algorithm, budget or {"images": 7}, **own or {})
    model, found = lab.searched(search, level.verifier, base, batch=batch)
    out = lab.ksampler(model, lab.latent(rows), **settings)
    return out, account(found), count, level


def asks(account):
    return [[line.recipe.id for line in lane] for lane in account.lanes]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_batch_size_changes_neither_asks_nor_images(lab, algorithm):
    settings = {"rows": 2, "sampler_name": "euler_ancestral"}
    alone, one, *_ = run(lab, algorithm, 1, **settings)
    together, many, count, _ = run(lab, algorithm, 16, **settings)
    again, *_ = run(lab, algorithm, 16, **settings)
    assert asks(one) == asks(many) and max(count.batches) > 2
    assert close(alone, together) and torch.equal(together, again)
    scores = [torch.tensor([line.row for lane in found.lanes for line in lane]) for found in (one, many)]
    assert close(*scores)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_evaluations_are_those_at_the_model_within_the_budget(lab, algorithm, cfg):
    _, found, count, _ = run(lab, algorithm, 4, {"evaluations": 44}, rows=2, cfg=cfg)
    assert found.spent == count.evaluations <= found.estimate == 44
    assert found.spent == sum(line.nfe for lane in found.lanes for line in lane)
    assert found.forwards == count.forwards == count.evaluations * (1 if cfg == 1.0 else 2)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_is_sampled_or_scored_twice(lab, algorithm):
    _, found, _, level = run(lab, algorithm, 4, {"images": 9})
    assert len(level.seen) == len(set(level.seen)) == len(found.lanes[0])
    assert len(set(asks(found)[0])) == len(found.lanes[0])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_batch_of_three_is_three_independent_searches(lab, algorithm):
    out, found, *_ = run(lab, algorithm, 0, {"images": 6}, rows=3)
    plain = lab.ksampler(latent=lab.latent(3))
    assert len(found.lanes) == 3 and out.shape[0] == 3
    for row in range(3):
        best, first = found.best(row), found.plain(row)
        assert best.value >= first.value and close(Level().numbers(out[row : row + 1]), torch.tensor([best.value]))
        assert close(Level().numbers(plain[row : row + 1]), torch.tensor([first.value]))


def test_the_best_so_far_is_never_lost(lab):
    """The winner has the highest score that the measure ever gave, whatever was tried afterwards."""
    for algorithm in ALGORITHMS:
        out, found, *_ = run(lab, algorithm, 2, {"images": 9})
        finished = [line.row[0] for line in found.lanes[0] if line.complete]
        assert close(Level().numbers(out), torch.tensor([max(finished)]))


def test_a_chain_goes_on_from_the_best(lab):
    first = lab.search("random", {"images": 4})
    chain = lab.search("zero-order", {"images": 4}, after=first)
    base, count = counted(lab.tiny.model)
    model, found = lab.searched(chain, Level().verifier, base)
    lab.ksampler(model)
    lines = account(found).lanes[0]
    best = max(lines[:4], key=lambda line: line.value)
    assert lines[4].recipe.parent == best.recipe.id and len(lines) == 8 and count.evaluations == 24


class Hungry:
    """Really runs out of memory: asks torch for a petabyte when more than `rows` rows come, on a later step."""

    def __init__(self, rows, step=2):
        self.rows, self.step, self.calls, self.failures = rows, step, 0, 0

    def on(self, model):
        from comfy.patcher_extension import WrappersMP

        model = model.clone()

        def predict(executor, x, *args, **kwargs):
            self.calls += 1
            out = executor(x, *args, **kwargs)
            if x.shape[0] > self.rows and self.calls % self.step == 0:
                self.failures += 1
                torch.empty(2**50, dtype=torch.uint8)
            return out

        wrap(model, WrappersMP.PREDICT_NOISE, predict, "hungry")
        return model


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_out_of_memory_halves_the_batch_and_changes_nothing(lab, algorithm):
    own = {"random": {}, "zero-order": {"neighbours": 8}, "paths": {"branches": 8}}[algorithm]
    hungry, level = Hungry(4), Level()
    base, count = counted(hungry.on(lab.tiny.model))
    model, found = lab.searched(lab.search(algorithm, {"images": 20}, **own), level.verifier, base, batch=8)
    out = lab.ksampler(model)
    told = account(found)
    straight, same, *_ = run(lab, algorithm, 1, {"images": 20}, own=own)
    assert hungry.failures and any("out of memory" in note.lower() for note in told.notes)
    assert told.spent == count.evaluations <= told.estimate == 60
    done = len(told.lanes[0])
    assert asks(told)[0] == asks(same)[0][:done] and done >= 4
    assert len(level.seen) == len(set(level.seen)) == done
    best = max(same.lanes[0][:done], key=lambda line: (line.complete, line.value))
    assert told.best().recipe == best.recipe
    if done == len(same.lanes[0]):
        assert close(out, straight)


def test_out_of_memory_with_one_candidate_is_an_error(lab):
    model, _ = lab.searched(lab.search(), Level().verifier, Hungry(0).on(lab.tiny.model))
    with pytest.raises(RuntimeError, match="allocate"):
        lab.ksampler(model)


def test_what_is_told_is_what_was_rendered(lab):
    """The latent handed back is one that was scored, to the bit."""
    out, _, _, level = run(lab, "random", 4)
    assert digest(out[0]) in level.seen
