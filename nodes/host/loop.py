"""A search around a part of the graph.

Search Loop End runs before anything between it and Search Loop Start, hands back a chain of copies of itself, and each
of these runs the body once (see expansion.py). The search (loop_search.py) waits meanwhile; it lives in the handle that
travels from Start to End. A later run, after a cancel or on another server, takes it up again from the history.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...search import SearchError
from . import context, expansion
from .loop_search import Loop, Settings


def lacking(loop: Loop, settings: Settings) -> list[str]:
    """The inputs that the End now running cannot do without."""
    now = _running()
    inputs, search = now.node(now.node_id)["inputs"], loop.search_of(now, settings)
    if "loop_end" not in inputs and search.wanted != loop.first:
        return []  # the history knows candidate 0, which the user's own nodes would make
    return [name for name in ("score", "value") if context.link(inputs.get(name))]


def turn(loop: Loop, score: object, value: object, settings: Settings) -> tuple[Sequence, dict | None]:
    """End, or one of its copies: its outputs, and the graph that makes them where the search is not over."""
    now = _running()
    inputs, search = now.node(now.node_id)["inputs"], loop.search_of(now, settings)
    if "score" in inputs and search.awaits:
        search.tell(score, value)
    if "loop_end" in inputs and "score" in inputs:
        search.done = expansion.forget(now, [*search.done, context.link(inputs["score"])])
    if not search.wanted:
        return search.close(now), None
    expansion.show_errors_where_they_are(now)
    if inputs.get("loop_last", True):
        marks = {"loop_end": search.body.end, "loop_run": search.name}
        graph, outputs = expansion.chain_of(now, search.body, search.left, marks)
    else:
        search.sent = search.wanted
        candidates = {"loop": now.node(search.body.end)["inputs"]["loop"], "loop_index": search.places[0]}
        candidates |= {"loop_candidate": " ".join(one.id for one in search.sent), "loop_end": search.body.end}
        graph, links = expansion.copy_of(now, search.body, candidates)
        outputs = [*links.values()] + [None] * (4 - len(links))
    expansion.admit(now, graph)
    return outputs, graph


def _running() -> context.Running:
    now = context.running()
    if now is None or now.executor is None:
        raise SearchError("Search Loop: it has other nodes run again, and so needs ComfyUI's own executor.")
    if now.list_index:
        raise SearchError("Search Loop: one of its inputs is a list; a loop takes one latent, and one score at a time.")
    return now


def start(search, latent, seed: int, batch: int, loop: Loop | None) -> tuple:
    """Start's outputs: the first candidates, or in a copy those of its loop."""
    now = _running()
    if loop is None:
        expansion.hold_what_feeds(now, now.node_id)
        made = Loop(search, latent, seed, batch)
        return made.give(made.first, 0)
    inputs = now.node(now.node_id)["inputs"]
    return loop.give([loop.space[id] for id in inputs["loop_candidate"].split()], inputs["loop_index"])
