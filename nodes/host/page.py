"""The pages that look at this server: what is sent to them, and which nodes on them are meant."""

from __future__ import annotations

import io
import sys

from PIL import Image

from .context import Running, link

SEEDS = ("seed", "noise_seed", "value")  # where a seed is typed; `value` in a node that only holds a number


def server():
    """ComfyUI's server, or None where there is none."""
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def send(event: str, content: dict) -> None:
    """To every page: one that was opened later, or elsewhere, shows the same."""
    if server() is not None:
        server().send_sync(f"noise_search.{event}", content)


def anyone_there() -> bool:
    """Whether a page or a program listens, or queued this graph and may come back."""
    return server() is not None and bool(server().client_id or server().sockets)


def still_runs(prompt_id: str) -> bool:
    if server() is None:
        return False
    running, _ = server().prompt_queue.get_current_queue_volatile()
    return any(item[1] == prompt_id for item in running)


def workflow_of(now: Running) -> str | None:
    """The id that the page gave the graph it queued."""
    return ((now.extra_pnginfo or {}).get("workflow") or {}).get("id")


def reports_on(now: Running, id: str) -> list[str]:
    """The Search Reports that read this node's run."""
    graph = (now.executor or {}).get("dynprompt")
    others = [] if graph is None else [(other, graph.get_node(other)) for other in graph.all_node_ids()]
    kind = "NS_SearchReport"
    return [o for o, node in others if node["class_type"] == kind and link(node["inputs"].get("run")) == id]


def seed_place(now: Running, id: str) -> tuple[str, str] | None:
    """(node, widget) where the seed of a sampler is typed, or None."""
    inputs = (now.node(id) or {}).get("inputs", {})
    typed = [name for name in SEEDS if isinstance(inputs.get(name), int)]
    if typed:
        return now.displayed(id), typed[0]
    behind = [link(inputs.get(name)) for name in (*SEEDS, "noise")]
    return next((seed_place(now, other) for other in behind if other), None)


def jpeg(picture: Image.Image, size: int) -> bytes:
    """No side longer than `size` pixels."""
    small, content = picture.convert("RGB"), io.BytesIO()
    small.thumbnail((size, size))
    small.save(content, "JPEG", quality=85)
    return content.getvalue()
