"""Their blocks: VERIFIER, SEARCH, a sampler that searches by itself, and three ways to change a MODEL."""

import comfy.patcher_extension

import nodes  # ComfyUI's
import search
import verifiers


class RandomSearch:
    RETURN_TYPES, FUNCTION, CATEGORY = ("SEARCH",), "make", "second pack"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"images": ("INT", {"default": 2})}}

    def make(self, images):
        return (lambda seed: search.seeds(seed, images),)


class CLIPScore:
    RETURN_TYPES, FUNCTION, CATEGORY = ("VERIFIER",), "make", "second pack"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def make(self):
        return (verifiers.brightness,)


class SearchSampler:
    """Samples each seed of its SEARCH by KSampler; the best by its VERIFIER."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("LATENT",), "sample", "second pack"

    @classmethod
    def INPUT_TYPES(cls):
        own = {"search": ("SEARCH",), "verifier": ("VERIFIER",)}
        return {"required": {**nodes.KSampler.INPUT_TYPES()["required"], **own}}

    def sample(self, search, verifier, seed, **settings):
        found = [nodes.KSampler().sample(seed=tried, **settings)[0] for tried in search(seed)]
        return (max(found, key=lambda latent: verifier(latent["samples"])),)


class WrapModel:
    """A MODEL changed in one of the ways that packs use, so that every picture is another."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "wrap", "second pack"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "way": (list(WAYS),)}}

    def wrap(self, model, way):
        model = model.clone()
        WAYS[way](model)
        return (model,)


def outer_sample(model):
    def darker(executor, *args, **kwargs):
        return executor(*args, **kwargs) * 0.8

    kind = comfy.patcher_extension.WrappersMP.OUTER_SAMPLE
    comfy.patcher_extension.add_wrapper_with_key(kind, "second pack", darker, model.model_options, True)


def unet_function(model):
    def fainter(apply, given):
        return apply(given["input"], given["timestep"], **given["c"]) * 0.9

    model.set_model_unet_function_wrapper(fainter)


def cfg_function(model):
    model.set_model_sampler_cfg_function(lambda given: given["cond"] * 0.95)


WAYS = {"outer sample": outer_sample, "unet function": unet_function, "cfg function": cfg_function}
NODE_CLASS_MAPPINGS = {
    "RandomSearch": RandomSearch,
    "CLIPScore": CLIPScore,
    "SearchSampler": SearchSampler,
    "WrapModel": WrapModel,
}
NODE_DISPLAY_NAME_MAPPINGS = {"RandomSearch": "Random Search", "SearchSampler": "Search Sampler"}
