"""A part of the running graph, run again: which nodes it is, their copies, and what is kept of copies that are done.

A ComfyUI node may hand back a graph that runs in its place. The copies that a loop hands back show their progress,
pictures and errors on the nodes they are copies of, and are forgotten once their score is known.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from comfy_execution.graph_utils import GraphBuilder
from comfy_execution.progress import get_progress_state

import nodes

from ...search import SearchError
from .context import Running, link

START, END = "NS_SearchLoopStart", "NS_SearchLoopEnd"
LOOP, NOISE, SEED, LATENT, INDEX = range(5)  # outputs of Start


@dataclass(frozen=True)
class Body:
    """What runs again for every candidate, or batch of them.

    start, end  the loop's own nodes
    nodes       those between them, and those that hang on them and show or save something
    reads       outputs of Start that they read
    """

    start: str
    end: str
    nodes: tuple[str, ...]
    reads: frozenset[int]

    def titles(self, now: Running) -> str:
        """What the body is made of, for the reader."""
        types = [now.node(id)["class_type"] for id in self.nodes]
        names = dict.fromkeys(nodes.NODE_DISPLAY_NAME_MAPPINGS.get(name) or name for name in types)
        return textwrap.shorten(", ".join(names), 90, placeholder=" …")


def body_of(now: Running, end: str) -> Body:
    """Raises SearchError where End is wired to no Start, or where its score is the same for every candidate."""
    inputs = now.node(end)["inputs"]
    start = link(inputs.get("loop"))
    if (now.node(start) or {}).get("class_type") != START:
        raise SearchError(
            "Search Loop End: connect its loop input to the loop output of a Search Loop Start, directly."
        )
    fed = {id: [value for value in now.node(id)["inputs"].values() if link(value)] for id in beside(now, end)}
    if "value" not in inputs and any(v == [end, 0] for links in fed.values() for v in links):
        raise SearchError(
            "Search Loop End: its value output is connected and its value input is not: connect what you want of the "
            "best candidate, such as its IMAGE."
        )
    after = {id for id, links in fed.items() if any(link(v) == start and v[1] != LOOP for v in links)}
    inside = _downstream(fed, after) - _downstream(fed, ends_of(now, start))
    shown = {
        id for id in inside if getattr(nodes.NODE_CLASS_MAPPINGS[now.node(id)["class_type"]], "OUTPUT_NODE", False)
    }
    wanted = {link(inputs.get(name)) for name in ("score", "value")} - {None}
    found = inside & _upstream(fed, wanted | shown)
    if link(inputs.get("score")) not in found:
        raise SearchError(
            "Search Loop End: its score does not depend on Search Loop Start, so that every candidate would score the "
            "same: connect noise (or seed) to the sampler in the loop, and score to what scores its picture."
        )
    reads = frozenset(v[1] for id in found for v in fed[id] if link(v) == start)
    return Body(start, end, tuple(id for id in fed if id in found), reads)


def beside(now: Running, id: str) -> list[str]:
    """The nodes of the graph that a node is in: the queued one, or what some node expanded into."""
    graph = now.executor["dynprompt"]
    parent = graph.get_parent_node_id(id)
    return sorted(other for other in graph.all_node_ids() if graph.get_parent_node_id(other) == parent)


def ends_of(now: Running, start: str) -> set[str]:
    """The Ends that a Start leads to."""
    nodes_beside = [(id, now.node(id)) for id in beside(now, start)]
    return {id for id, node in nodes_beside if node["class_type"] == END and link(node["inputs"].get("loop")) == start}


def _downstream(fed: dict[str, list], begin: set[str]) -> set[str]:
    found, grown = set(), set(begin)
    while grown != found:
        found = grown
        grown = found | {id for id, links in fed.items() if any(link(value) in found for value in links)}
    return found


def _upstream(fed: dict[str, list], begin: set[str]) -> set[str]:
    found, todo = set(), list(begin)
    while todo:
        id = todo.pop()
        if id not in found:
            found.add(id)
            todo += [link(value) for value in fed.get(id, ())]
    return found


def copy_of(now: Running, body: Body, candidate: dict) -> tuple[dict, dict]:
    """(graph, {"score", "value"} links of End's inputs into it): the body once more, Start giving `candidate`."""
    graph, copies = GraphBuilder(), {}
    copies[body.start] = _copy(graph, "start", START, candidate, shown_on=body.start)
    for n, id in enumerate(body.nodes):
        copies[id] = _copy(graph, str(n), now.node(id)["class_type"], {}, shown_on=id)

    def led(value):
        return copies[link(value)].out(value[1]) if link(value) in copies else value

    for id in body.nodes:
        for name, value in now.node(id)["inputs"].items():
            copies[id].set_input(name, led(value))
    inputs = now.node(body.end)["inputs"]
    return graph.finalize(), {name: led(inputs[name]) for name in ("score", "value") if name in inputs}


def _copy(graph: GraphBuilder, id: str, class_type: str, inputs: dict, shown_on: str):
    node = graph.node(class_type, id, **inputs)
    node.set_override_display_id(shown_on)
    return node


def chain_of(now: Running, body: Body, runs: int, marks: dict) -> tuple[dict, list]:
    """(graph, outputs of its last node): copies of End, one after another. Each is given what the one before made
    of the body, and all but the last can run the body once: so a loop is no deeper for being longer."""
    given = {name: value for name, value in now.node(body.end)["inputs"].items() if name not in ("score", "value")}
    names = [name for name in ("score", "value") if name in now.node(body.end)["inputs"]]
    graph, before = GraphBuilder(), None
    for n in range(runs + 1):
        told = {name: before.out(place) for place, name in enumerate(names)} if before else {}
        own = {**given, **told, **marks, "loop_step": n, "loop_last": n == runs}
        before = _copy(graph, f"step{n}", END, own, shown_on=body.end)
    return graph.finalize(), [before.out(place) for place in range(4)]


def admit(now: Running, graph: dict) -> None:
    """With --cache-none ComfyUI 0.3.64 cannot expand: that cache knows only the nodes that were queued. Add these."""
    for cache in _forgetful(now):
        for id in graph:
            cache.cache_key_set.keys[id] = cache.cache_key_set.subcache_keys[id] = id
            cache.ancestors[id], cache.descendants[id] = set(), set()


def hold_what_feeds(now: Running, start: str) -> None:
    """With --cache-none a loader is forgotten once the nodes it feeds have run; here they will run again. Let it wait
    for End. Called before any of them runs."""
    for cache in _forgetful(now):
        for end in ends_of(now, start):
            for id in body_of(now, end).nodes:
                for feeder in {link(value) for value in now.node(id)["inputs"].values()} - {None}:
                    cache.descendants[feeder].add(end)
                    cache.ancestors[end].add(feeder)


def _forgetful(now: Running) -> list:
    return [cache for cache in now.executor["caches"].all if hasattr(cache, "descendants")]


def show_errors_where_they_are(now: Running) -> None:
    """ComfyUI reports the error of a copy on the node that expanded; let it be the node that was copied."""
    graph = now.executor["dynprompt"]
    if "get_real_node_id" in vars(graph):
        return
    stock = graph.get_real_node_id

    def real(id: str) -> str:
        shown = graph.get_display_node_id(id)
        return shown if shown in graph.original_prompt else stock(id)

    graph.get_real_node_id = real


def forget(now: Running, roots: Iterable[str]) -> list[str]:
    """Drop what ComfyUI keeps of expanded nodes that are done, and of what they expanded into: their outputs above
    all. It would keep them until the graph changes. The roots of which something is still to run, such as a preview,
    are given back."""
    graph, caches = now.executor["dynprompt"], now.executor["caches"]
    pending = now.executor["execution_list"].pendingNodes
    waiting = []
    for root in roots:
        ids = [id for id in graph.ephemeral_prompt if id == root or id.startswith(f"{root}.")]
        if any(id in pending for id in ids):
            waiting.append(root)
            continue
        for id in ids:
            for cache in caches.all:
                _drop(cache, id, keep=cache is getattr(caches, "ui", None))
            get_progress_state().nodes.pop(id, None)  # every step of a sampler sends all that is listed there
        for id in ids:
            graph.ephemeral_prompt.pop(id)
    return waiting


def _drop(cache, id: str, keep: bool) -> None:
    """Forget a node in one of ComfyUI's caches. `keep`: not what it showed, only the long key it is kept under."""
    place = cache._get_cache_for(id) if hasattr(cache, "_get_cache_for") else cache
    if not hasattr(place, "cache_key_set"):  # it was forgotten with what it was expanded from, or nothing is cached
        return
    key = place.cache_key_set.keys.pop(id, None)
    held = place.cache.pop(key, None)
    for more in ("used_generation", "children", "ancestors", "descendants"):
        getattr(place, more, {}).pop(key, None)
    if not keep:
        place.subcaches.pop(place.cache_key_set.subcache_keys.pop(id, None), None)
    elif held is not None:
        place.cache_key_set.keys[id] = id
        cache.set(id, held)
