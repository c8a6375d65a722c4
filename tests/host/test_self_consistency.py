"""x̂0 at a noise level beside the finished image, through stock samplers, batches, paths, video and the history."""

import pytest
import torch

from noise_search.harness import small_clips
from noise_search.verifiers import SelfConsistency, Verifier

from .model_folders import private
from .searching import ALGORITHMS, Level, Queued, Searching, account, close, counted, wrap
from .test_batching import Hungry
from .test_family import FAMILY


class Pair(Level):
    """A measure of pairs: how far a few pixels moved. Keeps what it was handed."""

    def __init__(self, level=0.5):
        super().__init__("pairs")
        self.level, self.pairs = level, []

    def numbers(self, pairs):
        self.pairs += list(pairs.clone())
        then, now = pairs[..., 0].flatten(2)[..., :7].unbind(1)
        return (then - now).abs().mean(1)


class Window:
    """A VAE that shows the latent as it is, pixel by pixel; `contrast` brings out what differs."""

    def __init__(self, contrast=10.0):
        self.contrast = contrast

    def decode(self, latents):
        return (self.contrast * latents[:, :3]).sigmoid().movedim(1, -1)


@pytest.fixture(scope="module")
def lab(comfy, tiny):
    return Searching(comfy, tiny)


@pytest.fixture(scope="module")
def flow(comfy, sd3):
    return Searching(comfy, sd3)


@pytest.fixture(scope="module")
def dinov2(comfy, tmp_path_factory):
    """A small DINOv2 where users put it."""
    with private(tmp_path_factory.mktemp("models")) as folders:
        yield small_clips.dinov2_classifier_folder(folders["clip_vision"] / "consistent-dinov2")


def recorded(model):
    """(a clone of the MODEL, the list of (sigma, x̂0) of each of its evaluations)."""
    from comfy.patcher_extension import WrappersMP

    model, seen = model.clone(), []

    def predict(executor, x, timestep, *args, **kwargs):
        out = executor(x, timestep, *args, **kwargs)
        seen.append((timestep[0].item(), out.clone()))
        return out

    wrap(model, WrappersMP.PREDICT_NOISE, predict, "recording")
    return model, seen


def prediction_at(seen, sigma):
    """The last one: a sampler of second order looks at a sigma from afar first."""
    return [x0 for σ, x0 in seen if abs(σ - sigma) < 1e-4 * sigma][-1]


@torch.inference_mode()
def pair_by_hand(lab, level, **settings):
    """Latents of a plain sampling: x̂0 at the step nearest to the level, and the finished ones."""
    import comfy.model_sampling

    model, seen = recorded(lab.tiny.model)
    latent, _ = lab.custom(model=model, **settings)
    base = lab.tiny.model.model
    share = (lambda σ: σ) if isinstance(base.model_sampling, comfy.model_sampling.CONST) else (lambda σ: σ / (1 + σ))
    sigmas = lab.custom_inputs(**settings)["sigmas"].tolist()
    sigma = min(sigmas[:-2], key=lambda σ: abs(share(σ) - level))
    x0 = base.process_latent_out(prediction_at(seen, sigma).float())
    return x0, latent


SAMPLERS = ["euler", "heun", "dpmpp_2m", "dpmpp_2m_sde", "euler_ancestral", "lms", "uni_pc_bh2"]


