"""A stand-in for huggingface.co on loopback, to which the real huggingface_hub talks: for tests of downloads."""

import hashlib
import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Hub:
    """repositories: repo → {file name: bytes}, all at every commit. `asked` holds (method, path, range) so far.

    cut  how many bytes of the next file to send before the connection breaks; then it is None again
    """

    def __init__(self, repositories):
        self.repositories = repositories
        self.asked = []
        self.cut = None
        self.url = ""

    def ranges(self, name):
        """The Range headers with which this file was asked for, in order."""
        return [given for method, path, given in self.asked if method == "GET" and path.endswith(f"/{name}")]

    def listing(self, repo, revision):
        files = [
            {
                "rfilename": name,
                "size": len(data),
                "blobId": "0" * 40,
                **({"lfs": _pointer(data)} if name.endswith((".pt", ".pth", ".safetensors")) else {}),
            }
            for name, data in self.repositories[repo].items()
        ]
        return {"id": repo, "modelId": repo, "sha": revision, "private": False, "tags": [], "siblings": files}


def _pointer(data):
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}


@contextmanager
def fake_hub(repositories):
    """A Hub that is serving, at `hub.url`."""
    hub = Hub(repositories)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path, given = urlsplit(self.path).path, self.headers.get("Range")
            hub.asked.append(("GET", path, given))
            parts = path.strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                repo, revision = "/".join(parts[2:4]), parts[5]
                if repo in hub.repositories:
                    return self.answer(200, json.dumps(hub.listing(repo, revision)).encode(), "application/json")
            elif parts[2] == "resolve" and parts[4] in hub.repositories.get("/".join(parts[:2]), {}):
                return self.file(hub.repositories["/".join(parts[:2])][parts[4]], given)
            return self.answer(404, b"{}", "application/json")

        def file(self, data, given):
            start = int(given.removeprefix("bytes=").rstrip("-")) if given else 0
            body = data[start:]
            self.send_response(206 if given else 200)
            if given:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            sent, hub.cut = hub.cut, None
            self.wfile.write(body[:sent])
            if sent is not None:
                self.wfile.flush()
                self.close_connection = True

        def answer(self, status, body, kind):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

        def finish(self):
            with suppress(OSError, ValueError):  # given up on by the other side
                super().finish()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
