"""What the tests of the loop share: a body that costs nothing and remembers its runs, and a graph with a loop."""

import gc
import uuid
import weakref

import numpy
import torch

from noise_search.harness.graph import Graph

from .searching import Give


class Draw:
    """Instead of a sampler: a LATENT that is the noise, and half of it an IMAGE. Remembers its runs: the seeds of all
    candidates, and how many each run had."""

    seeds: list = []
    runs: list = []
    indices: list = []
    alive = weakref.WeakSet()
    most, breaks_at, breaks_with = 0, 0, None
    RETURN_TYPES, FUNCTION, CATEGORY = ("LATENT", "IMAGE"), "draw", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"latent": ("LATENT",), "key": ("STRING", {"default": ""})},
            "optional": {"noise": ("NOISE",), "seed": ("INT", {"forceInput": True}), "index": ("INT",)},
        }

    def draw(self, latent, key, noise=None, seed=0, index=0):
        cls = type(self)
        seeds = [int(one.seed) for one in noise.candidates] if noise else [seed]
        cls.seeds += seeds
        cls.runs.append(len(seeds))
        cls.indices.append(index)
        if len(cls.runs) == cls.breaks_at:
            cls.breaks_with()
        if noise is None:
            like = latent["samples"]
            drawn = torch.randn(like.shape, generator=torch.Generator("cpu").manual_seed(seed))
        else:
            drawn = noise.generate_noise(latent)
        image = (drawn[:, :3].movedim(1, -1) / 8 + 0.5).clamp(0, 1).contiguous()
        cls.alive.add(image)
        if len(cls.runs) % 50 == 0:
            gc.collect()
            cls.most = max(cls.most, len(cls.alive))
        return {**latent, "samples": drawn}, image


class Mean:
    """A score: the mean of a few numbers, different for every candidate."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("FLOAT", "INT"), "mean", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"samples": ("LATENT",)}, "optional": {"nan_at": ("INT", {"default": -1})}}

    def mean(self, samples, nan_at=-1):
        number = samples["samples"].flatten()[:7].mean().item()
        return (float("nan") if len(Draw.seeds) == nan_at else number), 3


class Means:
    """A score for each row, as `kind`; that of the candidate with the seed `nan_at` is no number."""

    KINDS = {"list": list, "tuple": tuple, "tensor": torch.tensor, "array": numpy.array, "first": lambda x: x[:1]}
    RETURN_TYPES, FUNCTION, CATEGORY = ("FLOAT",), "means", "test"

    @classmethod
    def INPUT_TYPES(cls):
        kinds = {"kind": (list(cls.KINDS), {"default": "list"}), "nan_at": ("INT", {"default": -1})}
        return {"required": {"samples": ("LATENT",)}, "optional": kinds}

    def means(self, samples, kind="list", nan_at=-1):
        rows = [row.flatten()[:7].mean().item() for row in samples["samples"]]
        seeds = Draw.seeds[-len(rows) :]
        return (self.KINDS[kind]([float("nan") if seed == nan_at else row for seed, row in zip(seeds, rows)]),)


class Loader:
    """Outside the loop: counts its runs."""

    runs = 0
    RETURN_TYPES, FUNCTION, CATEGORY = ("STRING",), "load", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"key": ("STRING", {})}}

    def load(self, key):
        type(self).runs += 1
        return (key,)


class Hold:
    """Shows something, as PreviewImage does: an output node that hangs on the loop's body."""

    seen: list = []
    RETURN_TYPES, FUNCTION, OUTPUT_NODE, CATEGORY = (), "hold", True, "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"latent": ("LATENT",)}}

    def hold(self, latent):
        type(self).seen.append(latent["samples"])
        return {"ui": {"text": ["held"]}}


class Looped:
    """A graph with a loop around Draw, run by ComfyUI's executor. `graph` may be edited between runs. With `batch`
    the score is a list."""

    def __init__(
        self, comfy, images=6, algorithm="NS_RandomSearch", by="seed", value="latent", seed=7, rows=1, batch=0, **own
    ):
        for node in (Draw, Mean, Means, Loader, Hold, Give):
            comfy.nodes[node.__name__] = node
        self.comfy, self.name = comfy, uuid.uuid4().hex
        self.graph = g = Graph()
        self.budget = g.add("NS_SearchBudget", images=images)
        self.search = g.add(algorithm, budget=self.budget, **own)
        self.latent = g.add("EmptyLatentImage", width=64, height=64, batch_size=rows)
        self.start = g.add("NS_SearchLoopStart", search=self.search, latent=self.latent, seed=seed)
        self.loader = g.add("Loader", key=self.name)
        given = {"noise": self.start.at(1)} if by == "noise" else {"seed": self.start.at(2)}
        self.draw = g.add("Draw", latent=self.start.at(3), key=self.loader, **given)
        self.mean = g.add("Means" if batch else "Mean", samples=self.draw)
        if batch:
            g.set(self.start, batch=batch)
        self.end = g.add("NS_SearchLoopEnd", loop=self.start, score=self.mean)
        if value:
            g.set(self.end, value=self.draw.at({"latent": 0, "image": 1}[value]))

    def run(self, *wanted, breaks_at=0, breaks_with=None):
        """The values at the links `wanted` (End's four outputs, if none); `seeds` drawn in this run. What
        `breaks_with` does is done in the drawing with the number `breaks_at`."""
        Draw.indices, Draw.runs = [], []
        Draw.seeds, Draw.most, Draw.breaks_at, Draw.breaks_with = [], 0, breaks_at, breaks_with
        Hold.seen, Loader.runs = [], 0
        Draw.alive.clear()
        try:
            return self.comfy.run(self.graph, *(wanted or self.end.out(4)))
        finally:
            self.seeds, self.runs = Draw.seeds, Draw.runs

    def forget(self):
        """Drop all of ComfyUI's cached outputs, as a restart does."""
        self.comfy.executor.reset()
