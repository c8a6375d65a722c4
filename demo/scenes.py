"""Scenes of Shapes World: the words it knows, prompts, and exact renders of what a prompt says."""

import functools
import re
from dataclasses import dataclass

import numpy as np
import torch

SIZE = 32  # pixels on a side; also the latent's
SHAPES = ("circle", "square", "triangle", "cross", "diamond", "ring")
COLOURS = {
    "red": (0.92, 0.16, 0.18),
    "green": (0.16, 0.72, 0.24),
    "blue": (0.20, 0.38, 1.00),
    "yellow": (1.00, 0.85, 0.12),
    "purple": (0.68, 0.24, 0.92),
    "cyan": (0.20, 0.88, 0.96),
    "white": (1.00, 1.00, 1.00),
}
BACKGROUND = (0.12, 0.12, 0.14)
RADII = {"small": 3.0, "big": 5.0}  # half the width of an object's box, in pixels
COUNTS = ("one", "two", "three", "four")
MAX_OBJECTS = 4
# For each relation the axis (0 is x, 1 is y) and the sign of subject minus object on it.
RELATIONS = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "below": (1, 1)}
PHRASES = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
WORDS = (*COUNTS, *RADII, *COLOURS, *SHAPES, *RELATIONS, "and")

_GLUE = {"the", "of", "to", "is", "are", "with"}
_SYNONYMS = {"a": "one", "an": "one", "1": "one", "2": "two", "3": "three", "4": "four", "large": "big",
             "crosses": "cross", **{shape + "s": shape for shape in SHAPES if shape != "cross"}}
_MARGIN = 4.0  # pixels between centres on a relation's axis, in rendered scenes
_GAP = 2.0  # pixels between the boxes of two objects


@dataclass(frozen=True)
class Group:
    """`count` equal objects; `size` or `colour` None means that the prompt leaves it open."""

    count: int
    size: str | None
    colour: str | None
    shape: str

    def words(self):
        """The group as vocabulary words, in the order in which they are said."""
        return [word for word in (COUNTS[self.count - 1], self.size, self.colour, self.shape) if word]

    def noun(self, plural=None):
        """The group without its count: "small red circles"."""
        plural = self.count > 1 if plural is None else plural
        ending = ("es" if self.shape == "cross" else "s") if plural else ""
        return " ".join([*self.words()[1:]]) + ending

    def text(self):
        """The group as it stands in a prompt: "two red circles", "a blue square"."""
        return ("a " if self.count == 1 else COUNTS[self.count - 1] + " ") + self.noun()


@dataclass(frozen=True)
class Prompt:
    """What an image should show.

    `relations` holds (subject, word, object), where subject and object index `groups`. A group that is the
    object of a relation follows its subject: "A left of B and above C and D" relates A to B and to C.
    """

    groups: tuple[Group, ...]
    relations: tuple[tuple[int, str, int], ...] = ()

    def _walk(self, group_words, relation_words):
        """The prompt in order, each group and relation said by the given functions."""
        of_object = {obj: (subject, word) for subject, word, obj in self.relations}
        parts = []
        for index, group in enumerate(self.groups):
            if index in of_object:
                subject, word = of_object[index]
                parts += (["and"] if index > subject + 1 else []) + relation_words(word)
            elif index:
                parts.append("and")
            parts += group_words(group)
        return parts

    def text(self):
        """The prompt in plain words."""
        return " ".join(self._walk(lambda group: [group.text()], lambda word: [PHRASES[word]]))

    def words(self):
        """The prompt as words of `WORDS`, the text encoder's tokens."""
        return self._walk(Group.words, lambda word: [word])


def parse(text):
    """Read a prompt; case, articles, commas and plurals do not matter. ValueError: what is not understood.

    >>> parse("A red circle left of two blue squares").text()
    'a red circle left of two blue squares'
    """
    words = [_SYNONYMS.get(word, word) for word in re.findall(r"[^\s,.;]+", text.lower())]
    groups, relations, draft, relation, subject = [], [], {}, None, None
    for word in words:
        kind = _kind(word)
        if kind == "relation":
            if subject is None or draft:
                raise ValueError(f'"{PHRASES[word]}" needs an object before it, as in "a red circle '
                                 f'{PHRASES[word]} a blue square".')
            relation = word
        elif kind in ("count", "size", "colour", "shape"):
            if kind in draft:
                raise ValueError(f'"{draft[kind]} {word}" gives one object two {kind}s; '
                                 "say a shape before the next object.")
            draft[kind] = word
        if kind == "shape":
            count = COUNTS.index(draft.get("count", "one")) + 1
            groups.append(Group(count, draft.get("size"), draft.get("colour"), word))
            if relation:
                relations.append((subject, relation, len(groups) - 1))
            else:
                subject = len(groups) - 1
            draft, relation = {}, None
    if draft or relation:
        raise ValueError(f'The prompt "{text.strip()}" ends before its last shape; name one of '
                         f"{', '.join(SHAPES)}.")
    if sum(group.count for group in groups) > MAX_OBJECTS:
        raise ValueError(f'The prompt "{text.strip()}" asks for more than {MAX_OBJECTS} objects, the most '
                         "that Shapes World draws.")
    return Prompt(tuple(groups), tuple(relations))


