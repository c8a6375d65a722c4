"""An OpenAI-compatible chat server on loopback whose answers a function gives: for tests, and for oracles as judges."""

import base64
import io
import json
import math
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

DROP = "drop the connection"


def words(**probabilities):
    """The choices for the first word, for `Reply`'s `first`."""
    return [{"token": word, "logprob": math.log(p)} for word, p in probabilities.items()]


class Asked:
    """One request: what was asked about which image, and how."""

    def __init__(self, body, headers):
        self.body, self.headers = body, headers
        text, picture = body["messages"][0]["content"]
        self.question = text["text"]
        data = picture["image_url"]["url"].removeprefix("data:image/png;base64,")
        self.image = Image.open(io.BytesIO(base64.b64decode(data)))


@contextmanager
def chat_server(answer):
    """The server's URL and the list of requests so far, while it runs.

    answer(asked) gives a text; a text and the choices for its first word; a status code with headers and a body;
    bytes to send as they are; or DROP.
    """
    asked_so_far = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = Asked(body, dict(self.headers))
            asked_so_far.append(asked)
            found = answer(asked)
            if found is DROP:
                self.close_connection = True
                self.connection.close()
            elif isinstance(found, bytes):
                self.reply(200, {}, found)
            elif isinstance(found, tuple) and isinstance(found[0], int):
                self.reply(*found)
            else:
                text, first = found if isinstance(found, tuple) else (found, None)
                choice = {"message": {"role": "assistant", "content": text}}
                if first is not None and body.get("logprobs"):
                    choice["logprobs"] = {"content": [{"token": text.split()[0], "top_logprobs": first}]}
                self.reply(200, {}, json.dumps({"choices": [choice]}).encode())

        def reply(self, status, headers, body):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

        def finish(self):
            with suppress(OSError, ValueError):  # dropped on purpose, or given up on by the other side
                super().finish()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked_so_far
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
