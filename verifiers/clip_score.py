"""CLIPScore: how well an image fits its text, as the cosine of their CLIP embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from .clip_model import clip_model
from .verifier import VerifierError

RAW = "raw cosine"
HESSEL = "2.5 · max(cosine, 0)"
FORMS = (RAW, HESSEL)
MEAN, MINIMUM, MAXIMUM = OVER_TEXTS = ("mean", "minimum", "maximum")
PROMPT = "{}"  # in a text: where the prompt stands


class CLIPScore:
    """cos(image, text), or Hessel et al.'s CLIPScore 2.5 · max(cos, 0).

        verifier = Verifier.of(CLIPScore("models/clip_vision/my-clip"))

    path          see `clip_model.Clip`
    architecture  for a single weights file: an open_clip name, or "auto"
    form          RAW (-1 to 1, in practice 0.1 to 0.4) or HESSEL (0 to 2.5); both order images alike, except
                  that HESSEL ties all that are below zero
    half          run the image half in float16 on a GPU: faster, and scores change in the fourth digit
    texts         what the image should fit instead of the prompt; PROMPT in one stands for the prompt
    over_texts    how the numbers of several texts combine: MEAN, MINIMUM (it must fit each) or MAXIMUM (any)
    The text is cut to the model's context (77 tokens for CLIP), and a note says so.
    Raises VerifierError when a file or a package is missing.
    Source: Hessel et al. 2021, "CLIPScore: A Reference-free Evaluation Metric for Image Captioning".
    """

    name = "CLIPScore"
    reads = "images"
    sign = 1

    def __init__(
        self,
        path: Path | str,
        architecture: str = "auto",
        form: str = RAW,
        half: bool = False,
        texts: Sequence[str] = (),
        over_texts: str = MEAN,
    ):
        if form not in FORMS:
            raise VerifierError(f"{self.name}'s form is {form!r}: choose one of {', '.join(FORMS)}.")
        if over_texts not in OVER_TEXTS:
            raise VerifierError(f"{self.name}'s over_texts is {over_texts!r}: choose one of {', '.join(OVER_TEXTS)}.")
        self.clip = clip_model(path, architecture)
        self.form = form
        self.half = half
        self.texts, self.over_texts = tuple(texts) or (PROMPT,), over_texts
        self.needs_prompt = any(PROMPT in text for text in self.texts)
        self.key = f"{self.name}|{self.clip.key}|{form}|{'half' if half else 'float'}"
        if texts:
            self.key += f"|{over_texts} of {self.texts!r}"
        self.notes = list(self.clip.notes)

    def modules(self) -> Sequence[torch.nn.Module]:
        return [self.clip.parts.module]

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        image = self.embed(images, device)
        each = torch.stack([self._score(image, text, prompts, device) for text in self.texts])
        if self.over_texts == MEAN:
            return each.mean(0)
        return each.amin(0) if self.over_texts == MINIMUM else each.amax(0)

    def _score(self, image: torch.Tensor, text: str, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        """[n] against one of the texts."""
        asked = [text.replace(PROMPT, prompt) for prompt in prompts]
        for one in dict.fromkeys(asked):
            self._note_if_cut(one)
        cosine = (image * self.clip.embed_texts(asked, device)).sum(1)
        return 2.5 * cosine.clamp(min=0) if self.form == HESSEL else cosine

    def embed(self, images: torch.Tensor, device: torch.device) -> torch.Tensor:
        return self.clip.embed_images(images, device, self.half)

    def _note_if_cut(self, prompt: str) -> None:
        cut = self.clip.cut(prompt)
        note = (
            f"{self.name} reads {self.clip.parts.context} tokens: the last {cut} of the prompt "
            f'"{prompt[:40]}…" are not scored.'
        )
        if cut and note not in self.notes:
            self.notes.append(note)
