"""A client of ComfyUI's server, after its own websocket example: queue a graph, hear what happens, fetch."""

import io
import json
import struct
import threading
import time
import uuid
from dataclasses import dataclass, field

import requests
import websocket

PREVIEW, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4  # ComfyUI's BinaryEventTypes


@dataclass(eq=False)
class Event:
    """One message: `type` as ComfyUI names it, or `text` (live text of a node), or `preview` (JPEG bytes)."""

    type: str
    data: dict
    time: float = field(default_factory=time.monotonic)


class Rejected(Exception):
    """The server refused the graph before running it. `errors`: node id → ComfyUI's list of what is wrong."""

    def __init__(self, answer):
        self.answer, self.errors = answer, answer.get("node_errors", {})
        details = [e for node in self.errors.values() for e in node["errors"]] or [answer["error"]]
        super().__init__("; ".join(f"{e['message']}: {e.get('details', '')}" for e in details))


class Failed(Exception):
    """A node raised. `run.error` holds node_id, node_type, exception_type, exception_message, traceback."""

    def __init__(self, run):
        self.run, self.node_id = run, run.error["node_id"]
        self.message, self.type = run.error["exception_message"].strip(), run.error["exception_type"]
        super().__init__(f"{run.error['node_type']} (node {self.node_id}): {self.message}")


@dataclass
class Run:
    """One queued graph that ended. status: success, error or interrupted."""

    prompt_id: str
    status: str
    outputs: dict  # node id → what it showed (images, text …), as in /history
    executed: list  # ids of the nodes that ran
    cached: list  # ids of the nodes that ComfyUI's cache answered for
    error: dict | None
    events: list  # the messages of this run
    client: "Client" = field(repr=False)

    def of(self, type, node=None):
        """The data of this run's events of one type, optionally of one node."""
        node = getattr(node, "id", node)
        return [e.data for e in self.events if e.type == type and node in (None, e.data.get("node"))]

    def images(self, node=None):
        """The images that a node (or every node) showed or saved, as PIL images."""
        nodes = self.outputs if node is None else [getattr(node, "id", node)]
        return [self.client.image(ref) for n in nodes for ref in self.outputs.get(n, {}).get("images", [])]

    def text(self, node):
        """The text that a node showed, as one string."""
        shown = self.outputs.get(getattr(node, "id", node), {})
        return "\n".join(str(part) for key in ("text", "string") for part in shown.get(key, []))


class Client:
    """`client.run(graph)` queues and waits; `queue`, `wait`, `interrupt` do it in steps.

    heard: called with each event as it comes, in the listening thread.
    """

    def __init__(self, url, heard=lambda event: None):
        self.url, self.id, self.heard = url, uuid.uuid4().hex, heard
        self.events = []
        self._new = threading.Condition()
        # Not create_connection(..., timeout): a long search may be silent for minutes.
        self._socket = websocket.create_connection(f"{url.replace('http', 'ws', 1)}/ws?clientId={self.id}")
        self._socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self):
        self._socket.close()

    def queue(self, graph, extra_pnginfo=None):
        """Queue a graph in API form; its prompt id."""
        body = {"prompt": graph, "client_id": self.id, "prompt_id": uuid.uuid4().hex}
        if extra_pnginfo is not None:
            body["extra_data"] = {"extra_pnginfo": extra_pnginfo}
        answer = requests.post(f"{self.url}/prompt", json=body, timeout=120)
        if answer.status_code == 400:
            raise Rejected(answer.json())
        answer.raise_for_status()
        return answer.json()["prompt_id"]

    def wait(self, prompt_id, timeout=300, check=True):
        """Until this graph has ended. check: a node that raised is raised here as `Failed`."""

        def ended(e):
            return e.type == "executing" and e.data["node"] is None and e.data.get("prompt_id") == prompt_id

        run = self._collect(prompt_id, self.wait_for(ended, timeout))
        if check and run.status == "error":
            raise Failed(run)
        return run

    def run(self, graph, timeout=300, check=True, extra_pnginfo=None):
        return self.wait(self.queue(graph, extra_pnginfo), timeout, check)

    def wait_for(self, wanted, timeout=300):
        """The first event heard so far or from now on for which `wanted(event)` holds."""
        seen, deadline = 0, time.monotonic() + timeout
        with self._new:
            while True:
                for event in self.events[seen:]:
                    if wanted(event):
                        return event
                    if event.type == "closed":
                        raise ConnectionError("The server closed the connection.")
                seen, left = len(self.events), deadline - time.monotonic()
                if left <= 0:
                    last = [(e.type, e.data) for e in self.events[-3:]]
                    raise TimeoutError(f"Not heard within {timeout} s. The last events: {last}")
                self._new.wait(left)

    def interrupt(self):
        requests.post(f"{self.url}/interrupt", json={}, timeout=30).raise_for_status()

    def free(self):
        """Unload all models and forget all cached results."""
        body = {"unload_models": True, "free_memory": True}
        requests.post(f"{self.url}/free", json=body, timeout=30).raise_for_status()

    def object_info(self):
        """Every node's inputs and outputs, as the page gets them."""
        return self.get("/object_info").json()

    def get(self, path, **params):
        answer = requests.get(f"{self.url}{path}", params=params, timeout=120)
        answer.raise_for_status()
        return answer

    def history(self, prompt_id):
        return self.get(f"/history/{prompt_id}").json().get(prompt_id)

    def image_bytes(self, ref):
        """The file behind one entry of a node's `images`, with its metadata."""
        return self.get("/view", **ref).content

    def image(self, ref):
        from PIL import Image

        picture = Image.open(io.BytesIO(self.image_bytes(ref)))
        picture.load()
        return picture

    def _collect(self, prompt_id, last):
        heard = self.events[: self.events.index(last)]
        events = [e for e in heard if e.data.get("prompt_id") in (prompt_id, None)]
        start = next(i for i, e in enumerate(events) if e.type == "execution_start")
        events = events[start:]
        by_type = {e.type: e.data for e in events}
        status = "interrupted" if "execution_interrupted" in by_type else "success"
        error = by_type.get("execution_error")
        return Run(
            prompt_id,
            "error" if error else status,
            (self.history(prompt_id) or {}).get("outputs", {}),
            [e.data["node"] for e in events if e.type == "executing" and e.data["node"] is not None],
            by_type.get("execution_cached", {}).get("nodes", []),
            error,
            events,
            self,
        )

    def _listen(self):
        while True:
            try:
                message = self._socket.recv()
            except (websocket.WebSocketException, OSError):
                message = None
            event = parse(message) if message else Event("closed", {})
            if event is None:
                continue
            self.heard(event)
            with self._new:
                self.events.append(event)
                self._new.notify_all()
            if event.type == "closed":
                return


def parse(message):
    """A websocket message as an Event."""
    if isinstance(message, str):
        content = json.loads(message)
        return Event(content["type"], content.get("data") or {})
    (kind,), rest = struct.unpack(">I", message[:4]), message[4:]
    if kind == PREVIEW:
        return Event("preview", {"image": rest[4:]})
    (size,), rest = struct.unpack(">I", rest[:4]), rest[4:]
    if kind == TEXT:
        return Event("text", {"node": rest[:size].decode(), "text": rest[size:].decode()})
    if kind == PREVIEW_WITH_METADATA:
        about = json.loads(rest[:size])
        data = {"prompt_id": about.get("prompt_id"), "node": about.get("node_id"), "image": rest[size:]}
        return Event("preview", data)
    return None
