"""Tree search, DTS* (arXiv 2506.20701): the denoising path as a tree, judged by finished images alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..archive import standardised
from ..candidates import Gaussian
from ..lane import Lane
from ..recipe import Recipe, SearchError, keyed_seed
from .rounds import Plan, Rounds

HELD = 64  # states held besides those under way; others are solved again when they are needed, and paid for


@dataclass(frozen=True)
class TreeSearch:
    """Select a node from the root downwards, give it a child, roll that out to the end, back its score up; repeat.

    stops        depths of the tree, at equal shares of the steps
    widening     a node visited n times may have 1 + n^widening children; the root twice as many
    strength     λ of the soft values v̂ = (1/λ)·log mean exp(λ·v̂ of the children), scores in standard deviations
    exploration  c of the bonus c·√(log n of the parent / n of the child)
    rollouts     chosen before their scores are known, so that they can be sampled together

    Only scores of finished images are used; nothing is previewed. Every state that a rollout passes is a node, so
    that a rollout from a stop pays for the steps below it alone. A node's first child goes on as it is; the
    others are raised by `renoise` of the steps with the forward kernel. Children of the root are fresh noises.
    The paper's selection rule and soft values; its constants were not found: these are ours.
    """

    stops: int = 3
    widening: float = 0.5
    strength: float = 5.0
    exploration: float = 0.3
    rollouts: int = 4
    renoise: float = 0.05
    candidates: object = field(default_factory=Gaussian)
    name = "Tree Search"
    path = True

    def __post_init__(self):
        for name in ("stops", "rollouts"):
            if getattr(self, name) < 1:
                raise SearchError(f"Tree Search: {name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("widening", "renoise"):
            if not 0 < getattr(self, name) <= 1:
                raise SearchError(f"Tree Search: {name} is {getattr(self, name)}; it is a share from 0 to 1.")
        for name in ("strength", "exploration"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SearchError(f"Tree Search: {name} is {getattr(self, name)}; it cannot be negative.")
        if not self.strength:
            raise SearchError("Tree Search: strength is 0; it must be above 0.")

    def schedule(self, steps: int) -> list[int]:
        """Sigma indices of the stops, and the end."""
        if steps < 2:
            raise SearchError(f"Tree Search needs at least 2 sampling steps to stop between; got {steps}.")
        shares = (n / (self.stops + 1) for n in range(1, self.stops + 1))
        return sorted({min(max(1, round(share * steps)), steps - 1) for share in shares}) + [steps]

    def least(self, lane: Lane) -> int:
        """Evaluations per row of one rollout from a fresh noise."""
        stops = self.schedule(lane.steps)
        return sum(lane.path_cost(i, j) for i, j in zip([0, *stops], stops))

    def start(self, lane: Lane) -> Rounds:
        held: list[Recipe] = []
        return Rounds(self._plan(lane, held), lane, held)

    def _plan(self, lane: Lane, held: list[Recipe]) -> Plan:
        if lane.space.base not in lane.archive:
            yield [lane.space.base]
        noises, root = lane.unbegun(self.candidates), Node()
        stops = [0, *self.schedule(lane.steps)]
        while True:
            ways: list[list[Node]] = []
            while len(ways) < self.rollouts and lane.affords((len(ways) + 1) * self.least(lane)):
                way = self._roll_out(lane, self._select(root, len(stops) - 1), stops, noises)
                if way:
                    ways.append(way)
                elif root.full or not root.children:
                    break
                else:
                    root.full = True
            if not ways:
                return
            inner = sorted((node for node in root.family() if node.children), key=lambda node: -node.visits)
            passed = [node for way in ways for node in way[:-1]]
            held[:] = [node.state for node in passed + inner[:HELD] if node.state]
            yield [way[-1].state for way in ways]
            self._back_up(lane, root)

    def _select(self, root: Node, depth: int) -> list[Node]:
        """From the root to the first node that may have another child."""
        way = [root]
        while len(way) < depth:
            node = way[-1]
            allowed = (1 + node.visits**self.widening) * (1 if node.state else 2)
            if len(node.children) < allowed and not node.full:
                break
            way.append(max(node.children, key=lambda child: child.value + self._bonus(node, child)))
        return way

    def _bonus(self, parent: Node, child: Node) -> float:
        return self.exploration * math.sqrt(math.log(parent.visits + 1) / child.visits)

    def _roll_out(self, lane: Lane, way: list[Node], stops: list[int], noises: Iterator[Recipe]) -> list[Node]:
        """The way, a new child of its last node and descendants to the end; [] where no fresh noise is left."""
        for depth in range(len(way) - 1, len(stops) - 1):
            node, stop, below = way[-1], stops[depth], stops[depth + 1]
            if depth == 0:
                state = next(noises, None)
            elif not node.children:
                state = node.state
            else:
                up = max(0, stop - max(1, round(self.renoise * lane.steps)))
                seed = keyed_seed("path", lane.space.seed, node.state.id, len(node.children))
                state, stop = node.state.then(("renoise", stop, up, seed)), up
            if state is None:
                return []
            node.children.append(Node(state.then(("advance", stop, below)), node.value))
            way.append(node.children[-1])
        for node in way:
            node.visits += 1
        return way

    def _back_up(self, lane: Lane, root: Node) -> None:
        """Soft values of all nodes. A finished image without a score counts as a very poor one."""
        finished = [entry.recipe for entry in lane.archive.entries if entry.complete]
        values = lane.archive.values_of(finished)
        z = dict(zip((recipe.id for recipe in finished), standardised(values, values)))
        for node in reversed(list(root.family())):  # children before parents
            if node.children:
                below = [child.value for child in node.children]
                top = max(below)
                mean = sum(math.exp(self.strength * (v - top)) for v in below) / len(below)
                node.value = top + math.log(mean) / self.strength
            else:
                score = z[node.state.id]
                node.value = -10.0 if math.isnan(score) else score


@dataclass
class Node:
    """A state on the path (none at the root), its soft value and how many rollouts passed it.

    full  whether it can have no more children: the root, when there are no more noises
    """

    state: Recipe | None = None
    value: float = 0.0
    visits: int = 0
    full: bool = False
    children: list[Node] = field(default_factory=list)

    def family(self) -> Iterator[Node]:
        """Itself and its descendants, parents before children."""
        left = [self]
        while left:
            node = left.pop()
            yield node
            left += reversed(node.children)
