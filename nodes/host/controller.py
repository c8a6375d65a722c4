"""A whole search inside one sampler call, as a wrapper on the MODEL or on a GUIDER.

The wrapper is a plain function over shared state: ComfyUI deep-copies callable objects with every later MODEL
node (LoRA, ModelSampling), and shares functions.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import comfy.patcher_extension
import torch
from comfy.patcher_extension import WrappersMP

from ...search import Account, NoiseSpace, Options, Search, SearchError
from ...search.outcome import Outcome
from ...search.plan import check_absolute, estimate
from ...search.run import run as run_search
from ...search.space import recognised_rows
from ...verifiers.verifier import Verifier
from . import context, fidelity
from .content_key import content_key
from .evaluator import HostEvaluator
from .histories import memory_of
from .latents import Latents
from .noise import RecipeNoise
from .progress import Progress, say
from .run import Run, RunHandle, write
from .sampler_call import SamplerCall, fitting_batch
from .scorer import MEAN, Scorer
from .standing import Standing, check

KEY = "noise_search"
EVERY_CALL, FIRST_CALL = "every call", "first call only"
RANDOMISED = "The seed is randomised after each run, so that the next run starts anew: fix it to go on."
PROMPTS_APART = "\n---\n"  # between the prompts of a latent batch, where each row has its own


@dataclass
class Settings:
    """What a search block asks for.

    prompt  for the verifiers; "" takes the text behind the sampler's positive input
    node    the id of the block, or None where it is the node that samples
    calls   which calls of a sampler that calls the model many times (tiles, detailers) are searched
    batch   candidates evaluated together at most; 0 takes what fits in memory
    needs_after  whether the sampler is another node, which results must wait for
    early_verifier, early_vae  what scores and decodes candidates that are not finished; None: as finished ones
    """

    search: Search
    verifier: Verifier
    vae: object | None
    prompt: str = ""
    keep: int = 8
    on_nan: str = "stop"
    batch: int = 0
    frames: int = 8
    over_frames: str = MEAN
    calls: str = EVERY_CALL
    needs_after: bool = True
    early_verifier: Verifier | None = None
    early_vae: object | None = None
    node: str | None = None
    handle: RunHandle = field(init=False)
    called: dict = field(init=False, default_factory=dict)

    def __post_init__(self):
        self.handle = RunHandle(self.needs_after, self.vae)

    @property
    def early(self) -> Verifier | None:
        """What scores unfinished candidates, where they are not scored as finished ones are."""
        return self.early_verifier or (self.verifier if self.early_vae is not None else None)

    @property
    def verifiers(self) -> list[Verifier]:
        return [self.verifier] if self.early in (None, self.verifier) else [self.verifier, self.early]

    @property
    def relative(self) -> tuple[bool, bool]:
        """Whether the values of finished candidates depend on each other, and those of unfinished ones."""
        return self.verifier.relative, (self.early or self.verifier).relative

    def scorer(self, prompts: Sequence[str], remind: Callable[[], None] = lambda: None) -> Scorer | fidelity.TwoScorers:
        """Raises SearchError where a verifier looks at images and there is no VAE."""
        frames = (self.frames, self.over_frames)
        final = Scorer(self.verifier, self.vae, prompts, *frames, remind)
        if self.early is None:
            return final
        return fidelity.TwoScorers(final, Scorer(self.early, self.early_vae or self.vae, prompts, *frames))

    def check(self) -> None:
        """What can be known before any sampler runs."""
        if self.early is not None:
            fidelity.check(self.early)
        self.scorer([""])
        check_absolute(self.search, *self.relative)


def is_searched(model_options: dict) -> bool:
    wrappers = model_options.get("transformer_options", {}).get("wrappers", {})
    return KEY in wrappers.get(WrappersMP.OUTER_SAMPLE, {})


def attach(settings: Settings, model_options: dict) -> None:
    """Make every sampler that uses these model options search."""
    if is_searched(model_options):
        raise SearchError(
            "This MODEL already carries a search: remove one of the two search blocks, or chain the algorithms "
            "with their `after` inputs."
        )

    def outer_sample(executor, noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed):
        plain = (noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed)
        why = _passes_by(settings, noise, sigmas)
        if why:
            settings.handle.passed_by = why
            logging.info("Noise Search: %s", why)
            now = context.running()
            say(now and now.shown_on, why)
            return executor(*plain)
        return _search(settings, SamplerCall(executor, *plain))

    comfy.patcher_extension.add_wrapper_with_key(
        WrappersMP.OUTER_SAMPLE, KEY, outer_sample, model_options, is_model_options=True
    )


def _passes_by(settings: Settings, noise: torch.Tensor, sigmas: torch.Tensor) -> str:
    """Why this call is left to the plain sampler, or ""."""
    if torch.count_nonzero(noise) == 0:
        return "The sampler adds no noise (add_noise is off, or the noise is zero), so that there is nothing to search."
    if len(sigmas) < 2:
        return "The sampler has no steps to take, so that there is nothing to search."
    if settings.calls == FIRST_CALL and _times_called(settings, count=False) > 0:
        return "Only the first call of this sampler is searched."
    return ""


def _times_called(settings: Settings, count: bool) -> int:
    """How often this sampler node called before, in this prompt."""
    now = context.running()
    place = (now.prompt_id, *now.place) if now else None
    if count:
        if place not in settings.called:
            settings.called = {p: n for p, n in settings.called.items() if place and p and p[0] == place[0]}
        settings.called[place] = settings.called.get(place, 0) + 1
    return settings.called.get(place, 0)


def _search(settings: Settings, call: SamplerCall) -> torch.Tensor:
    began, now = time.monotonic(), context.running()
    notes = _notes(settings, now)
    noise, seed = call.noise.cpu(), call.seed or 0
    space = NoiseSpace(noise, seed, recognised_rows(noise, seed))
    prompts = _prompts(settings, now, call.rows)
    check(settings.verifier, call.rows, settings.frames if noise.ndim == 5 and noise.shape[2] > 1 else 1)
    keys = [verifier.key for verifier in settings.verifiers]
    key = content_key(now, call, repr((*keys, prompts))) if now else ""
    memory = memory_of(key) if now else None
    latents = Latents(memory)
    standing = Standing(memory, settings.verifier, latents, settings.vae)
    scorer = settings.scorer(prompts, standing.remind)
    progress = Progress(settings, call, scorer, key)
    batch = settings.batch or fitting_batch(call)
    shelf = memory.states if memory else None
    evaluator = HostEvaluator(call, space, scorer, latents, batch, progress.step, shelf)
    names = fidelity.names(settings.verifier, settings.early)
    announced = estimate(settings.search, evaluator, call.rows)
    progress.announce(announced, evaluator, notes)

    def account(outcome: Outcome) -> Account:
        return Account.of(
            outcome,
            search=settings.search.name,
            measures=settings.verifier.names,
            searched=list(settings.verifier.searched),
            signs=[measure.sign for measure in settings.verifier.measures],
            early=names[len(settings.verifier.names) :],
            forwards=evaluator.forwards,
            estimate=estimate(settings.search, evaluator, call.rows),  # known after one image, where not before
            seconds=time.monotonic() - began,
            shape=list(call.noise.shape),
            seed=str(space.seed),
            sampler=evaluator.sampler_title,
            steps=evaluator.steps,
            notes=[
                *notes,
                *progress.notes,
                *_unused(settings, outcome),
                *(note for verifier in settings.verifiers for note in verifier.notes),
            ],
        )

    def observe(outcome: Outcome) -> Run:
        progress.generation(outcome, evaluator)
        found = account(outcome)

        def noise() -> RecipeNoise:
            return RecipeNoise.of(space, [found.best(lane).recipe for lane in range(call.rows)])

        run = Run(found, noise, latents, settings.vae)
        settings.handle.add(now.place if now else "a sampler", run)
        return run

    try:
        outcome = run_search(
            settings.search,
            evaluator,
            space,
            lambda: fidelity.archive(settings.verifier, settings.early),
            Options(settings.keep, settings.on_nan, names, *settings.relative),
            standing,
            observe,
            progress.board.enough,
        )
    except BaseException:  # cancelled, or failed: what is scored need not be sampled again when it goes on
        evaluator.save()
        raise
    evaluator.save(over=True)
    _render_lost(evaluator, latents, outcome)
    run = observe(outcome)
    if now is not None:
        write(run, now, key)
        if now.extra_pnginfo is not None:  # for the PNG that SaveImage writes later in this prompt
            now.extra_pnginfo[KEY] = run.winner().to_metadata()
    progress.done(run.account)
    return _winners(call, evaluator, latents, run.account)


def _render_lost(evaluator: HostEvaluator, latents: Latents, outcome: Outcome) -> None:
    """Sample winners again that the history told and whose latents it no longer holds."""
    for lane, winner in enumerate(outcome.winners):
        if latents.get(lane, winner.recipe.id) is None:
            counted = evaluator.counted
            evaluator.render_again(lane, winner.recipe)
            outcome.recalled -= evaluator.counted - counted


def _winners(call: SamplerCall, evaluator: HostEvaluator, latents: Latents, account: Account) -> torch.Tensor:
    """[B, ...] the best latent of every row; the sampler's callback last sees the winners' x̂0."""
    held = [latents.get(lane, account.best(lane).recipe.id) for lane in range(call.rows)]
    latent, x0 = (torch.cat([pair[name] for pair in held]) for name in ("latent", "x0"))
    if not torch.isfinite(latent).all():
        raise SearchError("The winner's latent is not finite; no image is returned in its place.")
    if call.callback is not None:
        steps = evaluator.steps
        call.callback(steps - 1, x0.to(call.guider.model_patcher.load_device), latent, steps)
    return latent


def _prompts(settings: Settings, now: context.Running | None, rows: int) -> list[str]:
    """One prompt for each row."""
    text = settings.prompt.strip() or (context.positive_text(now) if now else "") or ""
    prompts = [part.strip() for part in text.split(PROMPTS_APART)] if PROMPTS_APART in text else [text]
    if len(prompts) not in (1, rows):
        raise SearchError(
            f"The prompt has {len(prompts)} parts between lines of ---, but the latent batch has {rows} rows: give "
            "one prompt, or one for each row."
        )
    for verifier in settings.verifiers:
        needy = verifier.in_need_of_a_prompt
        if needy and not all(prompts):
            raise SearchError(
                f"The verifier {needy[0]} needs a prompt and none was found behind the sampler's positive input: type "
                "it into the search block's prompt."
            )
        verifier.check_prompts(prompts)
    return prompts * (rows if len(prompts) == 1 else 1)


def _notes(settings: Settings, now: context.Running | None) -> list[str]:
    notes = []
    times = _times_called(settings, count=True)
    if times > 1:
        notes.append(
            f"This sampler calls the model many times; this is search {times}, and each costs the whole budget: "
            f"set `calls` to {FIRST_CALL!r} to search only the first."
        )
    if now and context.seed_is_randomised(now):
        notes.append(RANDOMISED)
    return notes


def _unused(settings: Settings, outcome: Outcome) -> list[str]:
    """A note where what scores unfinished candidates was connected and there were none."""
    if settings.early is None or any(not entry.complete for lane in outcome.lanes for entry in lane.archive.entries):
        return []
    return [
        "This search scored finished images alone, so that early_verifier and early_vae had nothing to score: they "
        "are for Successive Halving and other algorithms that judge unfinished images."
    ]
