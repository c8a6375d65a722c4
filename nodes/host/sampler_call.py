"""One call of a sampler node: what it was given, and how several candidates can share it."""

from __future__ import annotations

import comfy.model_management
import comfy.sampler_helpers
import comfy.utils
import torch

from ...search import SearchError
from ...search.run import GENERATION


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on the GPU or on the CPU."""
    kinds = (comfy.model_management.OOM_EXCEPTION, MemoryError)
    if isinstance(error, tuple(kind for kind in kinds if kind is not Exception)):  # which old torch has for the first
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


class SamplerCall:
    """One call of a sampler node, as the OUTER_SAMPLE wrapper sees it."""

    def __init__(self, executor, noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed):
        self.executor, self.noise, self.latent_image, self.sampler = executor, noise, latent_image, sampler
        self.sigmas, self.callback, self.disable_pbar, self.seed = sigmas, callback, disable_pbar, seed
        self.guider = executor.class_obj
        self.rows = noise.shape[0]
        self.denoise_mask = _one_mask_a_row(denoise_mask, noise.shape)
        self.conds = {
            name: [_one_prompt_a_row(c, self.rows) for c in conds] for name, conds in self.guider.conds.items()
        }

    def run(self, noise: torch.Tensor, copies: int, sampler, callback, seed: int) -> torch.Tensor:
        """Call the sampler on `copies` candidates at once, candidate-major."""
        self.guider.conds = {name: [c.copy() for c in conds] for name, conds in self.conds.items()}
        mask = self.denoise_mask if self.denoise_mask is None else repeat(self.denoise_mask, copies)
        latent_image, sigmas = repeat(self.latent_image, copies), self.sigmas.clone()  # uni_pc writes into them
        try:
            return self.executor(noise, latent_image, sampler, sigmas, mask, callback, True, seed)
        except RuntimeError as error:
            wanted, given = self.guider.model_patcher.get_model_object("latent_format").latent_channels, noise.shape[1]
            if wanted == given or out_of_memory(error):
                raise
            raise SearchError(
                f"The latent has {given} channels and this model draws latents of {wanted}: give the sampler an empty "
                "latent, or an image encoded by the model's own VAE."
            ) from error


def repeat(rows: torch.Tensor, copies: int) -> torch.Tensor:
    return rows.repeat(copies, *[1] * (rows.ndim - 1))


def _one_mask_a_row(mask, shape):
    """ComfyUI tiles masks over the batch; one for each row keeps that right for any number of candidates."""
    if mask is None:
        return None
    if len(shape) == 4:
        mask = mask.reshape((-1, 1, *mask.shape[-2:]))
    elif len(shape) == 5 and mask.ndim < 5:  # one mask a frame
        mask = mask.reshape((1, 1, -1, *mask.shape[-2:]))
    return comfy.utils.repeat_to_batch_size(mask, shape[0])


def _one_prompt_a_row(cond: dict, rows: int) -> dict:
    cond = cond.copy()
    for name in ("cross_attn", "pooled_output"):
        value = cond.get(name)
        if isinstance(value, torch.Tensor) and value.shape[0] not in (1, rows):
            cond[name] = comfy.utils.repeat_to_batch_size(value, rows)
    return cond


def shares_calls(call: SamplerCall) -> bool:
    """Whether candidates come out of one call as they would of one each."""
    return not draws_from_seed(call) and _tiles(call)


def draws_from_seed(call: SamplerCall) -> bool:
    """Whether something besides the initial noise is drawn from the sampling seed: each candidate then comes
    with its own seed, in its own call."""
    model = call.guider.model_patcher.model
    conditioning = getattr(model, "noise_augmentor", None) is not None
    masked = call.denoise_mask is not None and call.sampler.inpaint_options.get("random", False)
    return conditioning or masked or type(model).__name__ == "HunyuanImage21Refiner"


def _tiles(call: SamplerCall) -> bool:
    """Whether ComfyUI repeats everything in the conditioning in the order of the rows, so that several
    candidates may share a call."""
    if type(call.guider.model_patcher.model).__name__ in ("SVD_img2vid", "SV3D_u", "SV3D_p"):
        return False  # the rows of their batch are one video's frames

    def fits(name: str, value: object) -> bool:
        if isinstance(value, (list, tuple)):
            return all(fits(name, one) for one in value)
        if name == "control":
            return value is None or (fits("", value.cond_hint_original) and fits(name, value.previous_controlnet))
        stretched = name in ("concat_latent_image", "concat_mask")  # to the batch, rather than repeated
        return not isinstance(value, torch.Tensor) or value.shape[:1] in ((), (1,), (1 if stretched else call.rows,))

    own = ("cross_attn", "pooled_output")  # one for each row by now
    return all(
        fits(name, value)
        for conds in call.conds.values()
        for cond in conds
        for name, value in cond.items()
        if name not in own
    )


def fitting_batch(call: SamplerCall) -> int:
    """Candidates that can share a call with the model staying fully loaded, 1 to GENERATION."""
    patcher, device = call.guider.model_patcher, call.guider.model_patcher.load_device
    listed = comfy.model_management.current_loaded_models  # some of them may be gone: ComfyUI sweeps later
    loaded = [m for m in listed if m.device == device and m.model is not None]
    room = comfy.model_management.get_free_memory(device) + sum(m.model_loaded_memory() for m in loaded)
    room -= patcher.model_size() + comfy.model_management.minimum_inference_memory()
    conds = {name: [dict(c) for c in conds] for name, conds in call.conds.items()}
    for copies in range(GENERATION, 1, -1):
        shape = [copies * call.rows, *call.noise.shape[1:]]
        needed, _ = comfy.sampler_helpers.estimate_memory(patcher, shape, conds)
        if needed <= room:
            return copies
    return 1
