"""The fixtures themselves, on stock nodes only."""

import pytest
import torch
from PIL import ImageStat

from noise_search.harness.client import Rejected
from noise_search.harness.graph import Graph

from . import tiny_models


def solid(graph, width=32):
    return graph.add("EmptyImage", width=width, height=32, batch_size=1, color=0x336699)


def test_nodes_run_as_functions(stock_comfy):
    (image,) = stock_comfy.call("EmptyImage", width=40, height=32)
    assert image.shape == (1, 32, 40, 3)


def test_graphs_run_in_process(stock_comfy):
    graph = Graph()
    image = stock_comfy.run(graph, graph.add("ImageInvert", image=solid(graph)))
    assert image.shape == (1, 32, 32, 3)


def test_graphs_run_in_the_server(client):
    graph = Graph()
    shown = graph.add("PreviewImage", images=solid(graph))
    run = client.run(graph)
    assert run.status == "success" and run.executed == ["1", "2"]
    assert run.images(shown)[0].getpixel((3, 3)) == (0x33, 0x66, 0x99)


def sample(comfy, tiny, seed, model=None, **settings):
    settings = {"steps": 3, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", **settings}
    (latent,) = comfy.call(
        "KSampler", model=model or tiny.model, seed=seed, positive=tiny.encode("a cat"),
        negative=tiny.encode(""), latent_image=tiny.latent(), denoise=1.0, **settings,
    )  # fmt: skip
    return latent


def test_tiny_models_sample_in_process(stock_comfy, tiny):
    one, again, other = (sample(stock_comfy, tiny, seed)["samples"] for seed in (1, 1, 2))
    assert one.isfinite().all() and one.std() > 0.1
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_tiny_vaes_make_pictures(stock_comfy, tiny):
    (image,) = stock_comfy.call("VAEDecode", vae=tiny.vae, samples=sample(stock_comfy, tiny, 1))
    assert image.shape == (1, 64, 64, 3) and image.std() > 0.02
    assert ((image > 0) & (image < 1)).float().mean() > 0.5


def test_tiny_loras_change_the_picture(stock_comfy, tiny):
    (model,) = stock_comfy.call(
        "LoraLoaderModelOnly", model=tiny.model, lora_name=tiny.lora, strength_model=1.0
    )
    plain, patched = sample(stock_comfy, tiny, 1), sample(stock_comfy, tiny, 1, model)
    assert not torch.equal(plain["samples"], patched["samples"])


def test_the_tiny_video_model_samples(stock_comfy, wan):
    latent = sample(stock_comfy, wan, 1)["samples"]
    assert latent.shape == (1, 16, 3, 8, 8) and latent.isfinite().all() and latent.std() > 0.1


def text_to_image(graph, model, clip, vae, **settings):
    """A stock text-to-image graph; its PreviewImage."""
    positive = graph.add("CLIPTextEncode", clip=clip, text="a cat")
    negative = graph.add("CLIPTextEncode", clip=clip, text="")
    latent = graph.add("EmptySD3LatentImage", width=64, height=64, batch_size=1)
    sampled = graph.add(
        "KSampler", model=model, positive=positive, negative=negative, latent_image=latent, seed=1, steps=2,
        cfg=settings.get("cfg", 2.0), sampler_name="euler", scheduler="simple", denoise=1.0,
    )  # fmt: skip
    return graph.add("PreviewImage", images=graph.add("VAEDecode", samples=sampled, vae=vae))


def test_sd15_stand_in_runs_in_the_server(client, template_models):
    graph = Graph()
    loaded = graph.add("CheckpointLoaderSimple", ckpt_name=tiny_models.SD15_WITH_CLIP)
    shown = text_to_image(graph, *loaded.out(3))
    assert varied(client.run(graph).images(shown)[0])


def test_sd3_runs_in_the_server(client, template_models):
    graph = Graph()
    model, _, vae = graph.add("CheckpointLoaderSimple", ckpt_name="tiny_sd3.safetensors").out(3)
    clip = graph.add("CLIPLoader", clip_name=tiny_models.CLIP_L, type="sd3", device="default")
    shown = text_to_image(graph, model, clip, vae)
    assert varied(client.run(graph).images(shown)[0])


def test_flux_stand_in_runs_in_the_server(client, template_models):
    graph = Graph()
    model = graph.add("UNETLoader", unet_name=tiny_models.FLUX, weight_dtype="default")
    clip = graph.add("DualCLIPLoader", clip_name1=tiny_models.CLIP_L, clip_name2=tiny_models.T5, type="flux")
    vae = graph.add("VAELoader", vae_name=tiny_models.FLUX_VAE)
    shown = text_to_image(graph, model, clip, vae, cfg=1.0)
    run = client.run(graph)
    assert varied(run.images(shown)[0])
    assert "KSampler" in {graph[node]["class_type"] for node in run.executed} and run.of("progress")


def varied(picture):
    return picture.size == (64, 64) and min(ImageStat.Stat(picture).stddev) > 5


def test_errors_name_their_node(client):
    graph = Graph()
    image = graph.add("LoadImage", image="none.png")
    graph.add("PreviewImage", images=image)
    with pytest.raises(Rejected, match="none.png") as refused:
        client.run(graph)
    assert image.id in refused.value.errors


def test_the_pack_loads_in_the_server(server, client):
    assert "IMPORT FAILED" not in server.read_log(), server.read_log()
    assert "NS_SearchWithKSampler" in client.object_info()


def test_the_pack_loads_in_process(comfy):
    assert {"NS_SearchWithKSampler", "NS_RandomSearch", "NS_SearchReport", "KSampler"} <= comfy.nodes.keys()
