"""The algorithms and generators beyond the first few, through stock samplers."""

import pytest
import torch

from noise_search.search import SearchError

from .searching import Level, Searching, account, close, counted

FAMILY = {
    "NS_SearchOverPaths": {"paths": 1, "branches": 1, "rounds": 2, "explore": 0.0, "first_stop": 0.25},
    "NS_AutoSearch": {},
    "NS_ScreenedSearch": {},
    "NS_SuccessiveHalving": {"width": 4, "cuts": 1},
    "NS_ParticleSearch": {"preset": "DAS", "particles": 3, "stops": 2},
    "NS_RolloverSearch": {"noises": 3, "legs": 2, "quota": 2},
    "NS_EvolutionarySearch": {},
    "NS_SpectralSearch": {"population": 3, "levels": 1},
    "NS_CoarseToFineSearch": {"levels": 1},
    "NS_BacktrackingSearch": {"stops": 1},
    "NS_TreeSearch": {"stops": 2, "rollouts": 2},
}


@pytest.fixture(scope="module")
def lab(comfy, tiny):
    return Searching(comfy, tiny)


@pytest.mark.parametrize(("node", "own", "rows", "sampler_name"), [
    *((node, own, 1, "euler") for node, own in FAMILY.items()),
    ("NS_ParticleSearch", FAMILY["NS_ParticleSearch"], 2, "euler_ancestral"),
    ("NS_ParticleSearch", {"particles": 3, "stops": 2, "diversity": 0.5}, 2, "euler"),
    ("NS_RolloverSearch", FAMILY["NS_RolloverSearch"] | {"conversion": "variance preserving"}, 2, "euler_ancestral"),
    ("NS_RolloverSearch", FAMILY["NS_RolloverSearch"] | {"conversion": "strong variance preserving"}, 1, "dpmpp_2m"),
    ("NS_TreeSearch", FAMILY["NS_TreeSearch"], 2, "euler_ancestral"),
    ("NS_EvolutionarySearch", {"newcomers": 0.0, "mid_path": "0.25, 0.5"}, 2, "euler_ancestral"),
    ("NS_AutoSearch", {}, 2, "euler"),
])  # fmt: skip
def test_it_searches_within_its_budget_and_its_winner_comes_again(lab, node, own, rows, sampler_name):
    model, count = counted(lab.tiny.model)
    (budget,) = lab.call("NS_SearchBudget", images=9)
    (search,) = lab.call(node, **own, budget=budget)
    model, run = lab.searched(search, Level().verifier, model=model)
    settings = {"latent": lab.latent(rows), "sampler_name": sampler_name, "steps": 4}
    best, _ = lab.custom(model=model, **settings)
    done = account(run)
    assert done.spent == count.evaluations <= 9 * 4 * rows
    assert all(len(lane) > 3 for lane in done.lanes)
    finished = [sum(line.complete for line in lane) for lane in done.lanes]
    assert min(finished) > 2
    assert max(finished) <= 2 * min(finished)  # no row of the batch starves
    noise, _ = lab.call("NS_WinnerNoise", run=run, after="x")
    again = type(noise).from_metadata(noise.to_metadata())
    inputs = lab.custom_inputs(noise=again, **settings)
    replayed = lab.call(
        "NS_SearchSampler", **inputs, search=lab.search(budget={"images": 1}), verifier=Level().verifier
    )
    assert close(best, replayed[0]["samples"])


def test_what_is_no_share_of_the_steps_is_said_before_anything_is_sampled(lab):
    with pytest.raises(SearchError, match="^Evolutionary Search: mid_path is 'half'; write shares of the sampling"):
        lab.call("NS_EvolutionarySearch", mid_path="half")
    model, _ = lab.searched(lab.call("NS_EvolutionarySearch", mid_path="0.5")[0], Level().verifier)
    with pytest.raises(SearchError, match="cannot be stopped and resumed on the denoising path"):
        lab.ksampler(model, sampler_name="dpm_fast")


@pytest.mark.parametrize("node", ["NS_LowFrequencyCandidates", "NS_MaskedCandidates", "NS_MixCandidates"])
def test_every_generator_draws_for_an_algorithm(lab, node):
    low = lab.call("NS_LowFrequencyCandidates", levels=1)[0]
    own = {
        "NS_LowFrequencyCandidates": {"levels": 1},
        "NS_MaskedCandidates": {"mask": torch.eye(32)[None]},
        "NS_MixCandidates": {"first": low, "second": lab.call("NS_GaussianCandidates")[0]},
    }
    (candidates,) = lab.call(node, **own[node])
    model, run = lab.searched(lab.search("random", candidates=candidates), Level().verifier)
    best = lab.ksampler(model)
    assert len({line.value for line in account(run).lanes[0]}) == 5
    noise, _ = lab.call("NS_WinnerNoise", run=run, after="x")
    again = type(noise).from_metadata(noise.to_metadata())
    assert torch.equal(again.tensor, noise.tensor)
    assert close(best, lab.custom(noise=again)[0])


@pytest.mark.parametrize(
    ("node", "name"),
    [("NS_SpectralSearch", "Spectral Search"), ("NS_CoarseToFineSearch", "Coarse-to-Fine Search")],
)
def test_a_generator_that_would_not_be_drawn_from_is_said_before_anything_is_sampled(lab, node, name):
    (masked,) = lab.call("NS_MaskedCandidates", mask=torch.eye(32)[None])
    with pytest.raises(SearchError, match=f"^{name}: candidates is connected, but .*: disconnect it.$"):
        lab.call(node, candidates=masked)
