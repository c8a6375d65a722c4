"""Tree search, DTS* (arXiv 2506.20701): the denoising path as a tree, judged by finished images alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

import torch

from ..archive import Archive, standardised
from ..candidates import Gaussian
from ..lane import Lane
from ..recipe import Recipe, SearchError, keyed_seed
from .rounds import Plan, Rounds
from .stops import evenly, schedule

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
        return schedule(self.name, evenly(self.stops), steps)

    def least(self, lane: Lane) -> int:
        """Evaluations per row of one rollout from a fresh noise."""
        stops = self.schedule(lane.steps)
        return sum(lane.path_cost(i, j) for i, j in zip([0, *stops], stops)) + lane.look_cost(lane.steps)

    def start(self, lane: Lane) -> Rounds:
        held: list[Recipe] = []
        return Rounds(self._plan(lane, held), lane, held)

    def _plan(self, lane: Lane, held: list[Recipe]) -> Plan:
        if lane.space.base not in lane.archive:
            yield [lane.space.base]
        noises, stops = lane.unbegun(self.candidates), [0, *self.schedule(lane.steps)]
        tree = Tree(len(stops) - 1)
        while True:
            ways: list[list[Node]] = []
            while len(ways) < self.rollouts and lane.affords((len(ways) + 1) * self.least(lane)):
                way = self._roll_out(lane, tree, self._select(tree), stops, noises)
                if way:
                    ways.append(way)
                elif tree.root.full or not tree.root.children:
                    break
                else:
                    tree.root.full = True
            if not ways:
                return
            passed = [node for way in ways for node in way[:-1]]
            held[:] = [node.state for node in passed + tree.most_visited(HELD) if node.state]
            finished = [way[-1].state for way in ways]
            yield finished
            tree.back_up(lane.archive, finished, self.strength)

    def _select(self, tree: Tree) -> list[Node]:
        """From the root to the first node that may have another child."""
        way = [tree.root]
        while len(way) < len(tree.above):
            node = way[-1]
            allowed = (1 + node.visits**self.widening) * (1 if node.state else 2)
            if len(node.children) < allowed and not node.full:
                break
            values = tree.values[len(way)]
            way.append(max(node.children, key=lambda child: values[child.place] + self._bonus(node, child)))
        return way

    def _bonus(self, parent: Node, child: Node) -> float:
        return self.exploration * math.sqrt(math.log(parent.visits + 1) / child.visits)

    def _roll_out(
        self, lane: Lane, tree: Tree, way: list[Node], stops: list[int], noises: Iterator[Recipe]
    ) -> list[Node]:
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
            way.append(tree.grow(node, depth, state.then(("advance", stop, below))))
        for node in way:
            node.visits += 1
        return way


@dataclass
class Node:
    """A state on the path (none at the root) and how many rollouts passed it.

    place  among the nodes of its depth
    full   whether it can have no more children: the root, when there are no more noises
    """

    state: Recipe | None = None
    place: int = 0
    visits: int = 0
    full: bool = False
    children: list[Node] = field(default_factory=list)


class Tree:
    """The nodes by their depth; the root is alone in the first, the deepest are finished images.

    values  the soft values of each depth
    above   for each depth below the root, the places of their parents
    """

    def __init__(self, depth: int):
        self.root = Node()
        self.values: list[list[float]] = [[0.0], *([] for _ in range(depth))]
        self.above: list[list[int]] = [[] for _ in range(depth)]
        self._finished: list[int] = []  # places in the archive

    def grow(self, parent: Node, depth: int, state: Recipe) -> Node:
        """A new child of a node at this depth; until it is backed up, it is worth what its parent is."""
        child = Node(state, len(self.above[depth]))
        parent.children.append(child)
        self.above[depth].append(parent.place)
        self.values[depth + 1].append(self.values[depth][parent.place])
        return child

    def most_visited(self, count: int) -> list[Node]:
        """Of those above the finished images; of equals the first of a walk down the tree."""
        found, open_ = [], [(0, (), self.root)]
        while open_ and len(found) < count:
            _, way, node = heappop(open_)
            found.append(node)
            for n, child in enumerate(node.children):
                if child.children:  # no child is visited more often than its parent
                    heappush(open_, (-child.visits, (*way, n), child))
        return found

    def back_up(self, archive: Archive, finished: Sequence[Recipe], strength: float) -> None:
        """Soft values of all nodes, (1/λ)·log mean exp(λ·v̂). A finished image without a score counts as a very poor
        one.

        finished  the images that are new, in the order in which they grew
        """
        self._finished += map(archive.place, finished)
        z = standardised(archive.values_at(self._finished), archive.finished())
        values = torch.tensor(z, dtype=torch.float64).nan_to_num(nan=-10.0)
        self.values[-1] = values.tolist()
        for depth in reversed(range(len(self.above))):
            above = torch.tensor(self.above[depth])
            nothing = torch.zeros(len(self.values[depth]), dtype=torch.float64)
            top = (nothing - torch.inf).scatter_reduce(0, above, values, "amax")
            total = nothing.index_add(0, above, (strength * (values - top[above])).exp())
            values = top + (total / above.bincount()).log() / strength
            self.values[depth] = values.tolist()
