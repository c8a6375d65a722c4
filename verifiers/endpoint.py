"""Asking a vision-language model behind an OpenAI-compatible server: Ollama, llama.cpp, vLLM, LM Studio ..."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from http.client import HTTPException
from urllib.parse import urlsplit

import torch
from PIL import Image

from .answer import LIKELIEST, LONGEST, Answer, NotUnderstood, T, not_understood, question_again, shown
from .verifier import VerifierError

URL_VARIABLE, KEY_VARIABLE = "NOISE_SEARCH_API_URL", "NOISE_SEARCH_API_KEY"
LONGEST_WAIT = 30.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Endpoint:
    """One model behind one server; see `answer.Answering`.

        endpoint = Endpoint("http://127.0.0.1:11434/v1", "qwen2.5vl:7b")
        answers = endpoint.ask(images, [["What is it?"]] * len(images), lambda answer: answer.text)

    url        up to and with /v1; empty: the environment's NOISE_SEARCH_API_URL
    seconds    a request that takes longer counts as failed
    retries    how often a failed request is tried again (429, 5xx, no connection, too slow), waiting 1, 2, 4 ...
               seconds between, or as long as the server says
    in_flight  requests under way at once
    side       longer side of the images sent, in pixels
    between    called often while waiting; what it raises ends the asking (a host's cancel)
    The key is the environment's NOISE_SEARCH_API_KEY, and goes to the server of NOISE_SEARCH_API_URL alone, so that
    a workflow from elsewhere cannot send it away. Redirects are not followed.
    """

    def __init__(
        self,
        url: str,
        model: str,
        seconds: float = 60.0,
        retries: int = 4,
        in_flight: int = 4,
        side: int = 768,
        between: Callable[[], None] = lambda: None,
        pause: float = 1.0,
    ):
        own = os.environ.get(URL_VARIABLE, "").strip().rstrip("/")
        self.url = url.strip().rstrip("/") or own
        self.model = model.strip()
        self._key = os.environ.get(KEY_VARIABLE, "") if self.url == own else ""
        self.seconds, self.retries, self.in_flight, self.side = seconds, retries, in_flight, side
        self.between, self.pause = between, pause
        self.key = f"{self.url}|{self.model}|{side}"
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise VerifierError(
                f"The server's URL is {self.url!r}: give one such as http://127.0.0.1:11434/v1, or set {URL_VARIABLE}."
            )
        if not self.model:
            raise VerifierError("The server's model has no name: give the one that the server lists.")
        self._proxies = {} if parts.hostname in _LOOPBACK else urllib.request.getproxies()
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler(self._proxies), _NoRedirect).open

    def check(self) -> None:
        """Raise VerifierError where no server is there, so that nothing is drawn before that is known."""
        parts = urlsplit(self.url)
        if self._proxies:
            return
        try:
            address = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection(address, timeout=min(self.seconds, 5.0)).close()
        except (OSError, ValueError) as cause:
            raise VerifierError(f"No server answers at {self.url} ({cause}): start it, or correct its URL.") from cause

    def modules(self) -> Sequence[torch.nn.Module]:
        return []

    def ask(
        self,
        images: torch.Tensor,
        questions: Sequence[Sequence[str]],
        read: Callable[[Answer], T],
        probabilities: bool = False,
    ) -> list[list[T]]:
        """See `Answering`. Raises VerifierError when the server fails, too."""
        stop = threading.Event()
        pool = ThreadPoolExecutor(max(1, self.in_flight))
        try:
            asked = [
                [pool.submit(self._understood, picture, question, read, probabilities, stop) for question in its]
                for picture, its in zip(map(_data_url, shown(images, self.side)), questions, strict=True)
            ]
            waiting = {answer for its in asked for answer in its}
            while waiting:
                done, waiting = wait(waiting, timeout=0.1, return_when="FIRST_EXCEPTION")
                for answer in done:
                    answer.result()
                self.between()
            return [[answer.result() for answer in its] for its in asked]
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def _understood(
        self,
        picture: str,
        question: str,
        read: Callable[[Answer], T],
        probabilities: bool,
        stop: threading.Event,
    ) -> T:
        answer = self._answer(picture, question, probabilities, stop)
        try:
            return read(answer)
        except NotUnderstood as why:
            again = question_again(question, why)
        answer = self._answer(picture, again, probabilities, stop)
        try:
            return read(answer)
        except NotUnderstood as why:
            raise VerifierError(not_understood(f"{self.model} at {self.url}", why, answer)) from why

    def _answer(self, picture: str, question: str, probabilities: bool, stop: threading.Event) -> Answer:
        content = [{"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": picture}}]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": LONGEST,
        }
        if probabilities:
            body |= {"logprobs": True, "top_logprobs": LIKELIEST}
        for tried in range(self.retries + 1):
            try:
                return _read_answer(self._post(json.dumps(body).encode()))
            except _Failed as failed:
                if not failed.passing or tried == self.retries or stop.is_set():
                    tries = "" if not failed.passing else f" ({tried + 1} tries)"
                    raise VerifierError(f"{self.model} at {self.url}: {failed}{tries}.") from failed
                stop.wait(min(LONGEST_WAIT, failed.after or self.pause * 2**tried))
        raise AssertionError("the last try returns or raises")

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(f"{self.url}/chat/completions", body, headers)
        ends = time.monotonic() + self.seconds
        try:
            with self._open(request, timeout=self.seconds) as reply:
                # The timeout counts from byte to byte: a server that trickles must end too.
                pieces = []
                while piece := reply.read1(1 << 16):
                    pieces.append(piece)
                    if time.monotonic() > ends:
                        raise TimeoutError
                return b"".join(pieces)
        except urllib.error.HTTPError as cause:
            said = cause.read(300).decode(errors="replace").strip()
            after = cause.headers.get("Retry-After", "")
            passing = cause.code == 429 or cause.code >= 500
            seconds = float(after) if after.isdigit() else None
            raise _Failed(f"the server answered {cause.code}: {said}{_remedy(cause.code)}", passing, seconds) from cause
        except TimeoutError as cause:
            raise _Failed(f"no answer within {self.seconds:g} seconds", True) from cause
        except (OSError, HTTPException) as cause:
            reason = getattr(cause, "reason", cause)
            if isinstance(reason, TimeoutError):
                raise _Failed(f"no answer within {self.seconds:g} seconds", True) from cause
            raise _Failed(f"the connection failed: {reason or type(cause).__name__}", True) from cause


class _Failed(Exception):
    """A request that came to nothing. passing: whether trying again may help. after: seconds to wait first."""

    def __init__(self, message: str, passing: bool, after: float | None = None):
        super().__init__(message)
        self.passing, self.after = passing, after


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


def _remedy(code: int) -> str:
    if code in (401, 403):
        return f" (set {KEY_VARIABLE} and {URL_VARIABLE} in ComfyUI's environment)"
    return " (is the URL right, and the model's name?)" if code == 404 else ""


def _read_answer(body: bytes) -> Answer:
    """The first choice of a chat completion. Raises _Failed for anything else, which trying again may mend."""
    try:
        choice = json.loads(body)["choices"][0]
        text = choice["message"]["content"]
        tokens = (choice.get("logprobs") or {}).get("content") or []
        first = _first_word(tokens)
    except (ValueError, LookupError, TypeError, AttributeError) as cause:
        raise _Failed(f"the reply is no chat completion: {body[:120]!r}", True) from cause
    if not isinstance(text, str):
        raise _Failed("the reply has no text", True)
    return Answer(text, first)


def _first_word(tokens: list[dict]) -> dict[str, float]:
    """Probability of each candidate for the first token that is not blank."""
    for token in tokens:
        if token["token"].strip():
            found: dict[str, float] = {}
            for choice in token.get("top_logprobs") or []:
                word = choice["token"].strip().casefold()
                found[word] = found.get(word, 0.0) + math.exp(choice["logprob"])
            return found
    return {}


def _data_url(image: Image.Image) -> str:
    png = io.BytesIO()
    image.save(png, "PNG")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
