"""Measure Shapes World: `python demo/evaluate.py`, from the repository's root.

200 held-out prompts, 16 samples each: how often a plain sample is right, how far the verifier agrees with
the oracle, and how often the verifier's best of 16 is right. Writes `demo/weights/FIGURES.md`.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from scipy.stats import rankdata, spearmanr

_spec = importlib.util.spec_from_file_location("standalone", Path(__file__).parents[1] / "standalone.py")
_standalone = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_standalone)
_standalone.load()

from noise_search.demo import oracle, scenes  # noqa: E402
from noise_search.demo.world import CFG, LATENT, STEPS, WEIGHTS, load_world  # noqa: E402


def samples(world, prompts, each, steps, cfg):
    """Latents [P,each,3,32,32]: `each` samples of every prompt."""
    noise = torch.randn(len(prompts), each, *LATENT, generator=torch.Generator().manual_seed(0))
    conds = world.encode(prompts)[:, None]
    return torch.stack([world.sample(*row, steps, cfg) for row in zip(noise, conds, strict=True)])


def shares(latents, prompts):
    """[P,each]: the share of the prompt's facts that hold in each sample."""
    images = ((latents + 1) / 2).clamp(0, 1).movedim(2, -1)
    return np.array([oracle.score_images(row, p).tolist() for row, p in zip(images, prompts, strict=True)])


def cosines(world, latents, prompts):
    """[P,each]: the verifier's cosine of image and prompt, images at their full 256×256."""
    clip, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{WEIGHTS / 'verifier'}")
    said = clip.eval().encode_text(open_clip.get_tokenizer(f"local-dir:{WEIGHTS / 'verifier'}")(
        [prompt.text() for prompt in prompts]), normalize=True)
    scores = []
    for row, text in zip(latents, said, strict=True):
        images = (world.decode(row) * 255).round().byte().numpy()
        ready = torch.stack([preprocess(Image.fromarray(image)) for image in images])
        seen = clip.encode_image(ready, normalize=True)
        scores.append((seen @ text).tolist())
    return np.array(scores)


def auc(scores, right):
    """The chance that a right one scores above a wrong one; nan where there is only one kind."""
    n, m = right.sum(), (~right).sum()
    return (rankdata(scores)[right].sum() - n * (n + 1) / 2) / (n * m) if n and m else np.nan


def figures(steps, cfg, count=200, each=16):
    """The table of figures, in Markdown."""
    world, prompts = load_world(), scenes.held_out_prompts(count)
    latents = samples(world, prompts, each, steps, cfg)
    share = shares(latents, prompts)
    right = share == 1
    score = cosines(world, latents, prompts)
    mixed = [i for i in range(count) if 0 < right[i].sum() < each]
    varied = [i for i in range(count) if share[i].std() > 0]
    best = right[np.arange(count), score.argmax(1)]
    rows = {
        "one plain sample: all facts hold": f"{right[:, 0].mean():.1%}",
        f"all {count * each} samples: all facts hold": f"{right.mean():.1%}",
        "share of facts that hold in a sample": f"{share.mean():.1%}",
        f"verifier's best of {each}: all facts hold": f"{best.mean():.1%}",
        f"oracle's best of {each}: all facts hold": f"{right.any(1).mean():.1%}",
        "AUC of the verifier for “all facts hold”, all samples": f"{auc(score.ravel(), right.ravel()):.3f}",
        "the same, samples of one prompt": f"{np.mean([auc(score[i], right[i]) for i in mixed]):.3f}",
        "rank correlation of verifier and share of facts, samples of one prompt":
            f"{np.mean([spearmanr(score[i], share[i]).statistic for i in varied]):.3f}",
    }
    head = f"{count} held-out prompts, {each} samples each, euler, {steps} “simple” steps, cfg {cfg:g}.\n\n"
    return head + "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--cfg", type=float, nargs="+", default=[CFG, 1.0])
    options = parser.parse_args()
    torch.set_num_threads(2)
    with torch.inference_mode():
        text = "\n".join(figures(options.steps, cfg) for cfg in options.cfg)
    print(text)
    title = "# Figures of Shapes World\n\nPrinted by `python demo/evaluate.py`.\n\n"
    (WEIGHTS / "FIGURES.md").write_text(title + text, encoding="utf-8")
