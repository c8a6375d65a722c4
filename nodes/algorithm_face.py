"""What the faces of all algorithms share."""

from collections.abc import Sequence

from comfy_api.latest import io

from ..search import Block, Budget, Search, SearchError
from ..search.budget import DEFAULT
from . import sockets

CATEGORY = "noise search/algorithms"
DRAWN = "How new noises are drawn. Unconnected: what suits the algorithm."
BEGINS_ANEW = "The search before this one: what it found is kept, and this one begins with noises of its own."
GOES_ON = "The search before this one: its best is where this one starts."
UNREAD = "Leave it unconnected: this search makes its noises itself."


def face(
    node_id: str,
    name: str,
    description: str,
    *own: io.Input,
    later: Sequence[io.Input] = (),
    candidates: str = DRAWN,
    after: str = BEGINS_ANEW,
) -> io.Schema:
    """The sockets that all algorithms share, behind their own inputs. Inputs that were added later stand last.
    `candidates` and `after` are what the tooltips of these say."""
    return io.Schema(
        node_id=node_id,
        display_name=name,
        category=CATEGORY,
        description=description,
        inputs=[
            *own,
            sockets.Candidates.Input("candidates", optional=True, tooltip=candidates),
            sockets.Budget.Input(
                "budget",
                optional=True,
                tooltip=f"How much this block may spend. Unconnected: {DEFAULT.images} images. What it leaves goes "
                "to the next block.",
            ),
            sockets.Search.Input("after", optional=True, tooltip=after),
            *later,
        ],
        outputs=[sockets.Search.Output(display_name="search")],
    )


def chained(algorithm, budget: Budget | None, after: Search | None) -> io.NodeOutput:
    block = Block(algorithm, budget or DEFAULT)
    return io.NodeOutput(Search((*(after.blocks if after else ()), block)))


def given(candidates) -> dict:
    """The keyword for a connected generator; none where the algorithm's own is to be used."""
    return {} if candidates is None else {"candidates": candidates}


def check_unread(name: str, candidates) -> None:
    """Raises SearchError where a generator is connected that the algorithm would not draw from."""
    if candidates is not None:
        raise SearchError(f"{name}: candidates is connected, but this search makes its noises itself: disconnect it.")


def share(name: str, default: float, tooltip: str) -> io.Input:
    return io.Float.Input(
        name, default=default, min=0.01, max=0.99, step=0.01, round=0.001, optional=True, tooltip=tooltip
    )


def weight(name: str, default: float, tooltip: str) -> io.Input:
    return io.Float.Input(
        name, default=default, min=0.0, max=1.0, step=0.05, round=0.001, optional=True, tooltip=tooltip
    )


def whole(name: str, default: int, tooltip: str, least: int = 1, most: int = 256) -> io.Input:
    return io.Int.Input(name, default=default, min=least, max=most, optional=True, tooltip=tooltip)


def closeness(name: str, default: float, tooltip: str) -> io.Input:
    return io.Float.Input(
        name, default=default, min=0.0, max=0.9999, step=0.01, round=0.0001, optional=True, tooltip=tooltip
    )
