"""The main job's search without ComfyUI: the same noises, prompt, sampler, verifiers and files."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from PIL import Image

from .. import report
from ..search import Account, Block, Budget, NoiseSpace, Options, Search, run
from ..search.algorithms import AutoSearch
from ..search.plan import estimate
from ..search.space import seeded_noise
from ..verifiers import Verifier, watch
from .evaluator import WorldEvaluator
from .verifiers import ShapesOracle, ShapesVerifier
from .world import LATENT, load_world

BEST = 7  # candidates beside the plain image in the gallery


def main(out: Path, images: int, prompt: str, seed: int) -> Account:
    """Spend what `images` images cost, from the noise of `seed` on; write pictures, report and history into `out`."""
    began = time.monotonic()
    space = NoiseSpace(seeded_noise(torch.zeros(1, *LATENT), seed), seed)
    verifier = watch(Verifier.of(ShapesVerifier()), Verifier.of(ShapesOracle()))
    evaluator = WorldEvaluator(load_world(), space, prompt, verifier)
    search = Search((Block(AutoSearch(), Budget(images=images)),))
    options = Options(keep=BEST + 1, names=verifier.names)
    outcome = run(search, evaluator, space, evaluator.archive, options)
    account = Account.of(
        outcome,
        search=search.name,
        measures=verifier.names,
        searched=list(verifier.searched),
        forwards=evaluator.forwards,
        estimate=estimate(search, evaluator, space.rows),
        seconds=time.monotonic() - began,
        shape=list(space.given.shape),
        seed=str(space.seed),
        sampler="euler",
        steps=evaluator.steps,
        notes=verifier.notes,
    )
    write(account, evaluator, out)
    return account


def write(account: Account, evaluator: WorldEvaluator, out: Path) -> None:
    """What the search found, as files."""
    plain, best = account.plain(), account.best()
    lines = [plain, *[line for line in account.ranked() if line is not plain][:BEST]]
    pictures = [
        Image.fromarray((image * 255).round().byte().numpy()) for image in evaluator.images([x.recipe for x in lines])
    ]
    captions = [report.caption(account, line) for line in lines]
    winner = next(n for n, line in enumerate(lines) if line is best)
    before, after = pictures[0], pictures[winner]
    drawn = {
        "before": before,
        "after": after,
        "before_after": report.before_after(before, after, [captions[0], captions[winner]], report.warning(account)),
        "curve": report.curve(account),
        "gallery": report.gallery(pictures, captions, winner, title=account.search),
    }
    for name, picture in drawn.items():
        picture.save(out / f"{name}.png")
    texts = {
        "report.txt": report.table(account) + "\n",
        "history.json": report.to_json(account),
        "history.csv": report.to_csv(account),
    }
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
