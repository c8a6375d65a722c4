"""Zero-shot class: how sure a CLIP is that the image shows one class rather than the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from .class_probability import FORMS, LOGIT, PROBABILITY
from .clip_model import clip_model
from .verifier import VerifierError

TEMPLATES = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
"""The seven that OpenAI found to do nearly as well as all eighty on ImageNet."""


class ZeroShotClass:
    """softmax over the classes of exp(logit_scale) · cos(image, class), the target's; or its logit.

        verifier = Verifier.of(ZeroShotClass("models/clip_vision/my-clip", "cat", ["dog", "bird"]))

    path, architecture, half  as for CLIPScore
    target     the class wanted; empty: the prompt names it
    others     the classes it is told from; a PROBABILITY needs one at least
    templates  texts with {} where the class goes; a class's vector is the normalised mean over them
    Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", 3.1.4.
    """

    name = "ClassProbability"
    reads = "images"
    sign = 1

    def __init__(
        self,
        path: Path | str,
        target: str = "",
        others: Sequence[str] = (),
        templates: Sequence[str] = TEMPLATES,
        form: str = PROBABILITY,
        architecture: str = "auto",
        half: bool = False,
    ):
        self.target, self.form, self.half = target.strip(), form, half
        self.needs_prompt = not self.target
        self.others, self.templates = list(others), list(templates)
        self._check()
        self.clip = clip_model(path, architecture)
        precision = "half" if half else "float"
        settings = f"{self.target}|{self.others}|{self.templates}|{form}|{precision}"
        self.key = f"{self.name}|{self.clip.key}|{settings}"
        self.notes = list(self.clip.notes)

    def _check(self) -> None:
        if self.form not in FORMS:
            raise VerifierError(f"{self.name}'s form is {self.form!r}: choose one of {', '.join(FORMS)}.")
        if not self.templates or not all("{}" in template for template in self.templates):
            raise VerifierError(f"{self.name}'s templates: write one a line, each with {{}} where the class goes.")
        if self.form == PROBABILITY and not set(self.others) - {self.target}:
            raise VerifierError(f"{self.name} with a CLIP: write other classes, one a line, to tell the target from.")

    def modules(self) -> Sequence[torch.nn.Module]:
        return [self.clip.parts.module]

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        image = self.clip.embed_images(images, device, self.half)
        numbers = torch.empty(len(images))
        for target in dict.fromkeys(self.target or prompt.strip() for prompt in prompts):
            rows = [i for i, prompt in enumerate(prompts) if (self.target or prompt.strip()) == target]
            classes = list(dict.fromkeys([target, *self.others]))
            text = torch.stack([self._embed(name, device) for name in classes])
            logits = self.clip.scale * image[rows] @ text.T
            numbers[rows] = (logits if self.form == LOGIT else logits.softmax(1))[:, 0]
        return numbers

    def _embed(self, name: str, device: torch.device) -> torch.Tensor:
        texts = self.clip.embed_texts([template.replace("{}", name) for template in self.templates], device)
        return torch.nn.functional.normalize(texts.mean(0), dim=0)