def _kind(word):
    for kind, known in (("count", COUNTS), ("size", RADII), ("colour", COLOURS), ("shape", SHAPES),
                        ("relation", RELATIONS), ("glue", {"and", *_GLUE})):
        if word in known:
            return kind
    raise ValueError(f'Shapes World does not know the word "{word}"; it knows: a, {", ".join(WORDS)}.')


# --- random prompts ---------------------------------------------------------------------------------------


@functools.cache
def _held_out_pairs():
    """A fifth of all pairs of (colour, shape): no training scene shows the two of a pair together."""
    kinds = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    pairs = [frozenset((a, b)) for i, a in enumerate(kinds) for b in kinds[:i]]
    chosen = np.random.default_rng(2025).permutation(len(pairs))[: len(pairs) // 5]
    return {pairs[i] for i in chosen}


def is_held_out(prompt):
    """True if the prompt puts together two kinds of object that training never showed together."""
    kinds = [(group.colour, group.shape) for group in prompt.groups]
    return any(frozenset((a, b)) in _held_out_pairs() for i, a in enumerate(kinds) for b in kinds[:i])


def random_prompt(rng, groups=None):
    """One to four objects in one to three groups of different kinds. `rng` is a numpy Generator."""
    groups = groups or int(rng.choice((1, 2, 3), p=(0.10, 0.40, 0.50)))
    counts = [1] * groups
    for _ in range(int(rng.integers(0, MAX_OBJECTS - groups + 1))):
        counts[int(rng.integers(groups))] += 1
    kinds = rng.choice(len(COLOURS) * len(SHAPES), size=groups, replace=False)
    colours, shapes = tuple(COLOURS), SHAPES
    made = tuple(
        Group(count, str(rng.choice(tuple(RADII))) if rng.random() < 0.35 else None,
              colours[kind // len(shapes)], shapes[kind % len(shapes)])
        for count, kind in zip(counts, kinds, strict=True))
    return Prompt(made, _random_relations(rng, groups))


def _random_relations(rng, groups):
    """Up to two relations, subject first: A rel B, A rel B and C, A and B rel C, A rel B and rel C."""
    words = [str(word) for word in rng.choice(tuple(RELATIONS), size=2)]
    if groups == 1 or rng.random() < 0.15:
        return ()
    if groups == 2:
        return ((0, words[0], 1),)
    plan = rng.random()
    if plan < 0.25:
        return ((0, words[0], 1),)
    if plan < 0.5:
        return ((1, words[0], 2),)
    return ((0, words[0], 1), (0, words[1], 2))


def held_out_prompts(n, seed=0):
    """The first n of an endless, fixed list of different prompts, none with combinations seen in training."""
    rng, found = np.random.default_rng((seed, 7)), {}
    while len(found) < n:
        prompt = random_prompt(rng, groups=int(rng.integers(2, 4)))
        if is_held_out(prompt):
            found[prompt.text()] = prompt
    return list(found.values())


def training_prompts(n, rng):
    """n random prompts without the held-out combinations."""
    found = []
    while len(found) < n:
        prompt = random_prompt(rng)
        if not is_held_out(prompt):
            found.append(prompt)
    return found


# --- scenes and renders -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thing:
    """One drawn object: centre in pixels (x right, y down), its box is 2·RADII[size] wide."""

    x: float
    y: float
    size: str
    colour: str
    shape: str


def scenes_of(prompts, rng):
    """For each Prompt a random scene (a list of Thing) in which all of its facts hold."""
    scenes, waiting = [None] * len(prompts), np.arange(len(prompts))
    while len(waiting):
        batch = [prompts[i] for i in waiting]
        radii, centres, placed = _layouts(batch, rng)
        for index, prompt, r, xy, good in zip(waiting, batch, radii, centres, placed, strict=True):
            if good:
                scenes[index] = _things(prompt, r, xy, rng)
        waiting = waiting[~placed]
    return scenes


def _owners(prompt):
    """For each object the index of its group."""
    return [i for i, group in enumerate(prompt.groups) for _ in range(group.count)]


def _layouts(prompts, rng, tries=24):
    """Place objects in turn, each at the first of some random spots that keeps distances and relations.

    Gives radii [N,4], centres [N,4,2], and whether every object of a row found its spot [N].
    """
    n = len(prompts)
    radii, sides = np.full((n, MAX_OBJECTS), -_GAP), np.zeros((n, MAX_OBJECTS, MAX_OBJECTS, 2))
    for row, prompt in enumerate(prompts):
        owners = _owners(prompt)
        radii[row, : len(owners)] = [RADII[prompt.groups[i].size or rng.choice(tuple(RADII))] for i in owners]
        for subject, word, obj in prompt.relations:
            axis, sign = RELATIONS[word]
            for a in np.flatnonzero(np.equal(owners, subject)):
                for b in np.flatnonzero(np.equal(owners, obj)):
                    sides[row, a, b, axis], sides[row, b, a, axis] = sign, -sign
    centres, placed = np.full((n, MAX_OBJECTS, 2), np.inf), np.ones(n, dtype=bool)
    for k in range(MAX_OBJECTS):
        edge = (radii[:, k] + 1.0)[:, None, None]
        spots = edge + rng.random((n, tries, 2)) * (SIZE - 2 * edge)
        ok = np.ones((n, tries), dtype=bool)
        for j in range(k):
            offset = spots - centres[:, j, None]
            ok &= np.abs(offset).max(-1) >= (radii[:, k] + radii[:, j] + _GAP)[:, None]
            side = sides[:, k, j, None]
            ok &= ((side == 0) | (np.where(side == 0, 0.0, offset * side) >= _MARGIN)).all(-1)
        placed &= ok.any(1) | (radii[:, k] < 0)
        centres[:, k] = spots[np.arange(n), ok.argmax(1)]
    return radii, centres, placed


def _things(prompt, radii, centres, rng):
    sizes = {radius: size for size, radius in RADII.items()}
    groups = [prompt.groups[i] for i in _owners(prompt)]
    colours = [group.colour or str(rng.choice(tuple(COLOURS))) for group in groups]
    return [Thing(float(x), float(y), sizes[radius], colour, group.shape)
            for group, colour, (x, y), radius in zip(groups, colours, centres, radii, strict=False)]


def coverage(shape, x, y, radius, size=SIZE):
    """[..., size, size]: the share of each pixel that a shape covers; x, y, radius are tensors [...]."""
    axis = torch.arange(size) + 0.5
    dx = (axis - x[..., None, None]).expand(*x.shape, size, size)
    dy = axis[:, None] - y[..., None, None]
    r, ax, ay = radius[..., None, None], dx.abs(), dy.abs()
    distance = torch.hypot(dx, dy)
    inside = {
        "circle": lambda: r - distance,
        "square": lambda: 0.9 * r - torch.maximum(ax, ay),
        "triangle": lambda: torch.minimum(r - dy, (r + dy - 2 * ax) / 5**0.5),
        "cross": lambda: torch.minimum(r - torch.maximum(ax, ay), 0.36 * r - torch.minimum(ax, ay)),
        "diamond": lambda: (r - ax - ay) / 2**0.5,
        "ring": lambda: torch.minimum(r - distance, distance - 0.52 * r),
    }[shape]()
    return (inside + 0.5).clamp(0, 1)


def render(scenes, size=SIZE):
    """[B,size,size,3] in 0–1: the scenes (lists of Thing) as images."""
    scale, palette = size / SIZE, {name: torch.tensor(rgb) for name, rgb in COLOURS.items()}
    images = torch.tensor(BACKGROUND).repeat(len(scenes), size, size, 1)
    for shape in SHAPES:
        rows = [(b, thing) for b, scene in enumerate(scenes) for thing in scene if thing.shape == shape]
        if not rows:
            continue
        place = torch.tensor([[thing.x, thing.y, RADII[thing.size]] for _, thing in rows]) * scale
        covers = coverage(shape, *place.unbind(1), size=size)[..., None]
        for (b, thing), cover in zip(rows, covers, strict=True):
            images[b].lerp_(palette[thing.colour].expand_as(images[b]), cover)
    return images
