"""What does scoring cost? A batch against one image at a time, and what a second search loads again.

    found = measure(comfyui, scratch)

CLIPScore by a CLIP of ViT-B/32's size with random weights: a number costs the same whatever the weights say.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from ..harness import small_clips, small_rewards
from ..harness.client import Client
from ..harness.graph import Graph
from ..harness.server import Server
from ..verifiers import CLIPScore
from ..verifiers.clip_model import to_bytes, to_pil

PROMPT = "a red bicycle leaning against a blue door, a black cat sitting on its saddle, photograph"
BATCH, SIZE = 16, 512
LOADED = "Requested to load VerifierModel"  # what ComfyUI's log says for each
CPU = torch.device("cpu")
WAYS = ("one by one, the text each time", "one by one", "batch")


def measure(comfyui: Path | None, scratch: Path, repeats: int = 5, say=print) -> dict:
    """Seconds for a batch in each way, the least of the repeats, which alternate; and what the server loaded."""
    folder = clip_of_vit_b_32_size(scratch)
    found = {"images": BATCH, "size": SIZE, "repeats": repeats, **batches(folder, repeats, say)}
    return found | (loads(comfyui, scratch / "loads", say) if comfyui else {})


def clip_of_vit_b_32_size(scratch: Path) -> Path:
    """The folder of an open_clip ViT-B-32, its weights seeded and random."""
    import open_clip
    from safetensors.torch import save_file

    folder = scratch / "clip-vit-b-32-size"
    if not (folder / "open_clip_config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        save_file(open_clip.create_model("ViT-B-32").state_dict(), folder / "open_clip_model.safetensors")
        config = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


# --- seconds ----------------------------------------------------------------------------------------------


def batches(folder: Path, repeats: int, say=print) -> dict:
    """Seconds for all images: each way, and the parts that explain them."""
    measure = CLIPScore(folder)
    clip, seeds = measure.clip, iter(range(10**6))

    def images() -> torch.Tensor:
        """New ones each time, so that no vector is known from before."""
        return small_clips.images(SIZE, SIZE, n=BATCH, seed=next(seeds))

    def score(some: torch.Tensor) -> None:
        measure.measure(some, [PROMPT] * len(some), CPU)

    def anew(some: torch.Tensor) -> None:
        clip._texts.clear()
        score(some)

    one_by_one = (
        lambda some: [anew(image[None]) for image in some],
        lambda some: [score(image[None]) for image in some],
    )
    ways: dict[str, Callable[[torch.Tensor], object]] = dict(zip(WAYS, (*one_by_one, score)))
    pixels = clip.parts.pixels(to_pil(to_bytes(images())))
    text = clip.parts.tokens([PROMPT])
    parts: dict[str, Callable[[torch.Tensor], object]] = {
        "preprocessing": lambda some: clip.parts.pixels(to_pil(to_bytes(some))),
        "image encoder, one by one": lambda some: [clip.parts.image(one[None]) for one in pixels],
        "image encoder, batch": lambda some: clip.parts.image(pixels),
        "text encoder, once": lambda some: clip.parts.text(text),
    }
    with torch.no_grad():
        score(images())  # loaded, and run once
        seconds = {name: [] for name in (*ways, *parts)}
        for _ in range(repeats):
            for name, way in (ways | parts).items():
                seconds[name].append(_seconds(way, images()))
    found = {name: min(times) for name, times in seconds.items()}
    for name, best in found.items():
        say(f"{name}: {best:.3f} s (median {median(seconds[name]):.3f})")
    return {"seconds": found, "threads": torch.get_num_threads()}


def _seconds(way: Callable[[torch.Tensor], object], some: torch.Tensor) -> float:
    began = time.perf_counter()
    way(some)
    return time.perf_counter() - began


# --- loads ------------------------------------------------------------------------------------------------


def loads(comfyui: Path, base: Path, say=print) -> dict:
    """How many verifier models a server loads for a first search with three verifiers, and for a second with
    another seed and other settings of the same verifiers."""
    vision = base / "models" / "clip_vision"
    if not vision.exists():
        vision.mkdir(parents=True)
        small_clips.transformers_folder(vision / "clip")
        small_clips.dinov2_classifier_folder(vision / "classifier")
        small_rewards.folder(vision / "ImageReward")
    seed = int(time.time())  # the base may hold the history of an earlier run
    with Server(comfyui, base) as server:
        client, counts = Client(server.url), []
        for more in (0, 1):
            client.run(_three_verifiers(seed + 1000 * more, form=["raw cosine", "2.5 · max(cosine, 0)"][more]))
            counts.append(server.read_log().count(LOADED) - sum(counts))
        client.close()
    say(f"models loaded: {counts[0]} for the first search, {counts[1]} for the second")
    return {"loaded": counts}


def _three_verifiers(seed: int, form: str) -> Graph:
    g = Graph()
    model, clip, vae = g.add("NS_ShapesWorld").out(3)
    text = g.add("CLIPTextEncode", clip=clip, text="a red circle")
    latent = g.add("EmptyLatentImage", width=256, height=256, batch_size=1)
    one = g.add("NS_CLIPScore", model="clip_vision/clip", form=form)
    two = g.add("NS_ClassProbability", model="clip_vision/classifier", target="red fox")
    three = g.add("NS_ImageReward", model="clip_vision/ImageReward")
    verifier = g.add("NS_CombineVerifiers", verifier_1=one, verifier_2=two, verifier_3=three, rule="mean rank")
    search = g.add("NS_ZeroOrderSearch", neighbours=4, budget=g.add("NS_SearchBudget", images=13))
    model = g.add("NS_SearchWithKSampler", model=model, search=search, verifier=verifier, vae=vae, prompt="")
    sampled = g.add(
        "KSampler", model=model, positive=text, negative=text, latent_image=latent, seed=seed,
        steps=4, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=1.0,
    )  # fmt: skip
    g.add("PreviewImage", images=g.add("VAEDecode", samples=sampled, vae=vae))
    return g


REPORT = """\
## What scoring costs

CLIPScore of {images} images of {size} × {size}, by a CLIP of ViT-B/32's size with random weights, on {threads} \
threads; least of {repeats} alternating repeats, new images each time.

| {images} images | seconds | against the batch |
|---|---|---|
{ways}

| of which | seconds |
|---|---|
{parts}
{loaded}
{machine}.
"""
LOADED_REPORT = """
A search with three verifiers (CLIPScore, Class Probability, ImageReward) on a real server loads {} models; a second \
one, with another seed and another setting of the same verifiers, loads {}.
"""


def report(found: dict) -> str:
    seconds = found["seconds"]
    ways = [(name, seconds[name]) for name in WAYS]
    parts = [(name, best) for name, best in seconds.items() if name not in WAYS]
    return REPORT.format(
        **{name: found[name] for name in ("images", "size", "threads", "repeats", "machine")},
        ways="\n".join(f"| {name} | {best:.2f} | {best / seconds[WAYS[-1]]:.1f} |" for name, best in ways),
        parts="\n".join(f"| {name} | {best:.2f} |" for name, best in parts),
        loaded=LOADED_REPORT.format(*found["loaded"]) if "loaded" in found else "",
    )
