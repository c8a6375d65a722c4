"""Shapes World behind ComfyUI's own nodes."""

import pytest
import torch

from noise_search.demo.world import load_world

PROMPT = "a red circle left of a blue square"


class Shapes:
    """The world as its three ComfyUI objects, with short names for the stock nodes that the tests run."""

    def __init__(self, host):
        from noise_search.nodes.host.world import load

        self.host = host
        with torch.inference_mode():
            self.model, self.clip, self.vae = load()

    def encode(self, text):
        return self.host.call("CLIPTextEncode", clip=self.clip, text=text)[0]

    def empty(self, batch=1):
        return self.host.call("EmptyLatentImage", width=256, height=256, batch_size=batch)[0]

    def sample(self, model=None, positive=None, latent=None, **changes):
        """Stock KSampler; four steps, seed 7."""
        settings = {"steps": 4, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0,
                    "seed": 7, **changes}
        return self.host.call("KSampler", model=model or self.model, positive=positive or self.encode(PROMPT),
                              negative=self.encode(""), latent_image=latent or self.empty(), **settings)[0]


@pytest.fixture(scope="module")
def shapes(stock_comfy):
    return Shapes(stock_comfy)


@pytest.fixture(scope="module")
def world():
    return load_world()


def noise(batch, seed=7):
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_the_node_hands_out_model_clip_and_vae(shapes):
    from noise_search.nodes.demo import ShapesWorld

    model, clip, vae = ShapesWorld.execute().result
    assert ShapesWorld.GET_SCHEMA().node_id == "NS_ShapesWorld"
    assert shapes.sample(model)["samples"].shape == (1, 3, 32, 32)
    assert [type(part).__name__ for part in (clip, vae)] == ["CLIP", "ShapesVAE"]


@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_ksampler_gives_what_the_world_gives_without_comfyui(shapes, world, cfg):
    alone = world.sample(noise(2), world.encode([PROMPT]), steps=4, cfg=cfg)
    assert torch.allclose(shapes.sample(latent=shapes.empty(2), cfg=cfg)["samples"], alone, atol=1e-4)


def test_the_schedule_is_comfyuis(shapes, world):
    (sigmas,) = shapes.host.call("BasicScheduler", model=shapes.model, scheduler="simple", steps=7, denoise=1.0)
    assert torch.equal(sigmas, world.schedule(7))


@pytest.mark.parametrize("guider", ["BasicGuider", "CFGGuider"])
def test_custom_sampling_gives_the_same_image(shapes, guider):
    call, cfg = shapes.host.call, 1.0 if guider == "BasicGuider" else 2.0
    if guider == "BasicGuider":
        (guide,) = call(guider, model=shapes.model, conditioning=shapes.encode(PROMPT))
    else:
        (guide,) = call(guider, model=shapes.model, positive=shapes.encode(PROMPT),
                        negative=shapes.encode(""), cfg=cfg)
    (sampler,) = call("KSamplerSelect", sampler_name="euler")
    (sigmas,) = call("BasicScheduler", model=shapes.model, scheduler="simple", steps=4, denoise=1.0)
    (start,) = call("RandomNoise", noise_seed=7)
    output, _ = call("SamplerCustomAdvanced", noise=start, guider=guide, sampler=sampler, sigmas=sigmas,
                     latent_image=shapes.empty())
    assert torch.allclose(output["samples"], shapes.sample(cfg=cfg)["samples"], atol=1e-5)


def test_two_prompts_in_a_batch(shapes):
    texts = [shapes.encode(text) for text in (PROMPT, "two green rings")]
    both = [[torch.cat([text[0][0] for text in texts]), {}]]
    batch = shapes.sample(positive=both, latent=shapes.empty(2))["samples"]
    second = shapes.sample(positive=texts[1], latent=shapes.empty(2))["samples"]
    assert torch.allclose(batch[1], second[1], atol=1e-4)
    assert not torch.allclose(batch[0], second[0], atol=1e-1)


def test_images_go_through_the_vae_and_back(shapes):
    latent = shapes.sample(steps=12)
    (image,) = shapes.host.call("VAEDecode", vae=shapes.vae, samples=latent)
    assert image.shape == (1, 256, 256, 3)
    assert image.min() >= 0
    assert image.max() <= 1
    (back,) = shapes.host.call("VAEEncode", vae=shapes.vae, pixels=image)
    assert (back["samples"] - latent["samples"].clamp(-1, 1)).abs().mean() < 0.03


def test_inpainting_keeps_what_is_outside_the_mask(shapes):
    latent = shapes.sample()
    mask = torch.zeros(1, 32, 32)
    mask[:, :, 16:] = 1
    (masked,) = shapes.host.call("SetLatentNoiseMask", samples=latent, mask=mask)
    painted = shapes.sample(latent=masked, seed=8)["samples"]
    assert torch.allclose(painted[..., :16], latent["samples"][..., :16], atol=1e-5)
    assert not torch.allclose(painted[..., 17:], latent["samples"][..., 17:], atol=0.1)
    (image,) = shapes.host.call("VAEDecode", vae=shapes.vae, samples=latent)
    (encoded,) = shapes.host.call("VAEEncodeForInpaint", pixels=image, vae=shapes.vae,
                                  mask=torch.ones(1, 256, 256), grow_mask_by=6)
    assert shapes.sample(latent=encoded)["samples"].isfinite().all()


@pytest.mark.parametrize("node", ["ModelSamplingSD3", "ModelSamplingAuraFlow"])
def test_model_sampling_nodes_change_the_schedule_only(shapes, node):
    same, shifted = (shapes.host.call(node, model=shapes.model, shift=shift)[0] for shift in (1.0, 3.0))
    plain = shapes.sample()["samples"]
    assert torch.allclose(shapes.sample(same)["samples"], plain, atol=1e-5)
    assert not torch.allclose(shapes.sample(shifted)["samples"], plain, atol=1e-2)


def test_a_lora_changes_the_image_and_leaves_the_model(shapes):
    from comfy.sd import load_lora_for_models

    key, width = "diffusion_model.enter", 4
    generator = torch.Generator().manual_seed(0)
    lora = {f"{key}.lora_down.weight": torch.randn(width, 3, 3, 3, generator=generator),
            f"{key}.lora_up.weight": torch.randn(32, width, 1, 1, generator=generator)}
    plain = shapes.sample()["samples"]
    patched, _ = load_lora_for_models(shapes.model, None, lora, 1.0, 0.0)
    assert not torch.allclose(shapes.sample(patched)["samples"], plain, atol=1e-2)
    assert torch.equal(shapes.sample()["samples"], plain)


def test_previews_show_the_picture(shapes):
    from latent_preview import Latent2RGBPreviewer

    shown = shapes.model.get_model_object("latent_format")
    x0 = torch.zeros(1, 3, 32, 32)
    x0[:, 0] = 1
    image = Latent2RGBPreviewer(shown.latent_rgb_factors).decode_latent_to_preview(x0)
    assert image.getpixel((3, 3)) == (255, 127, 127)


def test_an_unknown_word_is_said_at_the_text_node(shapes):
    with pytest.raises(ValueError, match='does not know the word "pink"'):
        shapes.encode("a pink elephant")


def test_a_size_that_does_not_fit_is_said(shapes):
    with pytest.raises(ValueError, match="multiples of 32"):
        shapes.sample(latent={"samples": torch.zeros(1, 4, 33, 32)})
