"""`python run.py statistics`: the mean and covariance of the features of a folder of images, for Population Oracle."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..verifiers import VerifierError, population_model
from ..verifiers.reference_statistics import of_images, write

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
TOGETHER = 16


def main(options):
    """Writes the .npz and says where; the exit status."""
    if options.folder is None or options.model is None:
        return failed("Say which: python run.py statistics --folder IMAGES --model INCEPTION_FILE_OR_DINOV2_FOLDER")
    for place in (options.folder, options.model):
        if not place.exists():
            return failed(f"{place} is not there.")
    files = sorted(file for file in options.folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    out = options.out or Path(f"{options.folder.resolve().name}.npz")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        statistics = of_images(counted(batches(files), len(files)), population_model(options.model, False), device)
    except (VerifierError, OSError) as error:
        return failed(str(error))
    out = out.with_name(out.name if out.suffix == ".npz" else f"{out.name}.npz")
    out.parent.mkdir(parents=True, exist_ok=True)
    write(statistics, out)
    print(f"{out}: {statistics.kind}, {statistics.count} images. Put it into ComfyUI's models/noise_search.")
    if statistics.count < len(statistics.mean):
        print(f"Fewer images than numbers ({len(statistics.mean)}): distances will depend on which images they were.")
    return 0


def batches(files):
    """[n, H, W, 3] in 0-1: images of one size that follow each other, no more than TOGETHER."""
    held = []
    for file in files:
        with Image.open(file) as picture:
            image = torch.from_numpy(np.array(picture.convert("RGB"))) / 255
        if held and (held[0].shape != image.shape or len(held) == TOGETHER):
            yield torch.stack(held)
            held = []
        held.append(image)
    if held:
        yield torch.stack(held)


def counted(batches, total):
    done = 0
    for batch in batches:
        done += len(batch)
        print(f"\r{done} of {total} images", end="" if done < total else "\n", file=sys.stderr, flush=True)
        yield batch


def failed(why):
    print(why, file=sys.stderr)
    return 1
