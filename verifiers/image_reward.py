"""ImageReward: how people would rate an image for its prompt, by a BLIP trained on their rankings."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from .blip import HEAD, IMAGE, TEXT, reward_network
from .clip_model import OPENAI_MEAN, OPENAI_STD, to_bytes, to_pil
from .verifier import VerifierError
from .weights import fingerprint, shapes, tensors

MEAN, STD = 0.16717362830052426, 1.0333394966054072
"""Of the raw rewards over the authors' data: a score of 0 is a middling image."""
TOKENS = 35
SOURCE = (
    "ImageReward.pt and med_config.json from huggingface.co/zai-org/ImageReward (Apache-2.0) and vocab.txt from "
    "google-bert/bert-base-uncased (Apache-2.0)"
)
_open = WeakValueDictionary()


class ImageReward:
    """(reward - MEAN) / STD, about -2 to 2.

        verifier = Verifier.of(ImageReward("models/noise_search/ImageReward"))

    path  a folder with ImageReward.pt (or .safetensors), med_config.json and BERT's vocab.txt
    half  run in float16 on a GPU
    The text is cut to 35 tokens, and a note says so.
    Source: Xu et al. 2023, "ImageReward: Learning and Evaluating Human Preferences for Text-to-Image Generation".
    """

    name = "ImageReward"
    reads = "images"
    sign = 1
    needs_prompt = True

    def __init__(self, path: Path | str, half: bool = False):
        self.model = _reward_model(Path(path))
        self.half = half
        self.key = f"{self.name}|{self.model.key}|{'half' if half else 'float'}"
        self.notes: list[str] = []

    def modules(self) -> Sequence[torch.nn.Module]:
        return [self.model.network]

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        for prompt in dict.fromkeys(prompts):
            self._note_if_cut(prompt)
        pixels = torch.stack([self.model.preprocess(image) for image in to_pil(to_bytes(images))])
        ids, mask = self.model.tokens(prompts)
        with torch.autocast(device.type, torch.float16, enabled=self.half and device.type == "cuda"):
            rewards = self.model.network(pixels.to(device), ids.to(device), mask.to(device))
        return (rewards.float() - MEAN) / STD

    def _note_if_cut(self, prompt: str) -> None:
        cut = len(self.model.tokenizer(prompt).input_ids) - TOKENS
        note = f'{self.name} reads {TOKENS} tokens: the last {cut} of the prompt "{prompt[:40]}…" are not scored.'
        if cut > 0 and note not in self.notes:
            self.notes.append(note)


class _RewardModel:
    """What ImageReward loads when first used: network, tokenizer, preprocessing."""

    def __init__(self, path: Path):
        self.path = path
        self.weights = _checked(path)
        self.key = fingerprint(path)

    @cached_property
    def network(self) -> torch.nn.Module:
        try:
            config = json.loads((self.path / "med_config.json").read_text(encoding="utf-8"))
            # The host runs nodes in inference mode; weights made there could not be moved outside it.
            with torch.inference_mode(False):
                network = reward_network(tensors(self.weights), config)
        except Exception as cause:
            raise VerifierError(f"{self.path.name} could not be loaded as ImageReward: {cause}") from cause
        return network.eval().requires_grad_(False)

    @cached_property
    def tokenizer(self):
        import transformers

        tokenizer = transformers.BertTokenizerFast.from_pretrained(str(self.path), local_files_only=True)
        tokenizer.add_tokens(["[DEC]", "[ENC]"], special_tokens=True)
        return tokenizer

    @cached_property
    def preprocess(self):
        from torchvision import transforms

        size = self.network.image.config.image_size
        return transforms.Compose(
            [
                transforms.Resize(size, transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
                transforms.Normalize(OPENAI_MEAN, OPENAI_STD),
            ]
        )

    def tokens(self, prompts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask [n, TOKENS]."""
        settings = {"padding": "max_length", "truncation": True, "max_length": TOKENS, "return_tensors": "pt"}
        out = self.tokenizer(list(prompts), **settings)
        return out.input_ids, out.attention_mask


def _reward_model(path: Path) -> _RewardModel:
    """The model at this path; the same object while anyone holds it and the files do not change."""
    model = _RewardModel(path)
    return _open.setdefault((path.resolve(), model.key), model)


def _checked(path: Path) -> Path:
    """The weights file in the folder, when everything needed is there."""
    if importlib.util.find_spec("transformers") is None:
        raise VerifierError("ImageReward needs transformers: pip install transformers")
    weights = [path / name for name in ("ImageReward.safetensors", "ImageReward.pt") if (path / name).is_file()]
    lacking = [name for name in ("med_config.json", "vocab.txt") if not (path / name).is_file()]
    if not weights:
        lacking.insert(0, "ImageReward.pt")
    if lacking:
        raise VerifierError(f"ImageReward's folder {path.name} lacks {', '.join(lacking)}: put there {SOURCE}.")
    found = shapes(weights[0])
    if not all(any(key.startswith(prefix) for key in found) for prefix in (IMAGE, TEXT, HEAD)):
        raise VerifierError(f"{weights[0].name} holds no ImageReward: get the file again.")
    return weights[0]
