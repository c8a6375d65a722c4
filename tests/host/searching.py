"""What the tests of the search inside ComfyUI share: searched models, a measure that remembers, counts at the model."""

import hashlib
import uuid
from dataclasses import dataclass, field

from noise_search.harness.graph import Graph
from noise_search.verifiers.verifier import Verifier

from .in_process import Any

ALGORITHMS = {
    "random": ("NS_RandomSearch", {}),
    "zero-order": ("NS_ZeroOrderSearch", {"neighbours": 2}),
    "paths": ("NS_SearchOverPaths", {"paths": 1, "branches": 2}),
}


class Level:
    """A measure: the mean of a few numbers of each latent (or of each image), different for every candidate.

    Remembers everything that it was handed, so that a test can say what was scored, and how often.
    """

    sign = 1

    def __init__(self, reads="latents", part=slice(0, 7), name="level"):
        self.reads, self.part, self.name, self.key = reads, part, name, f"{name} {reads} {part}"
        self.notes, self.seen, self.prompts = [], [], []

    def modules(self):
        return []

    def measure(self, inputs, prompts, device):
        self.seen += [digest(one) for one in inputs]
        self.prompts += prompts
        return self.numbers(inputs)

    def numbers(self, inputs):
        return inputs.flatten(1)[:, self.part].float().mean(1)

    @property
    def verifier(self):
        return Verifier.of(self)


def digest(tensor):
    return hashlib.sha256(tensor.detach().cpu().contiguous().float().numpy().tobytes()).hexdigest()


@dataclass
class Count:
    """Rows that went through the guider (`evaluations`) and through the network (`forwards`), and of each call how
    many rows it had."""

    evaluations: int = 0
    forwards: int = 0
    batches: list = field(default_factory=list)


def counted(model):
    """(a clone of the MODEL, its Count), counting by wrappers of the test's own."""
    from comfy.patcher_extension import WrappersMP

    count, model = Count(), model.clone()

    def evaluation(executor, x, *args, **kwargs):
        count.evaluations += x.shape[0]
        count.batches.append(x.shape[0])
        return executor(x, *args, **kwargs)

    def forward(executor, x, *args, **kwargs):
        count.forwards += x.shape[0]
        return executor(x, *args, **kwargs)

    wrap(model, WrappersMP.PREDICT_NOISE, evaluation)
    wrap(model, WrappersMP.APPLY_MODEL, forward)
    return model, count


def wrap(model, kind, function, key="test"):
    """Put a wrapper on a MODEL, as another pack would."""
    import comfy.patcher_extension

    comfy.patcher_extension.add_wrapper_with_key(kind, key, function, model.model_options, is_model_options=True)


class Searching:
    """One tiny model, sampled plainly and with a search, through stock nodes called as functions."""

    def __init__(self, comfy, tiny):
        self.comfy, self.call, self.tiny = comfy, comfy.call, tiny
        self.positive, self.negative = tiny.encode("a cat"), tiny.encode("")

    def latent(self, batch=1):
        """An empty LATENT, small enough for many samplings: 32 × 32 pixels."""
        return self.tiny.latent(batch, size=4)

    def search(self, algorithm="random", budget=None, after=None, **own):
        node, settings = ALGORITHMS[algorithm]
        (given,) = self.call("NS_SearchBudget", **{"images": 0, **(budget or {"images": 5})})
        (search,) = self.call(node, **settings | own, budget=given, after=after)
        return search

    def searched(self, search, verifier, model=None, **options):
        """(MODEL, NS_RUN) of Search with KSampler."""
        return self.call(
            "NS_SearchWithKSampler", model=model or self.tiny.model, search=search, verifier=verifier, **options
        )

    def ksampler(self, model=None, latent=None, **settings):
        """The latent of a stock KSampler: three steps, seed 7."""
        settings = {"seed": 7, "steps": 3, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", **settings}
        (out,) = self.call("KSampler", **self._sampled(model, latent), **settings)
        return out["samples"]

    def advanced(self, model=None, latent=None, **settings):
        """The latent of a stock KSamplerAdvanced."""
        settings = {
            "add_noise": "enable", "noise_seed": 7, "steps": 4, "cfg": 2.0, "sampler_name": "euler",
            "scheduler": "normal", "start_at_step": 0, "end_at_step": 10000, "return_with_leftover_noise": "disable",
        } | settings  # fmt: skip
        (out,) = self.call("KSamplerAdvanced", **self._sampled(model, latent), **settings)
        return out["samples"]

    def _sampled(self, model, latent):
        return {
            "model": model or self.tiny.model,
            "positive": self.positive,
            "negative": self.negative,
            "latent_image": latent or self.latent(),
        }

    def custom_inputs(
        self, model=None, latent=None, noise=None, seed=7, steps=3, sampler_name="euler", cfg=2.0, denoise=1.0
    ):
        """The inputs of SamplerCustomAdvanced."""
        model = model or self.tiny.model
        return {
            "noise": noise or self.call("RandomNoise", noise_seed=seed)[0],
            "guider": self.call("CFGGuider", model=model, positive=self.positive, negative=self.negative, cfg=cfg)[0],
            "sampler": self.call("KSamplerSelect", sampler_name=sampler_name)[0],
            "sigmas": self.call("BasicScheduler", model=model, scheduler="normal", steps=steps, denoise=denoise)[0],
            "latent_image": latent or self.latent(),
        }

    def custom(self, **settings):
        """Both latents of a stock SamplerCustomAdvanced."""
        return tuple(out["samples"] for out in self.call("SamplerCustomAdvanced", **self.custom_inputs(**settings)))


def account(run):
    """What the last search of an NS_RUN did."""
    return run.choose("after").account


def close(a, b, within=1e-4):
    """Equal but for rounding, on the scale of the numbers."""
    return a.shape == b.shape and bool((a - b).abs().max() <= within * max(1.0, b.abs().max()))


class Give:
    """A node that hands a Python object to a graph."""

    held: dict = {}
    RETURN_TYPES, FUNCTION, CATEGORY = (Any("*"),), "give", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"key": ("STRING", {})}}

    @classmethod
    def IS_CHANGED(cls, key):
        return id(cls.held[key])

    def give(self, key):
        return (self.held[key],)


