"""Renders candidates with ComfyUI's own sampler and scores them: the Evaluator of `search/evaluation.py`."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import comfy.model_management
import comfy.patcher_extension
import torch
from comfy.patcher_extension import WrappersMP

from ...search import NoiseSpace, Recipe, Result, SearchError
from ...search.evaluation import Slot
from ...search.glimpses import Glimpses, Glimpsing, steps_at
from ...search.history import Shelf
from ...search.places import Place
from ...search.trajectory import Path, end_of, is_finished, kind_of
from . import samplers
from .latents import Latents
from .sampler_call import SamplerCall, out_of_memory, repeat, shares_calls
from .scorer import Scorer
from .trajectory import HostTrajectory

COUNT = "noise_search.count"
SAVED_EVERY = 60  # seconds: states are many, and the next run can solve again what a crash loses
NOT_FINITE = "the sampler gave a latent that is not finite"


@dataclass(frozen=True)
class Sampled:
    """One candidate, not yet scored: rows [B, ...] on the CPU; evaluations and seconds a row.

    glimpses  level -> x̂0 [B, ...] there
    """

    latent: torch.Tensor
    x0: torch.Tensor
    nfe: int
    seconds: float
    glimpses: Mapping[float, torch.Tensor]


class HostEvaluator:
    """See `search/evaluation.py`. `counted` rows went through the guider, `forwards` through the network."""

    def __init__(
        self,
        call: SamplerCall,
        space: NoiseSpace,
        scorer: Scorer,
        latents: Latents,
        batch: int,
        step: Callable,
        shelf: Shelf | None = None,
    ):
        self._call, self._space, self._scorer, self._latents, self._step = call, space, scorer, latents, step
        self._kind = samplers.Kind(call.sampler)
        self._path, self._saved = Path(shelf, Glimpsing.sound), time.monotonic()
        self._batch = batch if self._kind.batches and shares_calls(call) else 1
        self.counted = self.forwards = self.wasted = 0
        self.steps = len(call.sigmas) - 1
        self.whole = samplers.dry_cost(call.sampler, call.guider.model_patcher, call.sigmas)
        self._path_costs: dict[tuple[Place, int], int] = {}
        self._sampling = call.guider.model_patcher.get_model_object("model_sampling")
        self.noise = samplers.shares_of_noise(self._sampling, call.sigmas)
        self._glimpses = Glimpses(steps_at(scorer.verifier.levels, self.noise[:-1], call.sigmas[:-1].tolist()))
        self._sigma = torch.inf  # of the last evaluation, where anyone asks
        self._scoring_evicts = False  # until seen
        self._sampled = False  # whether there is anything yet to return: the first candidate is always paid for

    def path_cost(self, i: Place, j: int) -> int:
        samplers.require_cuts(self._call.sampler)
        if (i, j) not in self._path_costs:
            sigmas = samplers.sigmas_between(self._sampling, self._call.sigmas, i, j)
            self._path_costs[i, j] = samplers.dry_cost(self._call.sampler, self._call.guider.model_patcher, sigmas)
        return self._path_costs[i, j]

    def cost(self, slots: Sequence[Slot]) -> int:
        paths = [slot for slot in slots if slot[0].moves]
        whole = (len(slots) - len(paths)) * (self.whole or self.steps)
        return self._call.rows * (whole + self._path.cost(paths, self.noise, self.path_cost))

    def evaluate(self, slots: Sequence[Slot], enough: Callable[[], bool]) -> Iterator[list[Result]]:
        """Scores each batch where that moves no model to and fro, else all slots together."""
        scored, waiting = 0, []
        while (begun := scored + len(waiting)) < len(slots) and not (self._sampled and enough(begun + 1)):
            with _Counting(self, self._call.guider.model_options):
                batch = _alike(slots[begun:])[: self._batch]
                waiting += self._sample_or_halve(batch, lambda more, begun=begun: enough(begun + more))
            if not self._scoring_evicts and self._scorer.fits():
                yield from self._score(slots[scored : scored + len(waiting)], waiting)
                scored, waiting = scored + len(waiting), []
        yield from self._score(slots[scored : scored + len(waiting)], waiting)

    @property
    def sampler_title(self) -> str:
        return self._kind.title

    def render_again(self, lane: int, recipe: Recipe) -> None:
        """Sample a candidate whose score is known and whose latent is lost."""
        with _Counting(self, self._call.guider.model_options):
            [sampled] = self._sample_or_halve([[recipe] * self._call.rows], lambda more: False)
        self._latents.put(lane, recipe.id, sampled.latent[lane : lane + 1], sampled.x0[lane : lane + 1])

    def keep(self, finished: Sequence[Sequence[Recipe]], alive: Sequence[Sequence[Recipe]]) -> None:
        self._path.keep(alive)
        self._latents.keep({(lane, recipe.id) for lane, recipes in enumerate(finished) for recipe in recipes})
        if time.monotonic() - self._saved > SAVED_EVERY:
            self.save()

    def leave(self, alive: Sequence[Sequence[Recipe]]) -> None:
        self._path.leave(alive)

    def save(self, over: bool = False) -> None:
        """Leave what is held on disk, for a run that goes on from this one. over: this one came to its end."""
        for save in (self._latents.save, lambda: self._path.save(over)):
            try:
                save()
            except sqlite3.Error as error:  # an image, or a cancel, is worth more: all this can be sampled again
                logging.warning("Noise Search: the history did not take what this search would go on from: %s", error)
        self._saved = time.monotonic()

    def _sample_or_halve(self, slots: Sequence[Slot], enough: Callable[[int], bool]) -> list[Sampled]:
        """All slots, or the first of them: no more than half where memory did not suffice, no more than can be paid
        for after what that lost."""
        affordable = next((n for n in range(len(slots), 0, -1) if not enough(n)), 0)
        if not affordable and self._sampled:
            return []
        slots, before = slots[: max(1, affordable)], self.counted
        try:
            sampled = self._paths(slots) if slots[0][0].moves else self._whole(slots)
            self._sampled = True
            return sampled
        except Exception as error:  # looked at, and raised again unless an allocation failed
            if not out_of_memory(error) or len(slots) == 1:
                raise
        self._batch = max(1, len(slots) // 2)
        self.wasted += self.counted - before
        comfy.model_management.soft_empty_cache()
        self._step(None, note=f"out of memory with {len(slots)} candidates at once: going on with {self._batch}")
        return self._sample_or_halve(slots[: self._batch], enough)

    def _stepped(self, x0: torch.Tensor) -> None:
        """After each step of the sampler, with its x̂0."""
        self._glimpses.see(self._sigma, x0)
        self._step(x0)

    def _whole(self, slots: Sequence[Slot]) -> list[Sampled]:
        """Full samplings by the sampler itself."""
        before, began, call = self.counted, time.perf_counter(), self._call
        seeds = [int(recipe.seed) for slot in slots for recipe in slot]
        sampler = call.sampler
        if self._kind.draws and len(set(seeds)) > 1:  # one candidate alone takes the stock path
            sampler = samplers.with_noise(
                sampler, lambda x, sigmas: samplers.stock_noise(self._kind, x, sigmas, seeds, call.rows)
            )
        last = {}
        self._glimpses.x0.clear()

        def callback(step, x0, x, total):
            if not last:
                self._glimpses.begin(x0)
            last["x0"] = x0
            self._stepped(x0)

        noise = torch.cat([self._space.rows_of(slot) for slot in slots])
        out = call.run(noise, len(slots), sampler, callback, seeds[0])
        x0 = last.get("x0", out)
        rows, seconds = (self.counted - before) // len(noise), (time.perf_counter() - began) / len(noise)
        if self.whole is None:
            self.whole = rows
        return self._apart(out, x0, self._glimpses.x0, [rows] * len(slots), seconds)

    def _paths(self, slots: Sequence[Slot]) -> list[Sampled]:
        """Bring states along the path, and predict x̂0 where they end."""
        costs, began, n = self._path.costs(slots, self.noise, self.path_cost), time.perf_counter(), len(slots)
        segment = _Segment(self, slots, self._call)
        noise = repeat(self._call.noise, n)
        self._call.run(noise, n, segment, self._call.callback, self._call.seed)
        seconds = (time.perf_counter() - began) / len(noise)
        return self._apart(segment.latents, segment.previews, segment.glimpses, costs, seconds)

    def _apart(self, latents, x0, glimpses, costs: Sequence[int], seconds: float) -> list[Sampled]:
        """What candidates [n·B, ...] gave together, one by one."""
        if missing := self._glimpses.sigmas.keys() - glimpses.keys():
            raise SearchError(
                f"The sampler {self.sampler_title} does not show its steps, so that the image cannot be compared with "
                f"what it was at noise level {min(missing):g}: choose another sampler, or another verifier."
            )
        named = {"latent": latents, "x0": x0, **glimpses}
        rows = {name: [part.clone() for part in t.cpu().split(self._call.rows)] for name, t in named.items()}
        return [
            Sampled(rows["latent"][n], rows["x0"][n], cost, seconds, {level: rows[level][n] for level in glimpses})
            for n, cost in enumerate(costs)
        ]

    def _score(self, slots: Sequence[Slot], sampled: Sequence[Sampled]) -> list[list[Result]]:
        """Decode and score a generation, the verifiers loaded once for all of it."""
        if not slots:
            return []
        model = self._call.guider.model_patcher.model
        clean = self._call.sigmas[-1] == 0
        finals = [one.latent if clean else model.process_latent_out(one.x0.float()) for one in sampled]
        glimpses = {
            level: model.process_latent_out(torch.cat([one.glimpses[level] for one in sampled]).float())
            for level in self._glimpses.sigmas
        }
        began, patcher = time.perf_counter(), self._call.guider.model_patcher
        loaded = patcher.loaded_size()
        places = [(lane, r.id) for slot in slots for lane, r in enumerate(slot)]
        finished = [is_finished(recipe, self.steps) for slot in slots for recipe in slot]
        rows = self._scorer(torch.cat(finals), places, glimpses, finished)
        self._scoring_evicts = patcher.loaded_size() < loaded
        scoring = (time.perf_counter() - began) / len(rows)
        results = []
        for slot, one, numbers in zip(slots, sampled, rows.split(self._call.rows)):
            faults = ["" if row.isfinite().all() else NOT_FINITE for row in one.latent]
            seconds = one.seconds + scoring
            results.append([Result(tuple(map(float, row)), one.nfe, seconds, why) for row, why in zip(numbers, faults)])
            for lane, recipe in enumerate(slot):
                if is_finished(recipe, self.steps):
                    self._latents.put(lane, recipe.id, one.latent[lane : lane + 1], one.x0[lane : lane + 1])
        return results


class _Counting:
    """Counts evaluations where the model is called, and lets a cancel through at each of them."""

    def __init__(self, evaluator: HostEvaluator, model_options: dict):
        self._evaluator, self._options = evaluator, model_options

    def __enter__(self):
        def guided(executor, x, timestep, *args, **kwargs):
            comfy.model_management.throw_exception_if_processing_interrupted()
            out = executor(x, timestep, *args, **kwargs)
            self._evaluator.counted += x.shape[0]
            if self._evaluator._glimpses.sigmas:  # reading it waits for the GPU
                self._evaluator._sigma = timestep.max().item()
            return out

        def forward(executor, x, *args, **kwargs):
            self._evaluator.forwards += x.shape[0]
            return executor(x, *args, **kwargs)

        for kind, count in ((WrappersMP.PREDICT_NOISE, guided), (WrappersMP.APPLY_MODEL, forward)):
            comfy.patcher_extension.add_wrapper_with_key(kind, COUNT, count, self._options, is_model_options=True)

    def __exit__(self, *exception):
        wrappers = self._options["transformer_options"]["wrappers"]
        for kind in (WrappersMP.PREDICT_NOISE, WrappersMP.APPLY_MODEL):
            wrappers[kind].pop(COUNT, None)


class _Segment:
    """Stands in the sampler's place for one generation on the path."""

    def __init__(self, evaluator: HostEvaluator, slots: Sequence[Slot], call: SamplerCall):
        self._evaluator, self._slots, self._call = evaluator, slots, call
        self.latents = self.previews = self.glimpses = None

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar):
        evaluator, n = self._evaluator, len(self._slots)
        trajectory = HostTrajectory(
            self._call.sampler,
            model_wrap,
            sigmas,
            extra_args,
            latent_image,
            denoise_mask,
            evaluator._space.rows_of,
            self._call.rows,
            evaluator._stepped,
        )
        trajectory = Glimpsing(trajectory, evaluator._glimpses)
        evaluator._path.solve(trajectory, evaluator._space, self._slots, n)
        carried = evaluator._path.gather(self._slots)
        end = end_of(self._slots[0][0])
        recipes = [recipe for slot in self._slots for recipe in slot]
        x0, states, self.glimpses = trajectory.preview(carried, end, recipes), carried[:, 0], trajectory.seen(carried)
        model = model_wrap.inner_model
        finished = end == evaluator.steps
        done = model.model_sampling.inverse_noise_scaling(sigmas[-1], states.to(x0.device)) if finished else x0
        self.latents, self.previews = model.process_latent_out(done.float()).cpu(), x0.cpu()
        return x0


def _alike(slots: Sequence[Slot]) -> Sequence[Slot]:
    """The first slots of one kind, which can share a call."""
    kind = kind_of(slots[0][0])
    return slots[: next((n for n, slot in enumerate(slots) if kind_of(slot[0]) != kind), len(slots))]
