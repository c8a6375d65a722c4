"""Auto Search where it cannot stop on the way, and as Search Sampler's own search."""

import pytest

from noise_search import report

from .searching import Level, Searching, account, counted


@pytest.fixture(scope="module")
def lab(comfy, tiny):
    return Searching(comfy, tiny)


def auto(lab, images):
    (budget,) = lab.call("NS_SearchBudget", images=images)
    (search,) = lab.call("NS_AutoSearch", budget=budget)
    return search


@pytest.mark.parametrize("sampler_name", ["dpm_fast", "dpm_adaptive"])
def test_a_sampler_that_cannot_be_stopped_samples_all_whole(lab, sampler_name):
    model, count = counted(lab.tiny.model)
    model, run = lab.searched(auto(lab, 16), Level().verifier, model=model)
    lab.ksampler(model, sampler_name=sampler_name)
    found = account(run)
    assert found.spent == count.evaluations
    assert {line.recipe.draw for line in found.lanes[0]} == {"seed", "neighbour"}
    assert not any(line.recipe.moves for line in found.lanes[0])
    assert "The sampling cannot be stopped: every candidate was sampled whole." in report.table(found)


def test_search_sampler_searches_along_the_path_and_says_what_it_did(lab):
    model, count = counted(lab.tiny.model)
    inputs = lab.custom_inputs(model=model, steps=6)
    *_, run = lab.call("NS_SearchSampler", **inputs, search=auto(lab, 24), verifier=Level().verifier)
    found = account(run)
    assert found.spent == count.evaluations <= 24 * 6
    finished = [line for line in found.lanes[0] if line.complete]
    assert len(finished) < len(found.lanes[0])
    assert any(move[0] == "renoise" for line in finished for move in line.recipe.moves)
    table = report.table(found)
    assert "Far children of the best: " in table and "finished images as their final scores do" in table
