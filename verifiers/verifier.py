"""What is better: what to measure on an image, and the rule that orders the measured.

    verifier = Verifier.of(ImageStatistic("sharpness"))
    rows = verifier.measure(images, prompts)        # [n, m] raw numbers, one column a measure
    values = verifier.rule(rows)                    # [n], higher is better

Raw numbers are pointwise: they depend on one image and its prompt. The rule sees the raw rows of every
candidate so far, because some rules (ranks, z-scores, sets) only mean something over the whole archive.

A rule over sets needs more of an image than a number: its features. They are a measure's `tail`, and stand
in the raw row behind the numbers of all measures: [n, m + tails]. Nobody but the rule looks at them, and
rows of images that are not finished have NaN there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


class VerifierError(RuntimeError):
    """A verifier cannot give its numbers. The message names the verifier, the cause and the remedy."""


class Measure(Protocol):
    """One number per image.

    `name` heads the column in reports. `reads` is "images", "latents" or "pairs" (see `read_by`); a measure of
    pairs has a noise `level`, 0 to 1. `sign` is +1 where a higher number
    is better, -1 where a lower one is. `key` is a short text that changes when the numbers would: model,
    weights, settings. `notes` are sentences for the user, one for each thing worth knowing about the last
    scorings (a prompt that was cut, a guessed architecture), without repeats. A measure with features for a
    rule over sets says how many as `tail`. A measure that means nothing
    without a prompt also carries `needs_prompt = True`; one that cannot read every prompt has
    `check_prompt(prompt)`, which raises VerifierError.
    """

    name: str
    key: str
    reads: str
    sign: int
    notes: list[str]

    def modules(self) -> Sequence[torch.nn.Module]:
        """The torch modules it runs, so that a host can place them. Loads them when first called."""

    def measure(self, images: torch.Tensor, prompts: Sequence[str], device: torch.device) -> torch.Tensor:
        """[n] numbers, for images [n, H, W, 3] in 0-1 (or what else it reads) and one prompt for each;
        [n, 1 + tail] where there is a tail.

        The modules are on `device` when this is called.
        """


Rule = Callable[[torch.Tensor], torch.Tensor]
"""Raw rows [n, m + tails] of a whole archive to values [n], higher is better. NaN where a row has no value."""


def read_by(
    measure: Measure,
    images: torch.Tensor | None,
    latents: torch.Tensor | None = None,
    earlier: Mapping[float, torch.Tensor] | None = None,
) -> torch.Tensor:
    """What the measure is handed of n samples.

    images   [n, H, W, 3] in 0-1
    latents  [n, ...]
    earlier  noise level -> [n, H, W, 3]: x̂0, what the sampler then took the finished image to be
    For "pairs", [n, 2, H, W, 3]: x̂0 at the measure's noise level, and the image. Raises VerifierError, naming
    the measure, where there is no such thing.
    """
    if measure.reads == "latents":
        if latents is None:
            raise VerifierError(f"{measure.name} reads latents: score them in a search.")
        return latents
    if images is None:
        raise VerifierError(f"{measure.name} reads images: connect a VAE.")
    if measure.reads == "images":
        return images
    if measure.level not in (earlier or {}):
        raise VerifierError(f"{measure.name} compares the image with what it was on the way: score it in a search.")
    return torch.stack([earlier[measure.level], images], dim=1)


def run(
    measure: Measure,
    images: torch.Tensor,
    prompts: Sequence[str],
    device: torch.device,
    let_through: tuple[type[BaseException], ...] = (),
) -> torch.Tensor:
    """One measure: [n, 1 + tail] float32 on the CPU, NaN in all of a row where there is no number.

    An image with a pixel that is not finite has no number, whatever the model would say of it; neither has
    one for which the model gives NaN or infinity. Raises VerifierError, naming the measure, when the measure
    fails. Running out of memory passes as it is, so that the caller can try a smaller batch, and so do the
    exceptions in `let_through` (a host's cancel).
    """
    if len(prompts) != len(images):
        raise VerifierError(f"{measure.name} got {len(images)} images and {len(prompts)} prompts.")
    column = torch.full((len(images), 1 + getattr(measure, "tail", 0)), torch.nan)
    sound = torch.isfinite(images).flatten(1).all(1).cpu()
    if not sound.any():
        return column
    rows = sound.nonzero()[:, 0].tolist()
    given = images if sound.all() else images[rows]
    try:
        with torch.no_grad():
            numbers = measure.measure(given, [prompts[i] for i in rows], device)
            numbers = numbers.detach().float().cpu().reshape(len(numbers), -1)
    except (VerifierError, torch.cuda.OutOfMemoryError, *let_through):
        raise
    except Exception as cause:
        raise VerifierError(f"{measure.name} failed: {type(cause).__name__}: {cause}") from cause
    if numbers.shape != column[rows].shape:
        raise VerifierError(f"{measure.name} gave shape {list(numbers.shape)} for {len(rows)} images.")
    column[rows] = torch.where(torch.isfinite(numbers).all(1, keepdim=True), numbers, torch.nan)
    return column


def raw_rows(columns: Sequence[torch.Tensor]) -> torch.Tensor:
    """[n, m + tails]: what `run` gave for each of m measures, side by side, the tails behind all numbers."""
    return torch.cat([*(c[:, :1] for c in columns), *(c[:, 1:] for c in columns)], dim=1)


@dataclass(frozen=True)
class Verifier:
    """Measures and the rule over their columns.

    measures   one per column of a raw row
    rule       raw rows [n, m + tails] -> values [n]. Of finished rows, one that is at least as good as another in
               every searched number never has the lower value, so what is dominated can be dropped; a rule
               over sets need only put the best number first.
    searched   for each column, whether the rule reads it (a watched column is only reported)
    relative   whether a value depends on the other rows (ranks, z-scores); a target score then has no meaning
    key        changes when the rows or the values would
    """

    measures: tuple[Measure, ...]
    rule: Rule
    searched: tuple[bool, ...]
    relative: bool
    key: str

    @staticmethod
    def of(measure: Measure) -> Verifier:
        """The verifier that orders by one measure."""
        return Verifier((measure,), lambda rows: rows[:, 0] * measure.sign, (True,), False, measure.key)

    @property
    def in_need_of_a_prompt(self) -> list[str]:
        """Names of the measures that mean nothing without one."""
        return [name for name, m in zip(self.names, self.measures) if getattr(m, "needs_prompt", False)]

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raises VerifierError where a measure cannot read a prompt, before any image is made for it."""
        for m in self.measures:
            for prompt in dict.fromkeys(prompts) if hasattr(m, "check_prompt") else ():
                m.check_prompt(prompt)

    @property
    def names(self) -> list[str]:
        """Column heads; equal names get a number, so that every column can be told apart."""
        names = [m.name for m in self.measures]
        return [n if names.count(n) == 1 else f"{n} {names[: i + 1].count(n)}" for i, n in enumerate(names)]

    @property
    def notes(self) -> list[str]:
        """What the measures want the user to know, without repeats."""
        return list(dict.fromkeys(note for m in self.measures for note in m.notes))

    @property
    def tail(self) -> int:
        """How many numbers of a raw row stand behind those of the measures."""
        return sum(getattr(m, "tail", 0) for m in self.measures)

    @property
    def levels(self) -> tuple[float, ...]:
        """Noise levels (0-1) at which measures want to see x̂0."""
        return tuple(sorted({m.level for m in self.measures if m.reads == "pairs"}))

    def measure(
        self,
        images: torch.Tensor,
        prompts: Sequence[str],
        device: torch.device | str = "cpu",
        earlier: Mapping[float, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Raw rows [n, m + tails] float32 on the CPU, for images [n, H, W, 3] in 0-1 and one prompt for each.

        earlier  for each of `levels` the images of x̂0 there (see `read_by`)
        Moves the modules to `device` and leaves them there. A host that manages memory places the modules
        itself and calls `run` for each measure.
        """
        device = torch.device(device)
        for m in self.measures:
            for module in m.modules():
                module.to(device)
        inputs = (read_by(m, images, earlier=earlier) for m in self.measures)
        return raw_rows([run(m, i, prompts, device) for m, i in zip(self.measures, inputs)])