@pytest.mark.parametrize("sampler_name", SAMPLERS)
@pytest.mark.parametrize("level", [0.9, 0.6])
def test_a_measure_is_handed_x0_and_the_image(lab, sampler_name, level):
    pair, vae = Pair(level), Window({"sd3": 10.0, "sd15": 0.02}[lab.tiny.name])
    model, _ = lab.searched(lab.search("random", {"images": 2}), pair.verifier, vae=vae, batch=1)
    settings = {"latent": lab.latent(2), "sampler_name": sampler_name, "steps": 6}
    lab.custom(model=model, **settings)
    for seed, handed in zip((7, 8), torch.stack(pair.pairs).split(2)):
        expected = torch.stack([vae.decode(one) for one in pair_by_hand(lab, level, **settings, seed=seed)], 1)
        torch.testing.assert_close(handed, expected, atol=1e-4, rtol=0)
        assert (expected[:, 0] - expected[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("sampler_name", ["dpm_fast", "dpm_adaptive"])
def test_samplers_that_choose_their_own_steps(flow, sampler_name):
    pair = Pair(0.4)
    model, run = flow.searched(flow.search("random", {"images": 2}), pair.verifier, vae=Window())
    flow.ksampler(model, sampler_name=sampler_name, steps=9)
    assert len(pair.pairs) == 2 and all((then - now).abs().max() > 1e-3 for then, now in pair.pairs)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_batch_size_and_running_out_of_memory_change_nothing(lab, algorithm):
    own = {"random": {}, "zero-order": {"neighbours": 8}, "paths": {"branches": 8}}[algorithm]

    def rows(batch, base=lab.tiny.model):
        model, count = counted(base)
        search = lab.search(algorithm, {"images": 12}, **own)
        model, run = lab.searched(search, Pair().verifier, model, vae=Window(), batch=batch)
        lab.ksampler(model, lab.latent(2), steps=4)
        found = account(run)
        assert found.spent == count.evaluations <= found.estimate
        return [torch.tensor([line.row[0] for line in lane]) for lane in found.lanes]

    alone, together = rows(1), rows(16)
    hungry = Hungry(4)
    halved = rows(8, hungry.on(lab.tiny.model))
    assert hungry.failures and all(len(lane) >= 3 for lane in halved)
    for one, many, less in zip(alone, together, halved):
        assert close(one, many) and close(one[: len(less)], less)


@pytest.mark.parametrize("node", FAMILY)
def test_every_algorithm_searches_by_it(flow, node):
    pair = Pair()
    (budget,) = flow.call("NS_SearchBudget", images=9)
    (search,) = flow.call(node, **FAMILY[node], budget=budget)
    model, count = counted(flow.tiny.model)
    model, run = flow.searched(search, pair.verifier, model, vae=Window())
    flow.ksampler(model, steps=4)
    found = account(run)
    assert found.spent == count.evaluations <= 9 * 4
    assert all(pair.isfinite().all() for pair in pair.pairs) and len({line.row[0] for line in found.lanes[0]}) > 2


def test_a_winner_on_the_path_carried_what_its_replay_sees(flow):
    replayed = 0
    for sign in (1, -1):
        pair, replay = Pair(0.6), Pair(0.6)
        pair.sign = sign
        model, run = flow.searched(flow.search("paths", {"images": 8}), pair.verifier, vae=Window(), batch=1)
        flow.custom(model=model, steps=6)
        lines = account(run).lanes[0]
        place = [line.recipe for line in lines].index(account(run).best().recipe)
        if not lines[place].recipe.moves:
            continue
        noise, _ = flow.call("NS_WinnerNoise", run=run, after="x")
        inputs = flow.custom_inputs(noise=noise, steps=6)
        flow.call("NS_SearchSampler", **inputs, search=flow.search(), verifier=replay.verifier, vae=Window())
        assert close(replay.pairs[-1], pair.pairs[place])
        replayed += 1
    assert replayed


def test_what_a_mask_keeps_is_the_same_then_and_now(flow):
    pair, latent = Pair(), flow.latent()
    latent["samples"] = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(1))
    latent["noise_mask"] = torch.zeros(1, 32, 32)
    latent["noise_mask"][:, :16] = 1
    model, _ = flow.searched(flow.search("random", {"images": 2}), pair.verifier, vae=Window())
    flow.ksampler(model, latent)
    for then, now in pair.pairs:
        assert close(then[2:], now[2:]) and not close(then[:2], now[:2])


def test_leftover_noise_is_compared_as_it_is_scored(flow):
    pair = Pair()
    model, run = flow.searched(flow.search("random", {"images": 2}), pair.verifier, vae=Window())
    flow.advanced(model, end_at_step=3, return_with_leftover_noise="enable")
    assert all(row > 1e-6 for row in [line.row[0] for line in account(run).lanes[0]])


def test_frames_of_a_video(comfy, wan):
    lab, pair = Searching(comfy, wan), Pair()
    model, _ = lab.searched(lab.search("random", {"images": 2}), pair.verifier, vae=wan.vae, frames=2)
    lab.ksampler(model)
    assert len(pair.pairs) == 4 and pair.pairs[0].shape == (2, 32, 32, 3)


def test_a_resumed_search_tells_what_was_stored(comfy, sd3, dinov2):
    q = Queued(comfy, sd3, images=3)
    node = q.graph.add("NS_SelfConsistency", model="clip_vision/consistent-dinov2", noise_level=0.5)
    q.graph.set(q.block, verifier=node)
    before = account(q.run(q.run_, q.sampler)[0])
    assert q.evaluations == 9
    q.graph.set(q.budget, images=6)
    latent, run = q.run(q.sampler, q.run_)
    found = account(run)
    assert q.evaluations == found.recalled == 9
    assert [line.row for line in found.lanes[0][:3]] == [line.row for line in before.lanes[0]]
    same = q.run(q.sample(q.source, seed=int(found.best().recipe.seed)))
    assert close(latent["samples"], same["samples"]) and len({line.value for line in found.lanes[0]}) == 6


def test_what_cannot_be_is_said_in_one_sentence(flow, dinov2):
    verifier = Verifier.of(SelfConsistency(dinov2))
    with pytest.raises(ValueError, match="SelfConsistency looks at images on their way.*only finished images"):
        flow.call("NS_ScoreImages", images=small_clips.images(32, 32, n=2), verifier=verifier)
    with pytest.raises(ValueError, match="SelfConsistency looks at images: connect a VAE"):
        flow.searched(flow.search(), verifier)
    base, count = counted(flow.tiny.model)
    model, _ = flow.searched(flow.search(), verifier, base, vae=Window())
    with pytest.raises(ValueError, match="at least 2 steps"):
        flow.ksampler(model, steps=1)
    assert count.evaluations == 0


def test_a_sampler_that_looks_ahead_before_it_shows_a_step(flow):
    import comfy.samplers

    shown = []

    def ahead(model, x, sigmas, extra_args=None, callback=None, disable=None):
        for n, (σ, lower) in enumerate(zip(sigmas[:-1], sigmas[1:])):
            x0 = model(x, σ * x.new_ones([len(x)]), **extra_args)
            model(x, lower.clamp(min=0.01) * x.new_ones([len(x)]), **extra_args)
            x = x + (x - x0) / σ * (lower - σ)
            callback({"i": n, "denoised": x0, "x": x})
            shown.append(x0)
        return x

    pair = Pair(0.99)
    model, _ = flow.searched(flow.search(budget={"images": 1}), pair.verifier, vae=Window())
    inputs = flow.custom_inputs(model=model) | {"sampler": comfy.samplers.KSAMPLER(ahead)}
    flow.call("SamplerCustomAdvanced", **inputs)
    seen = flow.tiny.model.model.process_latent_out(shown[0].float())
    assert len(pair.pairs) == 1 and close(pair.pairs[0][0], Window().decode(seen)[0])


def test_a_sampler_that_does_not_show_its_steps(flow):
    import comfy.samplers

    def silent(model, x, sigmas, extra_args=None, callback=None, disable=None):
        for σ, lower in zip(sigmas[:-1], sigmas[1:]):
            x = x + (x - model(x, σ * x.new_ones([len(x)]), **extra_args)) / σ * (lower - σ)
        return x

    model, _ = flow.searched(flow.search(), Pair().verifier, vae=Window())
    inputs = flow.custom_inputs(model=model) | {"sampler": comfy.samplers.KSAMPLER(silent)}
    with pytest.raises(ValueError, match="sampler silent does not show its steps"):
        flow.call("SamplerCustomAdvanced", **inputs)
