"""A small image classifier of Shapes World's objects, trained in a minute: for searches by class probability."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ..demo.scenes import COLOURS, SHAPES, Prompt, render, scenes_of, training_prompts

SIZE = 64
LABELS = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
STEPS, ROWS = 1200, 64


def kind_of(prompt: Prompt) -> str:
    """The label of the first thing that the prompt names."""
    return f"{prompt.groups[0].colour} {prompt.groups[0].shape}"


def classifier(scratch: Path, steps: int = STEPS, say=print) -> Path:
    """Its folder, in transformers' layout; trained where it is not there yet.

    It learns as image classifiers do: one label a picture, though the picture shows several things. So it gives
    each of k kinds that are there about 1/k, and more to one that is there alone.
    """
    from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

    folder = scratch / f"classifier-{steps}"
    if (folder / "model.safetensors").exists():
        return folder
    torch.manual_seed(0)
    sizes = {"embedding_size": 32, "hidden_sizes": [48, 96], "depths": [1, 1], "layer_type": "basic"}
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
    model, rng = ResNetForImageClassification(ResNetConfig(**sizes, **names)).train(), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    began = time.monotonic()
    for step in range(steps):
        pixels, labels = lesson(rng)
        loss = functional.cross_entropy(model(pixels).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 300 == 0:
            say(f"classifier {step + 1}/{steps}: loss {loss.item():.2f}, {time.monotonic() - began:.0f} s")
    model.eval().save_pretrained(folder)
    shape = {"size": {"height": SIZE, "width": SIZE}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    ViTImageProcessor(**shape).save_pretrained(folder)
    return folder


def lesson(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(pixels [ROWS, 3, SIZE, SIZE] in -1…1, labels [ROWS]): scenes, and the kind of one thing in each."""
    scenes = scenes_of(training_prompts(ROWS, rng), rng)
    things = [scene[int(rng.integers(len(scene)))] for scene in scenes]
    labels = torch.tensor([LABELS.index(f"{thing.colour} {thing.shape}") for thing in things])
    return render(scenes, SIZE).movedim(-1, 1) * 2 - 1, labels
