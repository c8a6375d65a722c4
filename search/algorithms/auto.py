"""Auto Search: fresh noises or children of the best, judged early or finished: whichever pays in this run (ours)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice

from ..candidates import Gaussian, Neighbour
from ..lane import Lane
from ..rank import rank_correlation
from ..recipe import Recipe, SearchError, keyed_seed
from ..trajectory import end_of, prefixes
from .rounds import Plan, Rounds

STOPS = {1 / 6: 0.3, 1 / 3: 0.6, 1 / 2: 0.8}  # shares of the steps after which x̂0 may be judged, and what is assumed of
WEIGHT, ENOUGH = 4, 0.5  # its correlation with final scores beforehand; for how many images that counts; what suffices
LATEST = 16  # images of a way from which its gain is read
SHARE = 8  # each way has at least one evaluation in so many
CHECKED = 8  # images whose x̂0 is compared with their final scores before that alone decides what is finished


@dataclass(frozen=True)
class AutoSearch:
    """One knob, the budget. It takes turns between ways to go on, and gives the next turn to the one that gains most
    an evaluation by the finished images so far:

    fresh     `width` new noises are denoised a little, and the best quarter by x̂0 finished. Where x̂0 is judged, after
              1/6, 1/3 or 1/2 of the steps, is the first place where it ranks finished images like their final
              scores; where there is none, noises are sampled whole.
    children  of the best so far: its finished image is noised again, back to 1/3 or 1/2 of the steps, and denoised
              anew. An image that was sampled whole is first brought to its end on the path, for the price of an
              image.

    width     noises of a fresh round
    children  images of a round of children
    measure   off: the ways take turns, and x̂0 is judged after 1/3 of the steps, whatever comes of it

    Where a sampler cannot be cut into steps, and in loops, all is sampled whole and children are neighbours of the
    best noise. The rows of a batch go on side by side, so that nothing is measured for them, and their children are
    such neighbours too. The plan grows by rounds: with more budget the same rounds come first, and only the last
    one before the end may be smaller. Candidate 0 is sampled whole first.
    """

    width: int = 8
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

    back    share of the steps from which children are denoised anew; None for fresh noises
    cosine  between the noises of child and parent, where all is sampled whole
    made    finished images and their parents
    spent   evaluations of this row
    open    whether it has anything more to try
    """

    name: str
    back: float | None = None
    cosine: float = 0.0
    made: list[tuple[Recipe, Recipe | None]] = field(default_factory=list)
    spent: int = 0
    open: bool = True


