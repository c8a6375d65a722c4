"""Train Shapes World from nothing: `python demo/train.py`, from the repository's root.

Fixed seeds and counted iterations; under 40 minutes on two idle cores. Checkpoints go to --scratch, so that
a run that was stopped goes on where it was; the weights go to `demo/weights/` as fp16 safetensors.
"""

import argparse
import importlib.util
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file

_spec = importlib.util.spec_from_file_location("standalone", Path(__file__).parents[1] / "standalone.py")
_standalone = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_standalone)
_standalone.load()

from noise_search.demo import model, pixels, scenes, spoil, world  # noqa: E402

FLOW_STEPS = 2500
VERIFIER_STEPS = 2500
VERIFIER = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {"image_size": 128, "layers": [1, 1, 2, 1], "width": 12},
        "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 48, "heads": 4, "layers": 3,
                     "no_causal_mask": True},
    },
    "preprocess_cfg": {"size": [128, 128], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"},
}
SAVE_EVERY = 250


def scene_stream(seed, batch, start=0, chunk=4096):
    """Endless batches of training scenes, (prompts, images [B,32,32,3]), the same for the same seed."""
    block, skip = divmod(start * batch, chunk)
    while True:
        rng = np.random.default_rng((seed, block))
        prompts = scenes.training_prompts(chunk, rng)
        drawn = scenes.scenes_of(prompts, rng)
        for i in range(skip, chunk, batch):
            yield prompts[i : i + batch], scenes.render(drawn[i : i + batch])
        block, skip = block + 1, 0


def train_flow(steps, scratch, batch=64, rate=1e-3, ema=0.998):
    """Text encoder and U-Net by flow matching; returns their averaged weights."""
    torch.manual_seed(1)
    nets = torch.nn.ModuleDict({"text": model.TextEncoder(), "unet": model.UNet()})
    nets.to(memory_format=torch.channels_last)
    mean = {name: tensor.clone() for name, tensor in nets.state_dict().items()}
    optimizer = torch.optim.AdamW(nets.parameters(), rate, betas=(0.9, 0.99), weight_decay=0.01)
    done = resume(scratch / "flow.pt", nets, optimizer, mean)
    empty, began = scenes.Prompt(()), time.time()
    for step, (prompts, images) in zip(range(done, steps), scene_stream(1, batch, done), strict=False):
        generator = torch.Generator().manual_seed(step)
        prompts = [empty if drop else p for p, drop in
                   zip(prompts, torch.rand(batch, generator=generator) < 0.1, strict=True)]
        x0 = images.movedim(-1, 1) * 2 - 1
        noise = torch.randn(x0.shape, generator=generator)
        sigma = torch.sigmoid(0.3 + 1.2 * torch.randn(batch, generator=generator))
        x = torch.lerp(x0, noise, sigma[:, None, None, None]).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            velocity = nets["unet"](x, sigma, nets["text"](model.tokenize(prompts)))
        loss = (velocity.float() - (noise - x0)).square().mean()
        update(nets, optimizer, loss, rate * min(1.0, (step + 1) / 200, (steps - step) / 800))
        for name, tensor in nets.state_dict().items():
            mean[name].lerp_(tensor, 1 - min(ema, (step + 1) / (step + 10)))
        if (step + 1) % SAVE_EVERY == 0:
            print(f"flow {step + 1}/{steps}  loss {loss.item():.4f}  {time.time() - began:.0f} s", flush=True)
            save(scratch / "flow.pt", nets, optimizer, mean, step + 1)
            torch.save(mean, scratch / f"flow-{step + 1}.pt")
    return mean


