"""Scoring inside ComfyUI: verifier models under its memory management, batches that fit."""

from collections.abc import Mapping, Sequence

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher

from ...verifiers import Measure, Verifier
from ...verifiers.verifier import raw_rows, read_by, run

LARGEST_BATCH = 64
"""Images scored between two looks at whether the user cancelled."""


def score(
    verifier: Verifier,
    images: torch.Tensor | None,
    prompts: Sequence[str],
    latents: torch.Tensor | None = None,
    earlier: Mapping[float, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Raw rows [n, m + tails] float32 on the CPU, for images [n, H, W, 3] in 0-1 and one prompt for each.

    latents  [n, ...], for measures that read latents; `images` may be None when all of them do
    earlier  noise level -> images of x̂0 there, for measures that read pairs
    NaN stands where there is no number. Raises VerifierError, naming the verifier, when one fails, and
    ComfyUI's own exceptions for cancelling and for memory that does not suffice for a single image.
    """
    columns = {}
    for measure in verifier.measures:
        if measure.key not in columns:
            columns[measure.key] = _column(measure, read_by(measure, images, latents, earlier), prompts)
    return raw_rows([columns[measure.key] for measure in verifier.measures])


def _column(measure: Measure, inputs: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
    """[n, 1 + tail]: the measure over all inputs, in batches that are halved when memory runs out, never below one."""
    device = mm.get_torch_device()
    size = _place(measure, inputs, device)
    done = []
    start = 0
    while start < len(inputs):
        mm.throw_exception_if_processing_interrupted()
        batch = slice(start, start + size)
        try:
            done.append(run(measure, inputs[batch], prompts[batch], device, let_through=_OURS_TO_HANDLE))
            start += size
            continue
        except mm.OOM_EXCEPTION:
            if size == 1:
                raise
        # Outside the except block, where the exception no longer holds the batch's tensors.
        size //= 2
        mm.soft_empty_cache()
    return torch.cat(done) if done else torch.empty(0, 1 + getattr(measure, "tail", 0))


_OURS_TO_HANDLE = (mm.InterruptProcessingException, mm.OOM_EXCEPTION)


def _place(measure: Measure, inputs: torch.Tensor, device: torch.device) -> int:
    """Load the measure's modules onto the device; how many inputs to try at once."""
    each = _memory_each(inputs)
    wanted = max(1, min(len(inputs), LARGEST_BATCH))
    load(measure.modules(), device, each * wanted)
    return max(1, min(wanted, int(mm.get_free_memory(device) // each)))


def load(modules: Sequence[torch.nn.Module], device: torch.device, memory: int = 0) -> None:
    """Put modules on the device under ComfyUI's memory management, with so many bytes left to compute in."""
    if models := patchers(modules, device):
        # Whole: these modules are not ComfyUI's own and cannot compute with weights left behind.
        mm.load_models_gpu(models, memory_required=memory, force_full_load=True)


def _memory_each(inputs: torch.Tensor) -> int:
    """Bytes that one input may need: a few copies in double, and the activations of a large ViT."""
    return inputs[:1].nelement() * 8 * 4 + 64 * 1024**2


def patchers(modules: Sequence[torch.nn.Module], device: torch.device) -> list[ModelPatcher]:
    """What ComfyUI loads onto the device, and unloads."""
    return [_patcher(module, device) for module in modules]


def fit(models: Sequence[ModelPatcher]) -> bool:
    """Whether all are loaded, or can be beside everything that is."""
    missing = sum(model.model_size() - model.loaded_size() for model in models)
    return missing == 0 or mm.get_free_memory() > 1.1 * missing + mm.minimum_inference_memory()


def precision(half: bool) -> torch.dtype:
    """What a large model's weights are loaded in: with `half` 16 bit, where the device computes in it."""
    device = mm.get_torch_device()
    if half and mm.should_use_bf16(device):
        return torch.bfloat16
    return torch.float16 if half and mm.should_use_fp16(device) else torch.float32


class VerifierModel(torch.nn.Module):
    """A module with the `device` attribute that ModelPatcher sets; transformers' own is read-only."""

    device = None

    def __init__(self, module: torch.nn.Module):
        super().__init__()
        self.module = module


def _patcher(module: torch.nn.Module, device: torch.device) -> ModelPatcher:
    """The module's one patcher, kept on the module so that it lives as long and is never made twice."""
    patcher = vars(module).get("_noise_search_patcher")
    if patcher is None:
        patcher = ModelPatcher(VerifierModel(module), device, mm.text_encoder_offload_device())
        vars(module)["_noise_search_patcher"] = patcher
    return patcher
