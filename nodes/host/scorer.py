"""Latents to raw rows: decode with the user's VAE, score with the verifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher

from ...search import SearchError
from ...verifiers.verifier import Verifier
from .scoring import fit, patchers, score

MIN, MEAN = "minimum", "mean"
THUMBNAIL = 256


def needs_images(verifier: Verifier) -> bool:
    return any(measure.reads != "latents" for measure in verifier.measures)


def decode(vae, latents: torch.Tensor) -> torch.Tensor:
    """[n, H, W, 3] in 0-1, or [n, T, H, W, 3] for video latents."""
    if latents.ndim == 5 and getattr(vae, "latent_dim", 2) == 2:  # an image VAE reads frames one by one
        frames = latents.movedim(2, 1)
        images = decode(vae, frames.flatten(0, 1))
        return images.reshape(*frames.shape[:2], *images.shape[1:])
    if latents.ndim == 5:
        return torch.cat([_decode_video(vae, video) for video in latents.split(1)])
    return vae.decode(latents).clamp(0, 1)[..., :3]


def _decode_video(vae, latents: torch.Tensor) -> torch.Tensor:
    """One video [1, C, T, H, W]; in temporal tiles where it does not fit at once."""
    needed = vae.memory_used_decode(latents.shape, vae.vae_dtype)
    if needed > comfy.model_management.get_free_memory(vae.device):
        images = vae.decode_tiled(latents, tile_t=8, overlap_t=2)
    else:
        images = vae.decode(latents)
    images = images.clamp(0, 1)[..., :3]
    return images if images.ndim == 5 else images.unsqueeze(0)


def even_frames(images: torch.Tensor, count: int) -> torch.Tensor:
    """[n, count, H, W, 3] evenly spaced frames of [n, T, H, W, 3], the first and the last among them."""
    total = images.shape[1]
    if total <= count:
        return images
    places = torch.linspace(0, total - 1, count).round().long() if count > 1 else torch.tensor([total // 2])
    return images[:, places]


class Scorer:
    """Scores latents [n·B, ...], candidate-major, against one prompt for each of the B rows.

    frames       video: frames scored of each, evenly spaced
    over_frames  video: "mean" of the frames' numbers, or "minimum" (the worst frame)
    remind       called before each scoring, for measures that must be told of earlier candidates

    `thumbnails` holds a small picture [h, w, 3] of each candidate scored since it was last emptied, by (lane,
    recipe id).
    """

    def __init__(
        self,
        verifier: Verifier,
        vae,
        prompts: Sequence[str],
        frames: int = 8,
        over_frames: str = MEAN,
        remind: Callable[[], None] = lambda: None,
    ):
        if vae is None and needs_images(verifier):
            names = ", ".join(n for n, m in zip(verifier.names, verifier.measures) if m.reads != "latents")
            raise SearchError(f"The verifier {names} looks at images: connect a VAE to the search block's vae input.")
        self.verifier, self.vae, self.prompts = verifier, vae, list(prompts)
        self.frames, self.over_frames, self._remind = frames, over_frames, remind
        self.thumbnails: dict[tuple[int, str], torch.Tensor] = {}

    def models(self) -> list[ModelPatcher]:
        """The VAE and the verifiers, as ComfyUI loads them."""
        modules = [module for measure in self.verifier.measures for module in measure.modules()]
        vae = getattr(self.vae, "patcher", None)  # which another pack's may lack
        return [*([vae] if vae else []), *patchers(modules, comfy.model_management.get_torch_device())]

    def fits(self) -> bool:
        """Whether candidates may be scored as they come: the models are loaded, or can be without driving another
        out, and no person is asked, who had better see a whole generation at once."""
        return fit(self.models()) and not any(getattr(measure, "asks", False) for measure in self.verifier.measures)

    def __call__(
        self,
        latents: torch.Tensor,
        places: Sequence[tuple[int, str]],
        glimpses: Mapping[float, torch.Tensor],
        finished: Sequence[bool] = (),
    ) -> torch.Tensor:
        """[n·B, m + tails] raw rows; NaN in every column for a latent that is not finite.

        glimpses  for each of the verifier's noise levels the latents [n·B, ...] of x̂0 there
        finished  which rows are finished images; to this scorer all are alike (see `fidelity.py`)
        """
        rows = latents.shape[0]
        prompts = [self.prompts[k % len(self.prompts)] for k in range(rows)]
        sound = torch.isfinite(latents.flatten(1)).all(1)
        numbers = torch.full((rows, len(self.verifier.measures) + self.verifier.tail), torch.nan)
        if sound.any():
            kept = [prompt for prompt, ok in zip(prompts, sound) if ok]
            seen = {level: x0[sound] for level, x0 in glimpses.items()}
            numbers[sound] = self._numbers(latents[sound], kept, [p for p, ok in zip(places, sound) if ok], seen)
        return numbers

    def _numbers(self, latents: torch.Tensor, prompts: Sequence[str], places, glimpses) -> torch.Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._remind()
        if self.vae is None:
            return score(self.verifier, None, prompts, latents=latents)
        images = self._frames(latents)
        self.thumbnails |= {place: _thumbnail(image[0]) for place, image in zip(places, images)}
        count = images.shape[1]
        frame_prompts = [prompt for prompt in prompts for _ in range(count)]
        copies = latents.repeat_interleave(count, 0) if count > 1 else latents
        earlier = {level: self._frames(x0).flatten(0, 1) for level, x0 in glimpses.items()}
        numbers = score(self.verifier, images.flatten(0, 1), frame_prompts, copies, earlier)
        return self._over_frames(numbers.reshape(len(latents), count, -1))

    def _frames(self, latents: torch.Tensor) -> torch.Tensor:
        """[n, frames, H, W, 3]; of videos, one at a time, only the chosen frames are held."""
        if latents.ndim < 5:
            return decode(self.vae, latents).unsqueeze(1)
        return torch.cat([even_frames(decode(self.vae, video), self.frames) for video in latents.split(1)])

    def _over_frames(self, numbers: torch.Tensor) -> torch.Tensor:
        if self.over_frames == MEAN:
            return numbers.mean(1)
        signs = torch.tensor([measure.sign for measure in self.verifier.measures])
        worst = (numbers[..., : len(signs)] * signs).min(1).values * signs
        return torch.cat([worst, numbers[..., len(signs) :].mean(1)], dim=1)


def _thumbnail(image: torch.Tensor) -> torch.Tensor:
    """The image itself where it is small."""
    scale = min(1.0, THUMBNAIL / max(image.shape[:2]))
    if scale == 1.0:
        return image.cpu().clone()
    small = torch.nn.functional.interpolate(image.movedim(-1, 0)[None], scale_factor=scale, mode="area")
    return small[0].movedim(0, -1).cpu()
