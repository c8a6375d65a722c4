"""Auto Search: fresh noises or children of the best, judged early or finished: whichever pays in this run (ours)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice

from ..archive import Entry
from ..candidates import Gaussian, Neighbour
from ..families import Families
from ..lane import Lane
from ..previews import FEWEST, Previews
from ..recipe import Recipe, SearchError, keyed_seed
from ..trajectory import end_of
from ..worth import exceeding
from .rounds import Plan, Rounds
from .stops import stop_at

STOPS = {1 / 3: 0.6, 1 / 2: 0.8}
"""Shares of the steps after which x̂0 may be judged, and the correlation with final scores that is assumed of it."""
ENOUGH = 0.5  # correlation of an x̂0 that is judged by
LATEST = 32  # images of a way from which its gain is read
FIRST = 6  # images' worth of evaluations spent on new noises before the best has children; as many again where uncut
SHARE = 12  # each way has at least one evaluation in so many
CHECKED = 8  # images whose x̂0 is compared with their final scores before that alone decides what is finished


@dataclass(frozen=True)
class AutoSearch:
    """One knob, the budget. Of some ways to go on, the one that gains most an evaluation by the finished images so far
    has the next turn; none has less than its share.

    new noises     are denoised a little, and the best quarter by x̂0 is finished. Where x̂0 is judged, after 1/3 or 1/2
                   of the steps, is the first place where it ranks finished images as their final scores do; where
                   there is none, noises are sampled whole, and so are the first few, as in random search.
    far children   of the best images of the best noises: a finished image is noised again, back to 1/3 of the steps,
                   and denoised anew.
    near children  of the best image alone, from 1/2, from 2/3 and from 5/6 of the steps: three ways. A best that was
                   sampled whole is first denoised once more on the path, for the price of an image.

    width     noises begun in a round; a quarter of them in the first, half of them in the next
    children  images of a round of children
    measure   off: the ways take turns, and x̂0 is judged after 1/3 of the steps, whatever comes of it

    Where a sampler cannot be cut into steps, in loops, and for the rows of a batch, which would wait for each other
    on their paths, all is sampled whole, and children are neighbours of a noise, far and near ones. The plan grows by
    rounds: with more budget the same rounds come first. What is too little for a round at the end goes into the first
    of its images, and what is too little for these into cheaper ways. Candidate 0 is sampled first.
    """

    width: int = 12
    children: int = 3
    measure: bool = True
    candidates: object = field(default_factory=Gaussian)
    name = "Auto Search"
    path = False  # it needs none

    def __post_init__(self):
        for name in ("width", "children"):
            if getattr(self, name) < 1:
                raise SearchError(f"Auto Search: {name} is {getattr(self, name)}; it must be at least 1.")

    def least(self, lane: Lane) -> int:
        return 0

    def start(self, lane: Lane) -> Rounds:
        course = Course(self, lane)
        return Rounds(course.plan(), lane, course.held, course.notes)


@dataclass
class Way:
    """One way to go on, and what came of it.

    back    share of the steps from which children are denoised anew; none for new noises
    cosine  between the noises of child and parent, where all is sampled whole
    parents how many images have children in a round
    made    finished images and their parents
    better  how many were better than their parent when they came
    spent   evaluations of this row
    open    whether it has anything more to try
    """

    name: str
    back: float | None = None
    cosine: float = 0.0
    parents: int = 1
    made: list[tuple[Recipe, Recipe | None]] = field(default_factory=list)
    better: int = 0
    spent: int = 0
    open: bool = True


class Course:
    """One search under way."""

    def __init__(self, settings: AutoSearch, lane: Lane):
        self._settings, self._lane = settings, lane
        self._cut = lane.space.rows == 1 and _can_be_cut(lane)
        self._previews = Previews(lane.archive, _stops(lane) if self._cut else {})
        self._noises = lane.unbegun(settings.candidates)
        self._waiting: list[Recipe] = []  # begun and judged, not finished
        self._finished = 0  # images of those that were judged
        self._families = Families(lane.archive, lambda image: bool(image.moves) or not self._cut)
        self._born: dict[tuple[str, float], int] = {}  # children by parent and where they come from
        self._solved: set[str] = set()  # of the states that are held, those at hand
        self._ways = [
            Way("New noises"),
            Way("Far children of the best", 1 / 3, 0.8, settings.children),
            Way("Near children of the best", 1 / 2, 0.95),
        ]
        if self._cut:  # late steps are cheap; a nearer noise costs as much as a far one
            self._ways += [Way("Nearer children of the best", 2 / 3), Way("Nearest children of the best", 5 / 6)]
        self.held: list[Recipe] = []
        self.notes: list[str] = []

    def plan(self) -> Plan:
        if self._lane.space.base not in self._lane.archive:
            yield [self._lane.space.base]
        while way := self._next():
            asked: list[Recipe] = []
            states = [] if way.back is None else self._states()[: way.parents]
            for round_ in self._fresh(way) if way.back is None else self._children(way):
                asked += round_
                yield round_
            way.spent += sum(self._lane.archive.entry(recipe).nfe for recipe in asked)
            way.open = bool(asked)
            self._solved |= {state.id for state in (*asked, *states[: len(asked)])}
            self.held[:] = [*self._states(), *self._waiting]
            self._solved &= {state.id for state in self.held}
            self.notes[:] = self._account()

    # --- which way

    def _next(self) -> Way | None:
        """The way that has the next turn, chosen as if there were no end, so that a larger budget goes on from here.
        Only where that cannot be paid for it is another's; None where none can."""
        ways = [way for way in self._ways if way.open]
        while ways:
            way = self._choice(ways)
            if self._size(way)[0]:
                return way
            ways.remove(way)
        return None

    def _choice(self, ways: Sequence[Way]) -> Way:
        fresh = self._ways[0]
        if fresh in ways and self._begins(fresh):
            return fresh
        if not self._settings.measure:
            return min(ways, key=lambda way: way.spent)
        spent, best = sum(way.spent for way in self._ways), self._lane.archive.best()
        starved = [way for way in ways if SHARE * way.spent <= spent]
        return starved[0] if starved else max(ways, key=lambda way: self._gain(way, best))

    def _begins(self, fresh: Way) -> bool:
        """Whether there are too few images yet to have children of them."""
        if self._cut:
            return fresh.spent < FIRST * self._lane.path_cost(0, self._lane.steps)
        return len(fresh.made) < 2 * FIRST

    def _gain(self, way: Way, best: Entry | None) -> float:
        """What an evaluation spent on it is expected to raise the best score by."""
        if not (best and way.made):
            return 0.0
        values, top = self._lane.archive.values_of, self._lane.archive.value(best.recipe)
        images, elders = zip(*way.made[-LATEST:])
        made, bases = values(images), [0.0]
        if way.back:
            made, bases = made - values(elders), values(self._parents()[: way.parents]).tolist()
        gains = [exceeding([x + base - top for x in made.tolist() if not math.isnan(x)]) for base in bases]
        return sum(gains) / len(gains) * len(way.made) / way.spent

    def _size(self, way: Way) -> tuple[int, int]:
        """How many new noises, or children, its next round has, as many as can be paid for; and the stop where the
        noises are judged, or the place that the children are raised to."""
        if way.back is None:
            return self._width()
        if not self._cut:
            return self._settings.children, 0
        lane, again = self._lane, [self._again(state) for state in self._states()[: way.parents]]
        up = stop_at(way.back, lane.steps)
        each = lane.path_cost(up, lane.steps) + lane.look_cost(lane.steps)
        numbers = range(self._settings.children, 0, -1)
        return next((n for n in numbers if lane.affords(n * each + sum(again[:n]))), 0), up

    # --- new noises

    def _fresh(self, way: Way) -> Plan:
        """Begin new noises, judge them by x̂0, finish the best; or sample them whole."""
        lane, (number, stop) = self._lane, self._size(way)
        done = list(islice(self._noises, number))
        if not done:
            return
        if stop:
            states = [noise.then(("advance", 0, stop)) for noise in done]
            yield states
            done = self._passed(states, stop)
        legs = self._legs(stop) if self._cut else []
        for above, below in legs:
            done = [state.then(("advance", above, below)) for state in done]
            if below < lane.steps:
                yield done
        yield done
        if stop:
            self._finished += len(done)
            self._previews.add(done, [above for above, _ in legs])
        way.made += [(image, None) for image in done]

    def _passed(self, states: Sequence[Recipe], stop: int) -> list[Recipe]:
        """The best at a stop, of those that waited there too, and some whatever their x̂0."""
        here = [state for state in self._waiting if end_of(state) == stop]
        ranked = [entry.recipe for entry in self._lane.archive.ranked([*here, *states])] or list(states)
        finish = self._finishes(len(states))
        passed = ranked[: finish - self._checks()]
        passed += [state for state in states if state not in passed][: finish - len(passed)]
        self._waiting = [state for state in ranked if state not in passed][: len(states)]
        self.held += self._waiting
        return passed

    def _width(self) -> tuple[int, int]:
        """Noises of the next fresh round, as many as can be paid for, and the stop where they are judged; 0 where they
        are sampled whole."""
        lane, width = self._lane, self._settings.width
        few, judged = math.ceil(width / 2), self._judged()
        if not self._cut:
            return few, 0
        if not self._ways[0].made:  # as random search begins
            few, judged = math.ceil(width / 4), 0
        elif not self._finished:
            width = few
        choices = range(width, width // 3, -1)  # of fewer there is little to choose
        plans = [(n, judged) for n in choices if judged and n > self._finishes(n)]
        plans += [(n, 0) for n in range(few, 0, -1)]
        return next((plan for plan in plans if lane.affords(self._cost(*plan))), (0, 0))

    def _cost(self, number: int, stop: int) -> int:
        """Evaluations per row of such a fresh round."""
        cost = self._lane.path_cost
        finish = sum(cost(i, j) + self._lane.look_cost(j) for i, j in self._legs(stop))
        return self._finishes(number) * finish + number * (cost(0, stop) + 1) if stop else number * finish

    def _finishes(self, number: int) -> int:
        """How many of so many begun noises are finished."""
        return min(number, max(1, number // 4) + self._checks())

    def _checks(self) -> int:
        """Of these, how many whatever their x̂0: what it says of the others is measured on them."""
        return int(self._settings.measure and self._finished < CHECKED)

    def _legs(self, stop: int) -> list[tuple[int, int]]:
        """The way down from a stop, and from noise at 0. While x̂0 is being measured, it is looked at at later stops."""
        looks = [later for later in self._previews.assumed if 0 < stop < later] if self._checks() else []
        return list(zip([stop, *looks], [*looks, self._lane.steps]))

    def _judged(self) -> int:
        """The stop at which new noises are judged; 0 where none is to be relied on."""
        stops = list(self._previews.assumed)
        if self._settings.measure:
            stops = [stop for stop in stops if self._previews.agreement(stop)[2] >= ENOUGH]
        return next(iter(stops), 0)

    # --- children of the best

    def _children(self, way: Way) -> Plan:
        number, up = self._size(way)
        parents = self._parents()[: way.parents]
        bred = [self._bred(parent, up, way.cosine) for parent in parents]
        brood = [(next(bred[n % len(bred)]), parents[n % len(bred)]) for n in range(number)]
        yield [child for child, _ in brood]
        way.made += brood
        value = self._lane.archive.value
        way.better += sum(value(child) > value(parent) for child, parent in brood)

    def _parents(self) -> list[Recipe]:
        """The best finished image, and the best ones from other noises. Those cost no detour: they lie on the path."""
        return self._families.ranked()[: self._settings.children] or [self._lane.space.base]

    def _states(self) -> list[Recipe]:
        """Where children are raised from: the ends of the parents' paths."""
        return [self._end(parent) for parent in self._parents()] if self._cut else []

    def _end(self, image: Recipe) -> Recipe:
        """The same image as a state on the path."""
        return image if image.moves else image.then(("advance", 0, self._lane.steps))

    def _bred(self, parent: Recipe, up: int, cosine: float) -> Iterator[Recipe]:
        """Its children that were not tried yet."""
        lane, state = self._lane, self._end(parent)
        key = (state.id, up or cosine)
        for number in count(1 + self._born.get(key, 0)):
            self._born[key] = number
            if self._cut:
                seed = keyed_seed("auto", lane.space.seed, state.id, up, number)
                child = state.then(("renoise", lane.steps, up, seed), ("advance", up, lane.steps))
            else:
                index = int(keyed_seed("auto", parent.id, cosine, number)) % 2**32
                child = lane.space.add(Neighbour(cosine).propose(lane.space, index, lane.space.add(parent.noise)))
            if child not in lane.archive:
                yield child

    def _again(self, state: Recipe) -> int:
        """Evaluations per row to have a state at hand."""
        moves = () if state.id in self._solved else state.moves
        return sum(self._lane.path_cost(i, j) for name, i, j, *_ in moves if name == "advance")

    # --- for the report

    def _account(self) -> list[str]:
        """What it did and why, in sentences."""
        lane, notes = self._lane, []
        if not self._cut:
            why = "The rows of a batch go on side by side" if lane.space.rows > 1 else "The sampling cannot be stopped"
            notes.append(f"{why}: every candidate was sampled whole.")
        for stop in self._previews.assumed:
            found, images, believed = self._previews.agreement(stop)
            if images > 1:
                told = "near enough to judge by" if believed >= ENOUGH else "too far off to judge by"
                verdict = told if images >= FEWEST else "of too few to tell"
                notes.append(
                    f"x̂0 after {stop} of {lane.steps} steps ranked {images} finished images as their final scores do "
                    f"with correlation {found:.2f}: {verdict}."
                )
        if self._finished:
            place, whole = f"judged after {self._judged()} steps", "sampled whole, since x̂0 says too little"
            notes.append(f"New noises are {place if self._judged() else whole}.")
        for way in filter(lambda way: way.made, self._ways):
            so = f", {way.better} of them better than their parent" if way.back else ""
            notes.append(f"{way.name}: {len(way.made)} finished for {way.spent} evaluations{so}.")
        return notes


def _stops(lane: Lane) -> dict[int, float]:
    """Sigma indices at which judging x̂0 is cheaper than finishing, each with the correlation that is assumed."""
    stops = {max(1, round(share * lane.steps)): assumed for share, assumed in STOPS.items()}
    whole = lane.path_cost(0, lane.steps)
    return {stop: ρ for stop, ρ in stops.items() if stop < lane.steps and lane.path_cost(0, stop) + 1 < whole}


def _can_be_cut(lane: Lane) -> bool:
    """Whether the sampling can be stopped on its way. Not in a loop, whose one step is an image."""
    try:
        return lane.steps > 1 and lane.path_cost(0, lane.steps) > 0
    except SearchError:
        return False
