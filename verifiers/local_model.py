"""A vision-language model of transformers on disk, asked about images in this process."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

import torch
from PIL import Image

from .answer import LIKELIEST, LONGEST, Answer, NotUnderstood, T, not_understood, question_again, shown
from .clip_model import read_config
from .verifier import VerifierError
from .weights import fingerprint

YES_NO = ("yes", "no")
_ROWS = 8192  # of the vocabulary, turned to float32 at once
_open = WeakValueDictionary()


class LocalModel:
    """One image-text-to-text model (SmolVLM, Qwen-VL, LLaVA ...), loaded when first used; see `answer.Answering`.

        model = LocalModel("models/noise_search/SmolVLM-Instruct")
        answers = model.ask(images, [["What is it?"]] * len(images), lambda answer: answer.text)

    path      a folder in transformers' layout: config, .safetensors weights, processor, tokenizer, chat template
    dtype     of the weights; the probabilities are computed in float32 all the same
    side      longer side of the images shown, in pixels
    at_once   questions answered together; halved when memory does not suffice
    between   called often; what it raises ends the asking (a host's cancel)
    `Answer.first` holds P(yes) and P(no) of the first token over the whole vocabulary, in whatever spelling.
    Raises VerifierError at once when a file or a package is missing.
    Source: Lin et al. 2024, "Evaluating Text-to-Visual Generation with Image-to-Text Generation" (VQAScore).
    """

    def __init__(
        self,
        path: Path | str,
        dtype: torch.dtype = torch.float32,
        side: int = 768,
        at_once: int = 4,
        between: Callable[[], None] = lambda: None,
    ):
        self.loaded = _loaded(Path(path), dtype)
        self.side, self.at_once, self.between = side, at_once, between
        self.key = f"{self.loaded.key}|{side}"

    def modules(self) -> Sequence[torch.nn.Module]:
        return [self.loaded.module]

    def ask(
        self,
        images: torch.Tensor,
        questions: Sequence[Sequence[str]],
        read: Callable[[Answer], T],
        probabilities: bool = False,
    ) -> list[list[T]]:
        pictures = shown(images, self.side)
        asked = [(picture, question) for picture, its in zip(pictures, questions, strict=True) for question in its]
        answers = iter(self._understood(asked, read, probabilities))
        return [[next(answers) for _ in its] for its in questions]

    def _understood(self, asked: list[tuple[Image.Image, str]], read: Callable[[Answer], T], first: bool) -> list[T]:
        found, again = [], {}
        for place, answer in enumerate(self._answers(asked, first)):
            try:
                found.append(read(answer))
            except NotUnderstood as why:
                picture, question = asked[place]
                again[place] = picture, question_again(question, why)
                found.append(None)
        for place, answer in zip(again, self._answers(list(again.values()), first)):
            try:
                found[place] = read(answer)
            except NotUnderstood as why:
                raise VerifierError(not_understood(self.loaded.path.name, why, answer)) from why
        return found

    def _answers(self, asked: list[tuple[Image.Image, str]], first: bool) -> list[Answer]:
        done: list[Answer] = []
        while len(done) < len(asked):
            self.between()
            batch = asked[len(done) : len(done) + self.at_once]
            try:
                done += self.loaded.answers(batch, first, self.between)
                continue
            except torch.cuda.OutOfMemoryError:
                if len(batch) == 1:
                    raise
            # Outside the except block, where the exception no longer holds the batch's tensors.
            self.at_once = len(batch) // 2
        return done


class _Loaded:
    """The model and its processor, shared by all who ask it."""

    def __init__(self, path: Path, dtype: torch.dtype):
        self.path, self.dtype = path, dtype
        _check(path)
        self.key = f"{fingerprint(path)}|{str(dtype).removeprefix('torch.')}"

    @cached_property
    def module(self) -> torch.nn.Module:
        import transformers

        five = int(transformers.__version__.split(".")[0]) >= 5
        settings = {"dtype" if five else "torch_dtype": self.dtype, "use_safetensors": True, **_LOCAL}
        try:
            # The host runs nodes in inference mode; weights made there could not be moved outside it.
            with torch.inference_mode(False):
                module = transformers.AutoModelForImageTextToText.from_pretrained(str(self.path), **settings)
        except Exception as cause:
            raise VerifierError(f"{self.path.name} could not be loaded as a vision-language model: {cause}") from cause
        # Nothing of the folder's own sampling: the likeliest answer, as temperature 0 gives it.
        ends = module.generation_config.eos_token_id
        padding = self.processor.tokenizer.pad_token_id
        module.generation_config = transformers.GenerationConfig(eos_token_id=ends, pad_token_id=padding)
        return module.eval().requires_grad_(False)

    @cached_property
    def processor(self):
        import transformers

        try:
            processor = transformers.AutoProcessor.from_pretrained(str(self.path), **_LOCAL)
        except Exception as cause:
            raise VerifierError(f"{self.path.name}'s processor could not be loaded: {cause}") from cause
        processor.tokenizer.padding_side = "left"  # so that every answer begins where its row ends
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        return processor

    @cached_property
    def _spellings(self) -> dict[str, list[int]]:
        """The tokens that read yes, and those that read no: with a space before, in capitals ..."""
        found = {word: [] for word in YES_NO}
        tokenizer = self.processor.tokenizer
        for token, number in tokenizer.get_vocab().items():
            if len(token) <= 8 and any(word in token.casefold() for word in YES_NO):
                word = tokenizer.decode([number]).strip().casefold()
                if word in found:
                    found[word].append(number)
        return found

    def answers(self, asked: Sequence[tuple[Image.Image, str]], first: bool, between) -> list[Answer]:
        """One batch; with `first`, no more than the first token of each."""
        texts = self.processor.apply_chat_template(
            [[_turn(question)] for _, question in asked], add_generation_prompt=True, tokenize=False
        )
        begin = self.processor.tokenizer.bos_token
        once = {"add_special_tokens": False} if begin and texts[0].startswith(begin) else {}
        inputs = self.processor(
            text=texts, images=[[picture] for picture, _ in asked], padding=True, return_tensors="pt", **once
        ).to(self.module.device, self.dtype)

        def stop(ids: torch.Tensor, scores, **_) -> torch.Tensor:
            between()
            return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)

        head = self.module.get_output_embeddings()
        exact = [head.register_forward_hook(_in_float32)] if first else []
        try:
            out = self.module.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=1 if first else LONGEST,
                output_logits=first,
                return_dict_in_generate=True,
                stopping_criteria=[stop],
            )
        finally:
            for hook in exact:
                hook.remove()
        said = out.sequences[:, inputs["input_ids"].shape[1] :]
        texts = self.processor.tokenizer.batch_decode(said, skip_special_tokens=True)
        chances = [self._first(row) for row in out.logits[0].float().softmax(-1)] if first else [{}] * len(texts)
        return [Answer(text, chance) for text, chance in zip(texts, chances)]

    def _first(self, chances: torch.Tensor) -> dict[str, float]:
        """From the probabilities of all tokens [V]: P(yes) and P(no), or, where neither is likely, what is."""
        likeliest = chances.topk(min(LIKELIEST, len(chances)))
        of_either = {number for numbers in self._spellings.values() for number in numbers}
        if of_either.isdisjoint(likeliest.indices.tolist()):
            words = [self.processor.tokenizer.decode([number]) for number in likeliest.indices.tolist()]
            return dict(zip(words, likeliest.values.tolist()))
        return {word: chances[numbers].sum().item() for word, numbers in self._spellings.items()}


_LOCAL = {"local_files_only": True, "trust_remote_code": False}


def _turn(question: str) -> dict:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}


def _in_float32(head: torch.nn.Linear, inputs: tuple[torch.Tensor], logits: torch.Tensor) -> torch.Tensor:
    """The same logits in float32: those of 16 bit are so coarse that images tie."""
    if logits.dtype == torch.float32:
        return logits
    hidden = inputs[0].float()
    exact = torch.cat([hidden @ rows.float().T for rows in head.weight.split(_ROWS)], -1)
    return exact if head.bias is None else exact + head.bias.float()


def _loaded(path: Path, dtype: torch.dtype) -> _Loaded:
    """The model at this path; the same object while anyone holds it and the files do not change."""
    loaded = _Loaded(path, dtype)
    return _open.setdefault((path.resolve(), loaded.key), loaded)


def answers_about_images(config: dict) -> bool:
    """Whether a config.json is that of a model that takes images and text and writes text."""
    named = any(str(name).endswith("ForConditionalGeneration") for name in config.get("architectures") or [])
    return named and "vision_config" in config


def _check(path: Path) -> None:
    if importlib.util.find_spec("transformers") is None:
        raise VerifierError(f"Folder {path.name} is a transformers model and needs: pip install transformers")
    version = importlib.metadata.version("transformers")
    if tuple(map(int, version.split(".")[:2])) < (4, 49):
        raise VerifierError(
            f"A local judge needs transformers 4.49 or newer, and {version} is installed: pip install -U transformers"
        )
    needed = {
        "its config.json": "config.json",
        ".safetensors weights": "*.safetensors",
        "its processor's files": "*processor_config.json",
        "its tokenizer files": "token*",
    }
    for what, pattern in needed.items():
        if not any(path.glob(pattern)):
            raise VerifierError(f"Folder {path.name} lacks {what}: add them from the model's page.")
    if not answers_about_images(read_config(path)):
        raise VerifierError(f"{path.name} is no vision-language model: choose one such as SmolVLM or Qwen2-VL.")
    written = [path / "tokenizer_config.json", path / "processor_config.json"]
    if not any(path.glob("chat_template*")) and not any(
        file.is_file() and '"chat_template"' in file.read_text(encoding="utf-8") for file in written
    ):
        raise VerifierError(f"Folder {path.name} has no chat template: choose the instruction-tuned model.")
