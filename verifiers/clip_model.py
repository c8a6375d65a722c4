"""A CLIP on disk: images and texts to unit vectors in one space.

    clip = clip_model(Path("models/clip_vision/my-clip"))
    cosines = (clip.embed_images(images, device) * clip.embed_texts(prompts, device)).sum(1)

Preprocessing, tokenizer and model are those of the library that published the layout (open_clip or
transformers), so that the numbers are the ones its own pipeline gives.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import torch
from PIL import Image

from . import clip_architecture
from .verifier import VerifierError
from .weights import fingerprint, shapes

TRANSFORMERS_TYPES = ("clip", "siglip", "siglip2")
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
_TEXTS_KEPT = 256
_BATCHES_KEPT = 32
_open = WeakValueDictionary()


@dataclass(frozen=True)
class Parts:
    """One loaded model, the same for both libraries."""

    module: torch.nn.Module
    pixels: Callable[[list[Image.Image]], torch.Tensor]
    """8-bit images -> what `image` takes: [n, 3, size, size], normalised; of NaFlex models a batch of patches."""
    tokens: Callable[[list[str]], dict[str, torch.Tensor]]
    """Texts -> what `text` takes, cut to the context."""
    image: Callable[[torch.Tensor], torch.Tensor]
    text: Callable[[dict[str, torch.Tensor]], torch.Tensor]
    length: Callable[[str], int]
    """How many tokens a text would be if nothing were cut."""
    context: int


class Clip:
    """One CLIP, loaded when first used.

    path          a weights file in open_clip's format, or a folder in open_clip's or transformers' layout
    architecture  for a single file: one of open_clip's names, or "auto" to tell it from the shapes
    Raises VerifierError at once, before anything is loaded, when a file or a package is missing.
    """

    def __init__(self, path: Path, architecture: str = "auto"):
        self.path = path
        self.notes: list[str] = []
        self._load, self.architecture = _loader(path, architecture)
        self.key = f"{self.architecture} {fingerprint(path)}"
        self._texts: dict[str, torch.Tensor] = {}
        self._images: dict[tuple, torch.Tensor] = {}
        if path.is_file() and architecture == "auto":
            self.notes += _guess_notes(path, self.architecture)

    @cached_property
    def parts(self) -> Parts:
        """The loaded model, on the CPU in float32."""
        try:
            # The host runs nodes in inference mode; weights made there could not be moved outside it.
            with torch.inference_mode(False):
                parts = self._load()
        except VerifierError:
            raise
        except Exception as cause:
            raise VerifierError(f"{self.path.name} could not be loaded as a CLIP model: {cause}") from cause
        parts.module.eval().requires_grad_(False)
        return parts

    def embed_images(self, images: torch.Tensor, device: torch.device, half: bool = False) -> torch.Tensor:
        """Unit vectors [n, d] float32 on the CPU, for images [n, H, W, 3] in 0-1.

        half  compute in float16 where the device is a GPU
        A batch that several verifiers look at is encoded once: the vectors of the last batches are kept.
        """
        bytes_ = to_bytes(images)
        key = (hashlib.blake2b(bytes_.data).digest(), bytes_.shape, half, device)
        if key not in self._images:
            self._images[key] = self.embed_pixels(self.parts.pixels(to_pil(bytes_)), device, half)
            if len(self._images) > _BATCHES_KEPT:
                del self._images[next(iter(self._images))]
        return self._images[key]

    def embed_pixels(self, pixels: torch.Tensor, device: torch.device, half: bool = False) -> torch.Tensor:
        """Unit vectors [n, d] float32 on the CPU, for what `parts.pixels` gives."""
        with torch.autocast(device.type, torch.float16, enabled=half and device.type == "cuda"):
            return _unit(self.parts.image(pixels.to(device)))

    def embed_texts(self, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        """Unit vectors [n, d] float32 on the CPU. Each text is encoded once and kept."""
        new = [p for p in dict.fromkeys(prompts) if p not in self._texts]
        if new:
            tokens = {name: t.to(device) for name, t in self.parts.tokens(new).items()}
            self._texts.update(zip(new, _unit(self.parts.text(tokens)), strict=True))
        vectors = torch.stack([self._texts[p] for p in prompts])
        while len(self._texts) > _TEXTS_KEPT:
            del self._texts[next(iter(self._texts))]
        return vectors

    @property
    def module(self) -> torch.nn.Module:
        return self.parts.module

    @property
    def scale(self) -> float:
        """What the model multiplies a cosine by before a softmax: exp(logit_scale)."""
        return self.module.logit_scale.exp().item()

    def cut(self, prompt: str) -> int:
        """How many tokens of the prompt the model does not see; 0 when it sees all."""
        return max(0, self.parts.length(prompt) - self.parts.context)


def clip_model(path: Path | str, architecture: str = "auto") -> Clip:
    """The CLIP at this path; the same object while anyone holds it and the files do not change."""
    clip = Clip(Path(path), architecture)
    return _open.setdefault((clip.path.resolve(), clip.key), clip)


def to_bytes(images: torch.Tensor) -> np.ndarray:
    """8-bit images, as they would be saved, for [n, H, W, 3 or more] in 0-1."""
    bytes_ = (images[..., :3].detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(bytes_.cpu().numpy())


def to_pil(bytes_: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray(image) for image in bytes_]


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors.float(), dim=-1).cpu()


def _guess_notes(path: Path, architecture: str) -> list[str]:
    if f"{architecture}-quickgelu" not in clip_architecture.COMMON:
        return []
    return [
        f"{path.name} was read as {architecture}. If it was trained by OpenAI, MetaCLIP or DFN, choose "
        f"{architecture}-quickgelu: the file does not say, and the scores differ."
    ]


def _loader(path: Path, architecture: str) -> tuple[Callable[[], Parts], str]:
    """What will load this path, and the architecture it is. Checks everything that can be checked now."""
    if path.is_file():
        if architecture == "auto":
            architecture = clip_architecture.guess(path)
        else:
            clip_architecture.check(path, architecture)
        return lambda: _load_open_clip(architecture, str(path)), architecture
    if not path.is_dir():
        raise VerifierError(f"{path.name} is not there: put the CLIP model in ComfyUI's models/clip_vision.")
    own = path / "open_clip_config.json"
    if own.is_file() and (any(path.glob("open_clip*model*")) or not (path / "config.json").is_file()):
        _check_open_clip_folder(path, own)
        return lambda: _load_open_clip(f"local-dir:{path}", None), "open_clip folder"
    return _transformers_loader(path)


def _check_open_clip_folder(path: Path, config_file: Path) -> None:
    clip_architecture.configs()
    config = _json(config_file).get("model_cfg", {})
    weights = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin")) + sorted(path.glob("*.pth"))
    if not weights:
        raise VerifierError(f"Folder {path.name} has no weights: add its open_clip_model.safetensors.")
    shapes(weights[0])
    text = config.get("text_cfg", {})
    if "hf_model_name" in text:
        raise VerifierError(
            f"Folder {path.name} needs the text model {text['hf_model_name']} from elsewhere: "
            "choose a CLIP whose folder holds everything."
        )
    if "hf_tokenizer_name" in text and not any(path.glob("*token*")):
        raise VerifierError(f"Folder {path.name} has no tokenizer: add its tokenizer.json and its config.")


def _load_open_clip(model: str, weights: str | None) -> Parts:
    """`model` is an architecture with its weights file, or "local-dir:" and a folder."""
    import open_clip

    module = open_clip.create_model(model, pretrained=weights, weights_only=True, require_pretrained=True)
    config = open_clip.transform.PreprocessCfg(**module.visual.preprocess_cfg)
    preprocess = open_clip.transform.image_transform_v2(config, is_train=False)
    tokenizer = open_clip.get_tokenizer(model)
    inner = getattr(tokenizer, "tokenizer", None)
    return Parts(
        module=module,
        pixels=lambda images: torch.stack([preprocess(image) for image in images]),
        tokens=lambda texts: {"text": tokenizer(texts)},
        image=module.encode_image,
        text=lambda tokens: module.encode_text(tokens["text"]),
        length=lambda text: len(inner(text).input_ids) if inner else len(tokenizer.encode(text)) + 2,
        context=tokenizer.context_length,
    )


def read_config(path: Path) -> dict:
    """A folder's config.json, as transformers writes it; empty where there is none."""
    return _json(path / "config.json") if (path / "config.json").is_file() else {}


