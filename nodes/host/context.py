"""Which queued prompt, graph and sampler are running: found when the sampler runs, never before.

ComfyUI caches a node's outputs. What a node saw when it executed may belong to an older prompt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from comfy_execution.utils import get_executing_context

TEXTS = ("text", "string", "value", "prompt", "user_prompt", "text_g", "t5xxl", "clip_l", "clip_g", "bert")
"""Inputs in which stock nodes and common packs hold a prompt, the fullest first where an encoder has several."""
WAYS = ("positive", "guider", "conditioning", "cond1", "conditioning_1", "conditioning_to")
"""Inputs that lead from a sampler to what encodes its prompt."""


@dataclass
class Running:
    """The node that is executing now.

    node           node(id) -> {"class_type", "inputs"} of the running graph, or None
    extra_pnginfo  the very dict that SaveImage will write into its PNG, or None
    made           made(id, output) -> what that node gave in this prompt, or None where ComfyUI no longer holds it
    executor       the executor's own variables (dynprompt, caches, execution_list), where they were found
    """

    prompt_id: str
    node_id: str
    list_index: int
    node: Callable[[str], dict | None]
    extra_pnginfo: dict | None = None
    made: Callable[[str, int], object] = lambda id, output: None
    executor: dict | None = None

    @property
    def shown_on(self) -> str:
        """The node on the page; another one where this is a copy of it, as in a loop."""
        return self.displayed(self.node_id)

    def displayed(self, id: str) -> str:
        graph = (self.executor or {}).get("dynprompt")
        return id if graph is None else graph.get_display_node_id(id)

    @property
    def place(self) -> tuple[str, int]:
        return self.node_id, self.list_index


def running() -> Running | None:
    """The executing node; None outside ComfyUI's executor."""
    context = get_executing_context()
    if context is None:
        return None
    frame, made = _executor_frame(context.prompt_id), Running.made
    if frame is not None:
        graph, extra = frame["dynprompt"], frame["extra_data"]
        made = partial(_made, frame.get("caches"), context.list_index or 0)

        def node(id: str) -> dict | None:
            return graph.get_node(id) if graph.has_node(id) else None

        if not isinstance(extra.get("extra_pnginfo"), dict):
            extra["extra_pnginfo"] = {}  # an API client sent none: what is written here reaches SaveImage all the same
        extra_pnginfo = extra["extra_pnginfo"]
    else:
        prompt, extra_pnginfo = queued_prompt(context.prompt_id), None
        node = prompt.get
    return Running(context.prompt_id, str(context.node_id), context.list_index or 0, node, extra_pnginfo, made, frame)


def _made(caches, list_index: int, id: str, output: int) -> object:
    """What a node gave, out of the executor's cache; of a list the element that the running node was given."""
    outputs = getattr(caches, "outputs", None)
    look = getattr(outputs, "get_local", None) or getattr(outputs, "get", lambda id: None)  # later versions await `get`
    held = look(id)
    held = getattr(held, "outputs", held)  # and keep the outputs in an entry
    if not isinstance(held, (list, tuple)) or output >= len(held) or not held[output]:
        return None
    return held[output][min(list_index, len(held[output]) - 1)]


def _executor_frame(prompt_id: str) -> dict | None:
    """The executor's variables, from the stack that called this node.

    The queue hands out copies; only here are the graph with its expanded nodes and the metadata that later
    nodes will be given.
    """
    frame = sys._getframe()
    while frame is not None:
        names = frame.f_locals if frame.f_code.co_name == "execute" else {}
        if names.get("prompt_id") == prompt_id and "dynprompt" in names and "extra_data" in names:
            return names
        frame = frame.f_back
    return None


def queued_prompt(prompt_id: str) -> dict:
    server = sys.modules.get("server")
    instance = getattr(getattr(server, "PromptServer", None), "instance", None)
    if instance is None:
        return {}
    running_items, _ = instance.prompt_queue.get_current_queue()
    return next((item[2] for item in running_items if item[1] == prompt_id), {})


def link(value) -> str | None:
    """The id of the node behind an input, where the input is a link."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[1], int):
        return str(value[0])
    return None


def linked_outputs(outputs: Iterable[int]) -> set[int]:
    """Which of these outputs of the executing node other nodes read; all where the graph is not known."""
    context = get_executing_context()
    graph = queued_prompt(context.prompt_id) if context else {}
    if context is None or str(context.node_id) not in graph:  # a node that another one put there while it ran
        return set(outputs)
    inputs = [value for node in graph.values() for value in node.get("inputs", {}).values()]
    read = {(link(value), value[1]) for value in inputs if link(value)}
    return {n for n in outputs if (str(context.node_id), n) in read}


def positive_text(run: Running) -> str | None:
    """The text behind the sampler's positive input, or None where there is no single one. Text that another node
    makes is read as that node made it."""
    id, seen = run.node_id, set()
    while id is not None and id not in seen:
        seen.add(id)
        inputs = (run.node(id) or {}).get("inputs", {})
        if id != run.node_id:  # whose own texts say something else
            texts = [text for name in TEXTS if (text := _text(run, inputs.get(name)))]
            if texts:
                return texts[0]
        ways = WAYS if id == run.node_id else (*WAYS, *TEXTS)
        id = next((behind for name in ways if (behind := link(inputs.get(name)))), None)
    return None


def _text(run: Running, value) -> str | None:
    """What an input says, typed or made by the node that it is linked to."""
    made = run.made(str(value[0]), value[1]) if link(value) else value
    return made if isinstance(made, str) else None


def upstream(run: Running, id: str) -> set[str]:
    """Ids of the node and of all nodes that feed it."""
    found, todo = set(), [id]
    while todo:
        id = todo.pop()
        if id in found or run.node(id) is None:
            continue
        found.add(id)
        todo += [behind for value in run.node(id).get("inputs", {}).values() if (behind := link(value))]
    return found


def seed_is_randomised(run: Running) -> bool:
    """Whether the page draws a new seed for the sampler after each run."""
    workflow = (run.extra_pnginfo or {}).get("workflow") or {}
    behind = upstream(run, run.node_id)
    named = ("seed", "noise_seed")
    for node in workflow.get("nodes", []):
        graph_node = run.node(str(node.get("id")))
        if graph_node is None or str(node.get("id")) not in behind:
            continue
        typed = [name for name in named if name in graph_node["inputs"] and link(graph_node["inputs"][name]) is None]
        if typed and "randomize" in str(node.get("widgets_values")):
            return True
    return False
