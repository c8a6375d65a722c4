"""Small searches whose images are known in closed form, run by the real driver."""

import torch

from noise_search.search import Account, Archive, Block, Budget, NoiseSpace, Options, Result, Search, run
from noise_search.search.algorithms import RandomSearch, SearchOverPaths, ZeroOrderSearch
from noise_search.search.places import steps_between

STEPS = 10
MEASURES = ["brightness", "likeness", "sharpness"]


class Analytic:
    """An evaluator whose image *is* the mean of the noise: brightness grows with it, sharpness falls.

    unseen  candidates, counted from 0, that the verifier gives no number for
    """

    steps = whole = STEPS
    noise = torch.linspace(1, 0, STEPS + 1).tolist()

    def __init__(self, space, unseen=()):
        self.space, self.unseen, self.seen, self.latents = space, unseen, 0, {}

    def path_cost(self, i, j):
        return steps_between(i, j)

    def cost(self, slots):
        return sum(self._cost(recipe) for slot in slots for recipe in slot)

    def _cost(self, recipe):
        if not recipe.moves:
            return STEPS
        steps = sum(self.path_cost(*m[1:]) for m in recipe.moves[-2:] if m[0] == "advance")
        return steps + (recipe.moves[-1][2] < STEPS)

    def evaluate(self, slots, enough):
        return [[self._result(lane, recipe) for lane, recipe in enumerate(slot)] for slot in slots]

    def _result(self, lane, recipe):
        noise = self.space.draw(recipe)[lane].double()
        x = noise.mean().item() + sum(int(move[3]) / 2**64 - 0.4 for move in recipe.moves if move[0] == "renoise") / 5
        self.seen += 1
        self.latents[lane, recipe.id] = noise.float()[None]
        bright = float("nan") if self.seen - 1 in self.unseen else 0.5 + x
        return Result((bright, 0.3 + noise[0, 0].mean().item() / 9, 0.6 - x / 2), self._cost(recipe), 0.01)

    def keep(self, finished, alive):
        wanted = {(lane, r.id) for lane, recipes in enumerate(finished) for r in recipes}
        self.latents = {key: x for key, x in self.latents.items() if key in wanted}


def random_then_zero_order(images=(12, 20)):
    return Search((Block(RandomSearch(), Budget(images=images[0])), Block(ZeroOrderSearch(), Budget(images=images[1]))))


def paths(images=24):
    return Search((Block(SearchOverPaths(), Budget(images=images)),))


def searched(search, seed=42, shape=(1, 4, 8, 8), unseen=(), given=None, **facts):
    """(account, space, evaluator) of a search by brightness and likeness; sharpness is watched."""
    like = torch.zeros(shape)
    space = NoiseSpace(NoiseSpace(like, seed).seeded(seed) if given is None else given, seed)
    evaluator = Analytic(space, unseen)
    options = Options(keep=8, on_nan="exclude", names=MEASURES)
    rule = facts.pop("rule", lambda rows: rows[:, 0] + rows[:, 1])
    outcome = run(search, evaluator, space, lambda: Archive(rule, (1, 1, 0)), options)
    defaults = {
        "search": search.name, "measures": MEASURES, "searched": [True, True, False], "forwards": 2 * outcome.spent,
        "estimate": sum(b.budget.limit(STEPS * shape[0]) for b in search.blocks), "seconds": 3.2,
        "shape": list(shape), "seed": str(seed), "sampler": "euler", "steps": STEPS,
    }  # fmt: skip
    return Account.of(outcome, **(defaults | facts)), space, evaluator


def picture(line, size=96):
    """A plain picture as bright as the candidate's first number says."""
    from PIL import Image

    level = 0 if line.row[0] != line.row[0] else max(0, min(255, round(255 * line.row[0])))
    return Image.new("RGB", (size, size), (level, 90, 255 - level))
