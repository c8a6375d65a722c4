"""Searches on Shapes World without ComfyUI by verifiers that look at more than the finished image."""

import pytest
import torch

from noise_search.demo.evaluator import WorldEvaluator
from noise_search.demo.verifiers import WEIGHTS
from noise_search.demo.world import CFG, LATENT, load_world
from noise_search.search import Block, Budget, NoiseSpace, Options, Search, run
from noise_search.search.algorithms import RandomSearch, RolloverSearch, SearchOverPaths
from noise_search.search.space import seeded_noise
from noise_search.verifiers import SelfConsistency, Verifier

PROMPTS = ["a red circle left of a blue square", "two green triangles"]


@pytest.fixture(scope="module")
def world():
    return load_world()


def search(world, algorithm, images, steps=6):
    space = NoiseSpace(seeded_noise(torch.zeros(2, *LATENT), 3), 3)
    verifier = Verifier.of(SelfConsistency(WEIGHTS, 0.5))
    evaluator = WorldEvaluator(world, space, PROMPTS, verifier, steps)
    found = run(Search((Block(algorithm, Budget(images=images)),)), evaluator, space, evaluator.archive, Options())
    assert found.spent == evaluator.counted <= images * steps * 2
    return space, verifier, found


@torch.inference_mode()
def by_hand(world, noise, verifier, steps=6):
    """The score of plain Euler steps: x̂0 at the step nearest to one half, beside the image."""
    sigmas, cond, x, seen = world.schedule(steps), world.encode(PROMPTS), noise, {}
    for sigma, lower in zip(sigmas[:-1], sigmas[1:]):
        x0 = world.denoise(x, sigma, cond, CFG)
        seen[abs(sigma.item() - 0.5)] = x0
        x = x + (x - x0) / sigma * (lower - sigma)
    earlier = {0.5: world.decode(seen[min(seen)])}
    return verifier.measure(world.decode(x), PROMPTS, earlier=earlier)[:, 0]


def test_self_consistency_of_whole_samplings(world):
    space, verifier, found = search(world, RandomSearch(), 3)
    for n in range(3):
        numbers = torch.tensor([lane.archive.entries[n].row[0] for lane in found.lanes])
        expected = by_hand(world, space.rows_of([lane.archive.entries[n].recipe for lane in found.lanes]), verifier)
        torch.testing.assert_close(numbers, expected, atol=1e-4, rtol=0)
        assert expected.max() < 0.9999 and (expected[0] - expected[1]).abs() > 1e-3


@pytest.mark.parametrize(
    "algorithm",
    [
        SearchOverPaths(paths=1, branches=2),
        RolloverSearch(noises=3, legs=2, quota=2, conversion="strong variance preserving"),
    ],
    ids=lambda algorithm: algorithm.name,
)
def test_self_consistency_along_the_path(world, algorithm):
    _, _, found = search(world, algorithm, 8)
    for lane in found.lanes:
        rows = {entry.recipe.id: entry.row[0] for entry in lane.archive.entries}
        assert len(set(rows.values())) == len(rows) > 4 and all(-1 <= row < 1 for row in rows.values())
        assert any(entry.recipe.moves and entry.complete for entry in lane.archive.entries)
