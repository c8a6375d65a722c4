"""The world without ComfyUI, with the weights in the repository."""

import pytest
import torch

from noise_search.demo import scenes
from noise_search.demo.world import LATENT, WEIGHTS, load_world

PROMPT = "a red circle left of a blue square"


@pytest.fixture(scope="module")
def world():
    return load_world()


def noise(count, seed=0):
    return torch.randn(count, *LATENT, generator=torch.Generator().manual_seed(seed))


def test_weights_stay_small():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*")) <= 12e6


@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_sampling_is_deterministic_and_rows_are_independent(world, cfg):
    cond = world.encode([PROMPT, "two green rings"])
    both = world.sample(noise(2), cond, steps=3, cfg=cfg)
    assert torch.equal(both, world.sample(noise(2), cond, steps=3, cfg=cfg))
    alone = world.sample(noise(2)[1:], cond[1:], steps=3, cfg=cfg)
    assert torch.allclose(both[1:], alone, atol=1e-4)


def test_one_prompt_serves_a_batch(world):
    cond = world.encode([PROMPT])
    apart = world.sample(noise(2), cond.repeat(2, 1, 1), steps=2)
    assert torch.equal(world.sample(noise(2), cond, steps=2), apart)


def test_the_prompt_decides_what_is_drawn(world):
    images = world.decode(world.sample(noise(16), world.encode(["a big red circle"])))
    red, _, blue = images[images.amax(-1) > 0.5].mean(0)
    assert red > 2 * blue


def test_images_have_a_size_to_look_at_and_go_back(world):
    x0 = scenes.render([[scenes.Thing(10, 10, "big", "red", "ring")]]).movedim(-1, 1) * 2 - 1
    images = world.decode(x0)
    assert images.shape == (1, 256, 256, 3)
    assert images.min() >= 0
    assert images.max() <= 1
    assert (world.encode_image(images) - x0).abs().mean() < 0.01


def test_schedule_falls_from_one_to_zero(world):
    sigmas = world.schedule(7)
    assert sigmas.shape == (8,)
    assert sigmas[0] == 1
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
