"""Nodes that break on purpose: a MODEL that runs out of memory, a verifier that raises or gives NaN."""

import dataclasses

import comfy.patcher_extension
import torch


class HungryModel:
    """Asks torch for a petabyte, on a later step, when more than `rows` latent rows come at once."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "patch", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "rows": ("INT", {"default": 2})}}

    def patch(self, model, rows):
        calls = []

        def predict(executor, x, *args, **kwargs):
            calls.append(x.shape[0])
            if x.shape[0] > rows and len(calls) % 2 == 0:
                torch.empty(2**50, dtype=torch.uint8)
            return executor(x, *args, **kwargs)

        model = model.clone()
        kind = comfy.patcher_extension.WrappersMP.PREDICT_NOISE
        comfy.patcher_extension.add_wrapper_with_key(kind, "hungry", predict, model.model_options, True)
        return (model,)


class FaultyVerifier:
    """The verifier, but its first measure raises, or gives NaN, from the third image on."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("NS_VERIFIER",), "spoil", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"verifier": ("NS_VERIFIER",), "fault": (["raises", "NaN"],)}}

    def spoil(self, verifier, fault):
        first, *others = verifier.measures
        return (dataclasses.replace(verifier, measures=(Faulty(first, fault), *others)),)


class Faulty:
    def __init__(self, measure, fault):
        self._measure, self._fault, self._seen = measure, fault, 0

    def __getattr__(self, name):
        return getattr(self._measure, name)

    def measure(self, images, prompts, device):
        self._seen += len(images)
        numbers = self._measure.measure(images, prompts, device)
        if self._seen < 3:
            return numbers
        if self._fault == "raises":
            raise RuntimeError("the judge fell asleep")
        return numbers * torch.nan


NODE_CLASS_MAPPINGS = {"HungryModel": HungryModel, "FaultyVerifier": FaultyVerifier}