class Queued:
    """A graph with a searched stock KSampler, run by ComfyUI's executor. Its history is its own.

    `graph` may be edited between runs; `search`, `positive`, `sampler`, `run` … are its nodes.
    """

    def __init__(self, comfy, tiny, images=4, algorithm="NS_RandomSearch", rows=1, text="a cat", steps=3, model=None):
        comfy.nodes["Give"] = Give
        self.comfy, self.name, self.level = comfy, uuid.uuid4().hex, Level()
        self.model, self.count = counted(model or tiny.model)
        self.graph = g = Graph()
        given = self.given(clip=tiny.clip, verifier=self.level.verifier, vae=tiny.vae, latent=tiny.latent(rows, size=4))
        self.source = self.given(model=self.model)["model"]
        self.budget = g.add("NS_SearchBudget", images=images)
        self.search = g.add(algorithm, budget=self.budget)
        self.positive, self.negative = (g.add("CLIPTextEncode", clip=given["clip"], text=t) for t in (text, ""))
        self.block = g.add(
            "NS_SearchWithKSampler", model=self.source, search=self.search, verifier=given["verifier"], vae=given["vae"]
        )
        self.run_, self.vae, self.latent = self.block.at(1), given["vae"], given["latent"]
        self.sampler = self.sample(self.block)

    def given(self, **objects):
        """Links to Python objects."""
        links = {}
        for name, value in objects.items():
            Give.held[f"{name} {self.name}"] = value
            links[name] = self.graph.add("Give", key=f"{name} {self.name}")
        return links

    def sample(self, model, seed=7, **settings):
        settings = {"steps": 3, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0} | settings
        return self.graph.add(
            "KSampler", model=model, positive=self.positive, negative=self.negative, latent_image=self.latent,
            seed=seed, **settings,
        )  # fmt: skip

    def sample_with_noise_left(self, end_at_step):
        """A stock KSamplerAdvanced that stops after so many of 8 steps."""
        return self.graph.add(
            "KSamplerAdvanced", model=self.block, positive=self.positive, negative=self.negative,
            latent_image=self.latent, add_noise="enable", noise_seed=7, steps=8, cfg=2.0, sampler_name="euler",
            scheduler="normal", start_at_step=0, end_at_step=end_at_step, return_with_leftover_noise="enable",
        )  # fmt: skip

    def run(self, *wanted):
        """The values at the links `wanted`; evaluations at the model during this run in `self.evaluations`."""
        before = self.count.evaluations
        try:
            return self.comfy.run(self.graph, *wanted)
        finally:
            self.evaluations = self.count.evaluations - before

    def forget(self, *nodes):
        """Drop the outputs of these nodes (or all) from ComfyUI's cache, as eviction or a restart does."""
        cache = self.comfy.executor.caches.outputs
        if not nodes:
            cache.cache.clear()
        for node in nodes:
            del cache.cache[cache.cache_key_set.get_data_key(node.id)]