class Course:
    """One search under way."""

    def __init__(self, settings: AutoSearch, lane: Lane):
        self._settings, self._lane = settings, lane
        self._cut = _can_be_cut(lane)
        self._stops = _stops(lane) if self._cut else {}
        self._raises = self._cut and lane.space.rows == 1
        self._measures = settings.measure and lane.space.rows == 1
        self._noises = lane.unbegun(settings.candidates)
        self._waiting: list[Recipe] = []  # begun and judged, not finished
        self._finished: list[Recipe] = []  # of those that x̂0 was judged of
        self._solved: set[str] = set()  # of the states that are held, those at hand
        self._ways = [
            Way("New noises"),
            Way("Far children of the best", 1 / 3, 0.8),
            Way("Near children of the best", 1 / 2, 0.95),
        ]
        self.held: list[Recipe] = []
        self.notes: list[str] = []

    def plan(self) -> Plan:
        if self._lane.space.base not in self._lane.archive:
            yield [self._lane.space.base]
        while way := self._next():
            asked, parent = [], self._state()
            for round_ in self._children(way) if way.back else self._fresh(way):
                asked += round_
                yield round_
            way.spent += sum(self._lane.archive.entry(recipe).nfe for recipe in asked)
            way.open = bool(asked)
            solved = self._solved | {recipe.id for recipe in asked} | ({parent.id} if way.back and asked else set())
            self.held[:] = [*([self._state()] if self._raises else []), *self._waiting]
            self._solved = solved & {state.id for state in self.held}
            self.notes[:] = self._account()

    # --- which way

    def _next(self) -> Way | None:
        """The way that has the next turn, of those that can be paid for; None where there is none."""
        ways = [way for way in self._ways if way.open and self._affords(way)]
        if not ways:
            return None
        spent = sum(way.spent for way in self._ways)
        if not self._measures:
            return min(ways, key=lambda way: way.spent)
        starved = [way for way in ways if SHARE * way.spent <= spent]
        return starved[0] if starved else max(ways, key=self._gain)

    def _gain(self, way: Way) -> float:
        """What an evaluation spent on it is expected to raise the best score by."""
        value, best = self._lane.archive.value, self._lane.archive.best()
        if not (best and way.made):
            return 0.0
        made = [value(image) - value(parent or best.recipe) for image, parent in way.made[-LATEST:]]
        return exceeding([excess for excess in made if not math.isnan(excess)]) * len(way.made) / way.spent

    def _affords(self, way: Way) -> bool:
        return bool(self._number(way)) if way.back else bool(self._width()[0])

    # --- fresh noises

    def _fresh(self, way: Way) -> Plan:
        """Begin new noises, judge them by x̂0, finish the best; or finish them all."""
        lane, (number, stops, finish) = self._lane, self._width()
        states = list(islice(self._noises, number))
        if not states:
            return
        for start, stop in zip([0, *stops], stops):
            states = [state.then(("advance", start, stop)) for state in states]
            yield states
        done = states
        if finish < number:
            here = [state for state in self._waiting if end_of(state) == stops[-1]] + states
            ranked = [entry.recipe for entry in lane.archive.ranked(here)] or states
            check = [state for state in states if state not in ranked[:finish]][: self._checks()]
            done = ranked[: finish - len(check)] + check
            self._waiting = [state for state in ranked if state not in done][:number]
        if self._cut:
            done = [state.then(("advance", stops[-1] if stops else 0, lane.steps)) for state in done]
        if stops:
            self._finished += done
        yield done
        way.made += [(image, None) for image in done]

    def _width(self) -> tuple[int, list[int], int]:
        """Noises of the next fresh round, the stops where they are judged, and how many are finished. 0 noises where
        not one can be paid for."""
        lane, width, few = self._lane, self._settings.width, max(1, self._settings.width // 2)
        if not self._cut:
            return few, [], few
        plan = width, self._judged(), max(1, width // 4) + self._checks()
        if plan[1] and lane.affords(self._cost(*plan)):
            return plan
        number = next((n for n in range(few, 0, -1) if lane.affords(self._cost(n, [], n))), 0)
        return number, [], number

    def _checks(self) -> int:
        """Noises of a round that are finished whatever their x̂0: what x̂0 says of the others is measured on them."""
        return int(self._measures and len(self._finished) < CHECKED)

    def _cost(self, number: int, stops: Sequence[int], finish: int) -> int:
        """Evaluations per row of such a fresh round."""
        cost = self._lane.path_cost
        begin = sum(cost(i, j) + 1 for i, j in zip([0, *stops], stops))
        return number * begin + finish * cost(stops[-1] if stops else 0, self._lane.steps)

    def _judged(self) -> list[int]:
        """The stop at which new noises are judged; none where they are sampled whole."""
        stops = list(self._stops)
        if not self._measures:
            return stops[-2:][:1]
        if not self._finished:
            return stops[:2]
        return [stop for stop in stops if self._agreement(stop)[2] >= ENOUGH][:1]

    def _agreement(self, stop: int) -> tuple[float, int, float]:
        """How x̂0 at a stop ranks finished images beside their final scores: the correlation, of how many, and what is
        to be believed of it where they are few."""
        value = self._lane.archive.value
        judged = [(state, image) for image in self._finished for state in prefixes(image) if end_of(state) == stop]
        pairs = [(value(state), value(image)) for state, image in judged if state in self._lane.archive]
        pairs = [pair for pair in pairs if not any(map(math.isnan, pair))]
        found = rank_correlation(*zip(*pairs)) if len(pairs) > 1 else 0.0
        return found, len(pairs), (len(pairs) * found + WEIGHT * self._stops[stop]) / (len(pairs) + WEIGHT)

    # --- children of the best

    def _children(self, way: Way) -> Plan:
        parent, children = self._parent(), list(islice(self._bred(way), self._number(way)))
        yield children
        way.made += [(child, parent) for child in children]

    def _bred(self, way: Way) -> Iterator[Recipe]:
        """Children that were not tried yet."""
        lane, parent, state, up = self._lane, self._parent(), self._state(), self._raised(way)
        for number in count(1):
            if self._raises:
                seed = keyed_seed("auto", lane.space.seed, state.id, up, number)
                child = state.then(("renoise", lane.steps, up, seed), ("advance", up, lane.steps))
            else:
                index = int(keyed_seed("auto", parent.id, way.cosine, number)) % 2**32
                child = lane.space.add(Neighbour(way.cosine).propose(lane.space, index, lane.space.add(parent.noise)))
            if child not in lane.archive:
                yield child

    def _parent(self) -> Recipe:
        """The best finished image."""
        best = self._lane.archive.best()
        return best.recipe if best else self._lane.space.base

    def _state(self) -> Recipe:
        """The end of its path. One that was sampled whole is denoised on the path again, once."""
        parent = self._parent()
        return parent if parent.moves else parent.then(("advance", 0, self._lane.steps))

    def _raised(self, way: Way) -> int:
        return min(max(1, round(way.back * self._lane.steps)), self._lane.steps - 1)

    def _number(self, way: Way) -> int:
        """How many children can be paid for, no more than a round has."""
        lane, state, most = self._lane, self._state(), self._settings.children
        if not self._cut:
            return most
        moves = state.moves if self._raises and state.id not in self._solved else ()
        first = sum(lane.path_cost(i, j) for name, i, j, *_ in moves if name == "advance")
        each = lane.path_cost(self._raised(way) if self._raises else 0, lane.steps)
        return next((n for n in range(most, 0, -1) if lane.affords(first + n * each)), 0)

    # --- for the report

    def _account(self) -> list[str]:
        """What it did and why, in sentences."""
        lane, value, notes = self._lane, self._lane.archive.value, []
        if not self._cut:
            notes.append("The sampling cannot be stopped on its way: every candidate was sampled whole.")
        for stop in self._stops:
            found, images, believed = self._agreement(stop)
            if images > 1:
                verdict = "near enough to judge by" if believed >= ENOUGH else "too far off to judge by"
                notes.append(
                    f"x̂0 after {stop} of {lane.steps} steps ranked {images} finished images as their final scores do "
                    f"with correlation {found:.2f}: {verdict}."
                )
        if self._measures and self._finished:
            place = [f"judged after {stop} steps and the best finished" for stop in self._judged()]
            notes.append(f"New noises are {(place or ['sampled whole, since x̂0 says too little'])[0]}.")
        for way in filter(lambda way: way.made, self._ways):
            better = sum(value(image) > value(parent) for image, parent in way.made if parent)
            so = f", {better} of them better than their parent" if way.back else ""
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


def exceeding(scores: Sequence[float]) -> float:
    """E[X⁺]: the mean where most of X is above 0; else as if the upper half of X fell off exponentially, with k of n
    scores above u < 0 by b on average: P(X > x) = k/n · exp(−(x − u)/b)."""
    n, ordered = len(scores), sorted(scores, reverse=True)
    if n < 2:
        return 0.0
    k = n // 2
    u = ordered[k]
    b = sum(x / k - u / k for x in ordered[:k])
    if u >= 0 or b <= 0:
        return sum(max(0.0, x) / n for x in scores)
    return k / n * b * math.exp(u / b)