def _transformers_loader(path: Path) -> tuple[Callable[[], Parts], str]:
    kind = read_config(path).get("model_type")
    if kind not in TRANSFORMERS_TYPES:
        raise VerifierError(
            f"Folder {path.name} is no CLIP model: it needs open_clip's open_clip_config.json, or a "
            f"config.json whose model_type is {' or '.join(TRANSFORMERS_TYPES)}."
        )
    if importlib.util.find_spec("transformers") is None:
        raise VerifierError(f"Folder {path.name} is a transformers model and needs: pip install transformers")
    needed = {
        ".safetensors weights": "*.safetensors",
        "its preprocessor_config.json": "*processor_config.json",
        "its tokenizer files": "*token*",
    }
    for what, pattern in needed.items():
        if not any(path.glob(pattern)):
            raise VerifierError(f"Folder {path.name} lacks {what}: add them from the model's page.")
    return lambda: _load_transformers(path, kind), f"transformers {kind}"


def _load_transformers(path: Path, kind: str) -> Parts:
    import transformers

    local = {"local_files_only": True, "trust_remote_code": False}
    module = transformers.AutoModel.from_pretrained(str(path), use_safetensors=True, **local).float()
    processor = pil_processor(path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(path), **local)
    context = module.config.text_config.max_position_embeddings
    # SigLIP was trained on texts padded to the full context, without a mask.
    siglip = kind.startswith("siglip")
    padding = "max_length" if siglip else True
    taken = ["input_ids"] if siglip else ["input_ids", "attention_mask"]
    # And on lower case, which SigLIP's tokenizer sees to and SigLIP 2's, in many versions, does not.
    cased = str.lower if siglip else str

    def tokens(texts):
        texts = [cased(text) for text in texts]
        out = tokenizer(texts, padding=padding, truncation=True, max_length=context, return_tensors="pt")
        return {name: out[name] for name in taken}

    def pixels(images):
        ready = processor(images=images, return_tensors="pt")
        return ready if kind == "siglip2" else ready["pixel_values"]  # NaFlex has masks and shapes beside them

    def image(pixels):
        given = {"pixel_values": pixels} if isinstance(pixels, torch.Tensor) else pixels
        return _pooled(module.get_image_features(**given))

    return Parts(
        module=module,
        pixels=pixels,
        tokens=tokens,
        image=image,
        text=lambda ids: _pooled(module.get_text_features(**ids)),
        length=lambda text: len(tokenizer(cased(text)).input_ids),
        context=context,
    )


def pil_processor(path: Path):
    """The folder's image processor, in the PIL pipeline, which the models were trained and published with."""
    import transformers

    five = int(transformers.__version__.split(".")[0]) >= 5
    pil = {"backend": "pil"} if five else {"use_fast": False}
    return transformers.AutoImageProcessor.from_pretrained(
        str(path), local_files_only=True, trust_remote_code=False, **pil
    )


def _pooled(features) -> torch.Tensor:
    """The embedding: itself in transformers 4, inside an output object in 5."""
    return features if isinstance(features, torch.Tensor) else features.pooler_output


def _json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as cause:
        raise VerifierError(f"{path.parent.name}/{path.name} is not JSON: get the file again.") from cause
    return found if isinstance(found, dict) else {}
