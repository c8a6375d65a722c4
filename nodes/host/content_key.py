"""The key of a search's content: equal keys may share evaluations, so everything that changes them is in it."""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache

import comfy.model_management
import folder_paths
import torch

from .context import Running, link, upstream

PACK_VERSION = "0.1.0"
IMAGES = 2  # raised when the same recipe comes to give another image
BUDGETS = ("NS_SearchBudget",)  # how much may be spent changes nothing of what was evaluated
WITHOUT_EFFECT = {  # nor how long a person was waited for, nor how many candidates went through a loop at once
    ("NS_HumanPick", "time_limit"),
    ("NS_HumanPick", "no_answer"),
    ("NS_SearchLoopStart", "batch"),
}
SAME = {("NS_ScoreImages", 4): 0}  # output -> the one that gives the same for one candidate: scores, and score
MARKS = ("loop_end",)  # which loop a copied node belongs to, by its number
BLOCK = 1 << 16


def content_key(run: Running, call, extra: str) -> str:
    """Hex digest over the graph upstream of the sampler (node ids left out, files by content), the noise, the
    sampler, the sigmas, versions, dtype and device kind, and `extra`."""
    patcher = call.guider.model_patcher
    facts = {
        "graph": graph_key(run, run.node_id),
        "list_index": run.list_index,
        "noise": _tensor(call.noise),
        "latent": _tensor(call.latent_image),
        "mask": None if call.denoise_mask is None else _tensor(call.denoise_mask),
        "sampler": getattr(getattr(call.sampler, "sampler_function", None), "__name__", type(call.sampler).__name__),
        "sigmas": call.sigmas.tolist(),
        "seed": str(call.seed),
        "versions": _versions(),
        "device": [str(patcher.model_dtype()), patcher.load_device.type],
        "extra": extra,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def loop_key(run: Running, links: list, latent: torch.Tensor) -> str:
    """Hex digest over the graph behind `links`, [node id, output] each: a loop's body and all that feeds it. The
    budget of a search inside the body changes what the body makes; that of the loop, and of loops around it, does not.
    """
    behind = {id: run.node(id) for way in links for id in upstream(run, link(way))}
    whole = {link(node["inputs"].get("loop")) for node in behind.values() if node["class_type"] == "NS_SearchLoopEnd"}
    around = {id for id, node in behind.items() if node["class_type"] == "NS_SearchLoopStart"} - whole

    def output(way: list) -> int:
        return SAME.get((run.node(link(way))["class_type"], way[1]), way[1])

    facts = {
        "graph": [[graph_key(run, link(way), around=around), output(way)] for way in links],
        "latent": _tensor(latent),
        "versions": _versions(),
        "device": comfy.model_management.get_torch_device().type,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def graph_key(run: Running, id: str, known: dict | None = None, around: set[str] | None = None) -> str:
    """Hash of a node and of all that feeds it, whatever the nodes are numbered.

    around  Search Loop Starts: budgets count but for those of their searches. None: no budget counts.
    """
    known, place = {} if known is None else known, (id, around is None)
    if place in known:
        return known[place]
    node = run.node(id) or {}
    known[place] = "in a circle"
    inputs = {}
    for name, value in sorted(node.get("inputs", {}).items()):
        if name in MARKS or (node.get("class_type"), name) in WITHOUT_EFFECT:
            continue
        behind = link(value)
        if behind is None:
            inputs[name] = [value, _file(value)] if isinstance(value, str) else value
        elif around is not None or (run.node(behind) or {}).get("class_type") not in BUDGETS:
            searches = name == "search" and around is not None and id in around
            inputs[name] = [graph_key(run, behind, known, None if searches else around), value[1]]
    text = json.dumps([node.get("class_type"), inputs], sort_keys=True, default=str)
    known[place] = hashlib.sha256(text.encode()).hexdigest()
    return known[place]


def _versions() -> list:
    import comfyui_version

    return [PACK_VERSION, IMAGES, comfyui_version.__version__, torch.__version__]


def _tensor(tensor: torch.Tensor) -> list:
    content = tensor.detach().float().cpu().contiguous().numpy().tobytes()
    return [list(tensor.shape), hashlib.sha256(content).hexdigest()]


def _file(name: str) -> str | None:
    """Fingerprint of the file that a text names in ComfyUI's folders, if it names one."""
    if not name or len(name) > 255 or "\n" in name:
        return None
    path = folder_paths.get_annotated_filepath(name) if folder_paths.exists_annotated_filepath(name) else None
    for folder in () if path or "." not in name else folder_paths.folder_names_and_paths:
        path = path or folder_paths.get_full_path(folder, name)
    if not path or not os.path.isfile(path):
        return None
    facts = os.stat(path)
    return _fingerprint(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=256)
def _fingerprint(path: str, size: int, changed: int) -> str:
    """Size, and a hash of the header and of blocks spread over the file: models are too large to read whole."""
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        digest.update(file.read(16 * BLOCK))
        for place in range(1, 17):
            file.seek(max(0, size * place // 16 - BLOCK))
            digest.update(file.read(BLOCK))
    return digest.hexdigest()
