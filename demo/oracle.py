"""The exact oracle of Shapes World: reads an image back and says which facts of a prompt hold."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from .scenes import BACKGROUND, COLOURS, COUNTS, PHRASES, RADII, RELATIONS, SHAPES, SIZE, Group, coverage

PATCH = 15  # pixels on a side of the window in which one object is compared with the templates
_INK = 0.35  # share of an object's colour from which a pixel belongs to it
_SPECK = 5.0  # pixels of ink below which a component is dirt, not an object
_MISFIT = 0.25  # relative difference to the best template from which an object has no known shape
_SIDE = 1.0  # pixels between centres from which one object is left of (above …) another


@dataclass(frozen=True)
class Seen:
    """One object found in an image: its centre in pixels of the 32×32 grid; `shape` None: no known shape."""

    x: float
    y: float
    size: str
    colour: str
    shape: str | None


def read(image):
    """The objects (list of Seen) in an image [H,W,3] in 0–1, H = W a multiple of 32."""
    colour, ink = _ink(_small(image))
    found = []
    for index, name in enumerate(COLOURS):
        mine = colour == index
        labels, count = ndimage.label(mine & (ink > _INK), structure=np.ones((3, 3)))
        for label in range(1, count + 1):
            amount = ink * (mine & ndimage.binary_dilation(labels == label, structure=np.ones((3, 3))))
            if amount.sum() >= _SPECK:
                found.append(_recognise(amount, name))
    return found


def _small(image):
    """[32,32,3] float64: the image at the world's own size, by area average."""
    image = np.asarray(image, dtype=np.float64)
    factor = image.shape[0] // SIZE
    return image.reshape(SIZE, factor, SIZE, factor, 3).mean(axis=(1, 3))


def _ink(image):
    """For every pixel the palette colour whose mix with the background is nearest, and its share in 0–1."""
    directions = np.array(list(COLOURS.values())) - BACKGROUND
    offset = image - BACKGROUND
    share = np.clip(offset @ directions.T / (directions**2).sum(1), 0, 1)
    misfit = ((offset[..., None, :] - share[..., None] * directions) ** 2).sum(-1)
    best = misfit.argmin(-1)
    return best, np.take_along_axis(share, best[..., None], -1)[..., 0]


def _recognise(amount, colour):
    """The template that is nearest to an object's ink [32,32]."""
    y, x = (float(c) for c in ndimage.center_of_mass(amount))
    row, column = round(y), round(x)
    half = PATCH // 2
    patch = np.pad(amount, half)[row : row + PATCH, column : column + PATCH]
    templates, names = _templates()
    misfit = np.abs(templates - patch.ravel()).sum(1) / (templates.sum(1) + amount.sum())
    best = int(misfit.argmin())
    shape, size = names[best]
    return Seen(x + 0.5, y + 0.5, size, colour, shape if misfit[best] < _MISFIT else None)


@functools.cache
def _templates(steps=5):
    """All shapes and sizes as flat patches [T,225], centred within half a pixel of the middle; the names."""
    patches, names = [], []
    middle = PATCH / 2
    shifts = np.linspace(-0.5, 0.5, steps)
    for shape in SHAPES:
        for size, radius in RADII.items():
            here = torch.tensor([middle])
            drawn = coverage(shape, here, here, torch.tensor([radius]), PATCH)[0].numpy()
            lean_y, lean_x = (np.array(ndimage.center_of_mass(drawn)) + 0.5) - middle
            for dy in shifts:
                for dx in shifts:
                    x, y = torch.tensor([middle + dx - lean_x]), torch.tensor([middle + dy - lean_y])
                    patches.append(coverage(shape, x, y, torch.tensor([radius]), PATCH).flatten().numpy())
                    names.append((shape, size))
    return np.array(patches, dtype=np.float64), names


# --- facts ------------------------------------------------------------------------------------------------


def facts(prompt):
    """Every fact of a Prompt in words, in the order of `check`."""
    return [text for text, _ in _facts(prompt)]


def check(image, prompt):
    """[(fact, holds)] for an image [H,W,3] in 0–1 (32×32 or a multiple) and a Prompt."""
    return judge(read(image), prompt)


def judge(seen, prompt):
    """[(fact, holds)] for the objects of a scene: a list of Seen or of scenes.Thing."""
    return [(text, bool(holds(seen))) for text, holds in _facts(prompt)]


def score_images(images, prompt):
    """[B] float: for each image [B,H,W,3] in 0–1 the share of the Prompt's facts that hold."""
    return torch.tensor([float(np.mean([ok for _, ok in check(image, prompt)])) for image in images.cpu()])


def score_images_strict(images, prompt):
    """[B] float: 1 for each image [B,H,W,3] in which every fact of the Prompt holds, else 0."""
    return (score_images(images, prompt) == 1).float()


def _facts(prompt):
    """(text, function of the objects seen) for each fact."""
    found = []
    for group in prompt.groups:
        kind = Group(1, None, group.colour, group.shape)
        found.append((f"there is {kind.text()}", functools.partial(_there_is, group)))
        if group.size:
            verb = "is" if group.count == 1 else "are"
            text = f"the {kind.noun(group.count > 1)} {verb} {group.size}"
            found.append((text, functools.partial(_sized, group)))
        same = sum(g.count for g in prompt.groups if (g.colour, g.shape) == (group.colour, group.shape))
        text = f"exactly {COUNTS[same - 1]} {kind.noun(same > 1)}"
        found.append((text, functools.partial(_counted, group, same)))
    for subject, word, obj in prompt.relations:
        a, b = prompt.groups[subject], prompt.groups[obj]
        found.append((f"{a.text()} {PHRASES[word]} {b.text()}", functools.partial(_beside, a, word, b)))
    total = sum(group.count for group in prompt.groups)
    if total:
        text = f"{COUNTS[total - 1]} object{'s' if total > 1 else ''} in all"
        found.append((text, lambda seen: len(seen) == total))
    return found


def _like(group, seen):
    """The objects with the group's shape and, if it says one, colour."""
    return [o for o in seen if o.shape == group.shape and group.colour in (None, o.colour)]


def _there_is(group, seen):
    return len(_like(group, seen)) > 0


def _sized(group, seen):
    return sum(o.size == group.size for o in _like(group, seen)) >= group.count


def _counted(group, count, seen):
    return len(_like(group, seen)) == count


def _beside(a, word, b, seen):
    """Every object of group a is on the right side of every object of group b, and both exist."""
    axis, sign = RELATIONS[word]
    subjects, objects = ([(o.x, o.y)[axis] for o in _of_size(group, seen)] for group in (a, b))
    return subjects and objects and all(sign * (s - o) >= _SIDE for s in subjects for o in objects)


def _of_size(group, seen):
    """The objects meant by a group: those of its size, or, if it has none of that size, all of its kind."""
    like = _like(group, seen)
    return [o for o in like if o.size == group.size] or like