def contrast_stream(seed, batch, start=0, chunk=1024, negatives=4):
    """Endless (images [B,3,32,32] in −1…1, texts, for each image its spoilt texts).

    The second half of a batch shows spoilt prompts of the first half: each image has its hardest rival there.
    """
    block, skip = divmod(start * batch, chunk)
    while True:
        rng = np.random.default_rng((seed, block))
        prompts = scenes.training_prompts(chunk // 2, rng)
        drawn = scenes.scenes_of(prompts, rng)
        prompts += [spoil.spoil(p, scene, rng) for p, scene in zip(prompts, drawn, strict=True)]
        drawn += scenes.scenes_of(prompts[chunk // 2 :], rng)
        wrong = [[spoil.spoil(p, scene, rng).text() for _ in range(negatives)]
                 for p, scene in zip(prompts, drawn, strict=True)]
        for i in range(skip // 2, chunk // 2, batch // 2):
            rows = [*range(i, i + batch // 2), *range(chunk // 2 + i, chunk // 2 + i + batch // 2)]
            images = scenes.render([drawn[r] for r in rows]).movedim(-1, 1) * 2 - 1
            yield images, [prompts[r].text() for r in rows], [text for r in rows for text in wrong[r]]
        block, skip = block + 1, 0


def train_verifier(steps, scratch, batch=64, rate=1e-3):
    """A small CLIP on scenes with prompts that are right, or wrong in one detail."""
    torch.manual_seed(2)
    clip = open_clip.model.CLIP(**VERIFIER["model_cfg"]).to(memory_format=torch.channels_last)
    tokenizer = open_clip.SimpleTokenizer(context_length=VERIFIER["model_cfg"]["text_cfg"]["context_length"])
    optimizer = torch.optim.AdamW(clip.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01)
    done, began = resume(scratch / "verifier.pt", clip, optimizer, {}), time.time()
    batches = contrast_stream(2, batch, done)
    for step, (latents, texts, wrong) in zip(range(done, steps), batches, strict=False):
        generator = torch.Generator().manual_seed(step)
        grain = 0.1 * torch.rand(batch, 1, 1, 1, generator=generator)
        latents = latents + grain * torch.randn(latents.shape, generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            seen = clip.encode_image(pixels.enlarge(latents, 4), normalize=True).float()
            said = clip.encode_text(tokenizer(texts + wrong), normalize=True).float()
        loss, right = contrast(seen, said, texts, clip.logit_scale.exp())
        update(clip, optimizer, loss, rate * min((step + 1) / 200, 1.02 - step / steps))
        if (step + 1) % SAVE_EVERY == 0:
            print(f"verifier {step + 1}/{steps}  loss {loss.item():.3f}  "
                  f"right among its rivals {right:.2f}  {time.time() - began:.0f} s", flush=True)
            save(scratch / "verifier.pt", clip, optimizer, {}, step + 1)
    return clip


def contrast(seen, said, texts, scale):
    """CLIP's loss with hard negatives, and the share of images whose own text beats its spoilt ones.

    seen [B,D]; said [B + B·n,D], the B right texts first.
    """
    batch = len(seen)
    same = torch.tensor([[a == b for b in texts] for a in texts]).fill_diagonal_(False)
    pairs = (scale * seen @ said[:batch].T).masked_fill(same, -torch.inf)
    rivals = scale * torch.einsum("bd,bnd->bn", seen, said[batch:].unflatten(0, (batch, -1)))
    target = torch.arange(batch)
    entropy = torch.nn.functional.cross_entropy
    loss = entropy(torch.cat([pairs, rivals], dim=1), target) + entropy(pairs.T, target)
    return loss, (pairs.diagonal() > rivals.amax(1)).float().mean().item()


def update(nets, optimizer, loss, rate):
    """One optimiser step at the given learning rate, gradients clipped to norm 1."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(nets.parameters(), 1.0)
    optimizer.step()


def save(path, nets, optimizer, mean, step):
    """Everything that `resume` needs; written beside and moved, so that a stop never leaves half a file."""
    state = {"nets": nets.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean, "step": step}
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def resume(path, nets, optimizer, mean):
    """Load a checkpoint if there is one; returns the number of steps done."""
    if not path.exists():
        return 0
    state = torch.load(path)
    nets.load_state_dict(state["nets"])
    optimizer.load_state_dict(state["optimizer"])
    mean.update(state["mean"])
    return state["step"]


def write_flow(mean, folder):
    """The averaged networks as fp16 safetensors."""
    state = {name: tensor.half().contiguous() for name, tensor in mean.items()}
    save_file(state, folder / "world.safetensors")


def write_verifier(clip, folder):
    """The verifier as open_clip keeps a model: its config and fp16 weights. Words never trained are zero."""
    folder.mkdir(exist_ok=True)
    state = {name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
             for name, tensor in clip.state_dict().items()}
    said = [prompt.text() for prompt in scenes.training_prompts(4096, np.random.default_rng(0))]
    tokens = open_clip.SimpleTokenizer()(said).unique()
    known = torch.zeros(len(state["token_embedding.weight"]), 1).index_fill_(0, tokens, 1.0)
    state["token_embedding.weight"] *= known.half()
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(VERIFIER, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir(), "shapes"))
    parser.add_argument("--part", choices=("flow", "verifier", "all"), default="all")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    if options.part in ("flow", "all"):
        write_flow(train_flow(FLOW_STEPS, options.scratch), world.WEIGHTS)
    if options.part in ("verifier", "all"):
        write_verifier(train_verifier(VERIFIER_STEPS, options.scratch), world.WEIGHTS / "verifier")
