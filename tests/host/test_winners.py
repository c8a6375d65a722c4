"""A winner comes again: from its seed, from its noise, from its recipe."""

import pytest
import torch

from .searching import ALGORITHMS, Level, Searching, account, close


@pytest.fixture(scope="module")
def lab(comfy, tiny):
    return Searching(comfy, tiny)


def search(lab, algorithm, rows=1, images=8, **settings):
    """(the winners' latent, NS_RUN) of a stock SamplerCustomAdvanced on a searched model."""
    model, run = lab.searched(lab.search(algorithm, {"images": images}), Level().verifier)
    return lab.custom(model=model, latent=lab.latent(rows), **settings)[0], run


@pytest.mark.parametrize("sampler_name", ["euler", "euler_ancestral", "dpmpp_2m_sde"])
def test_a_random_winner_is_a_seed(lab, sampler_name):
    settings = {"sampler_name": sampler_name}
    model, run = lab.searched(lab.search("random", {"images": 6}), Level().verifier, batch=1)
    best = lab.ksampler(model, **settings)
    assert torch.equal(best, lab.ksampler(seed=lab.call("NS_WinnerNoise", run=run, after="x")[1], **settings))
    model, run = lab.searched(lab.search("random", {"images": 6}), Level().verifier, batch=6)
    best = lab.ksampler(model, **settings)
    seed = lab.call("NS_WinnerNoise", run=run, after="x")[1]
    assert close(best, lab.ksampler(seed=seed, **settings)) and seed != 7


@pytest.mark.parametrize("sampler_name", ["euler", "dpmpp_sde"])
def test_a_random_winner_of_a_batch_is_a_seed_and_a_row(lab, sampler_name):
    latent = lab.latent(3)
    model, run = lab.searched(lab.search("random", {"images": 5}), Level().verifier)
    best = lab.ksampler(model, latent, sampler_name=sampler_name)
    seeds = [int(account(run).best(row).recipe.seed) for row in range(3)]
    assert len(set(seeds)) > 1
    for row, seed in enumerate(seeds):
        assert close(best[row], lab.ksampler(latent=latent, seed=seed, sampler_name=sampler_name)[row])


def test_rows_of_a_larger_batch_keep_their_numbers(lab):
    (latent,) = lab.call("LatentFromBatch", samples=lab.latent(4), batch_index=2, length=1)
    model, run = lab.searched(lab.search("random", {"images": 5}), Level().verifier)
    best = lab.ksampler(model, latent)
    seed = int(account(run).best().recipe.seed)
    assert seed != 7 and close(best, lab.ksampler(latent=lab.latent(4), seed=seed)[2:3])


@pytest.mark.parametrize("algorithm", ["random", "zero-order"])
@pytest.mark.parametrize("rows", [1, 2])
def test_the_noise_of_a_winner_gives_it_in_a_stock_sampler(lab, algorithm, rows):
    best, run = search(lab, algorithm, rows)
    noise, _ = lab.call("NS_WinnerNoise", run=run, after="x")
    assert close(best, lab.custom(noise=noise, latent=lab.latent(rows))[0])


def path_winner(lab, rows, **settings):
    """(the winners' latent, their noise) of the first seed with which paths won in every row."""
    for seed in range(7, 500, 40):
        best, run = search(lab, "paths", rows, images=12, seed=seed, **settings)
        noise, _ = lab.call("NS_WinnerNoise", run=run, after="x")
        if all(recipe.moves for recipe in noise.recipes):
            return best, noise, run
    raise AssertionError("no path won with any seed")


@pytest.mark.parametrize("sampler_name", ["euler", "euler_ancestral", "dpmpp_2m_sde"])
@pytest.mark.parametrize("rows", [1, 2])
def test_a_winner_on_a_path_replays(lab, sampler_name, rows):
    best, noise, run = path_winner(lab, rows, sampler_name=sampler_name, steps=5)
    settings = lab.custom_inputs(noise=noise, latent=lab.latent(rows), sampler_name=sampler_name, steps=5)
    replayed = lab.call("NS_SearchSampler", **settings, search=lab.search(), verifier=Level().verifier)
    assert close(best, replayed[0]["samples"])
    assert [recipe.id for recipe in replayed[3].recipes] == [recipe.id for recipe in noise.recipes]
    shown = lab.comfy.nodes["NS_WinnerNoise"].execute(run=run, after="x").ui
    assert "path" in str(shown.as_dict()) and "Search Sampler" in str(shown.as_dict())


def test_a_path_does_not_replay_on_another_schedule(lab):
    _, noise, _ = path_winner(lab, 1, steps=5)
    settings = lab.custom_inputs(noise=noise, steps=4)
    with pytest.raises(ValueError, match="5 steps and the schedule has 4"):
        lab.call("NS_SearchSampler", **settings, search=lab.search(), verifier=Level().verifier)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_search_sampler_gives_the_best_few_and_the_noise(lab, algorithm):
    out, denoised, top, noise, run = lab.call(
        "NS_SearchSampler", **lab.custom_inputs(), search=lab.search(algorithm, {"images": 8}),
        verifier=Level().verifier, keep=3,
    )  # fmt: skip
    kept = top["samples"]
    levels = Level().numbers(kept)
    assert torch.equal(kept[:1], out["samples"]) and (levels.diff() <= 0).all() and len(kept) >= 3
    assert close(denoised["samples"], out["samples"], 1e-3)  # the last step ends at x̂0
    assert noise.recipes[0] == run.choose(None).account.best().recipe
