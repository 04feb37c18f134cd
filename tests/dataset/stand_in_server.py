"""A real local server that speaks as OpenAI-compatible ones do: well, badly, slowly, or not at all."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
SLOW_S = 1.5
TOKENS_IN, TOKENS_OUT = 1000, 50


@dataclass
class StandIn:
    """What the server does and what it was asked.

    Attributes:
        speak: From a request to the words of the reply.
        trouble: From the number of a request (from 0) to a kind of trouble, "" for none.
        paid: How often each request was answered with words.
    """

    speak: Callable[[Body], str]
    trouble: Callable[[int], str] = lambda _: ""
    url: str = ""
    requests: int = 0
    paid: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> str:
        with self.lock:
            self.requests += 1
            return self.trouble(self.requests - 1)

    def pay(self, body: Body) -> None:
        with self.lock:
            self.paid[hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()] += 1


def text_of(body: Body) -> str:
    """Return the words of the last message."""
    return str(next(part["text"] for part in body["messages"][-1]["content"] if part["type"] == "text"))


def pictures_of(body: Body) -> int:
    """Return how many pictures the last message has."""
    return sum(part["type"] == "image_url" for part in body["messages"][-1]["content"])


def well(body: Body) -> str:
    """Return what a good model would say: a description, a reasoning or good scores, different for each picture."""
    text = text_of(body)
    mark = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()[:6]
    if '"logic"' in text:
        return json.dumps({"normal_anatomy": 0.9, "lesion": 0.9, "logic": 0.8, "comment": "fine"})
    if '"reasoning"' in text:
        return json.dumps(
            {"reasoning": f"The breast tissue looks even, but one area differs; mark {mark} of a tumor."}
        )
    return json.dumps({"normal_anatomy": f"Even tissue, mark {mark}.", "lesion": "An area that differs."})


@contextmanager
def stand_in(
    speak: Callable[[Body], str] = well, *, trouble: Callable[[int], str] = lambda _: ""
) -> Iterator[StandIn]:
    """Serve on a free port of this machine."""
    state = StandIn(speak=speak, trouble=trouble)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kind = state.begin()
            if kind == "slow":
                time.sleep(SLOW_S)
            if kind in ("429", "500", "401", "400"):
                self._send(int(kind), b'{"error": {"message": "trouble"}}')
            elif kind == "broken":
                self._send(200, b'{"choices": [{"mess')
            elif kind == "page":
                self._send(200, b"<html>a proxy</html>", content_type="text/html")
            elif kind != "slow":
                state.pay(body)
                self._send(200, json.dumps(completion(state.speak(body))).encode())

        def _send(self, status: int, content: bytes, *, content_type: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("retry-after-ms", "10")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def completion(text: str) -> dict[str, Any]:
    """Return a chat completion as servers send it."""
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "stand-in",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {
            "prompt_tokens": TOKENS_IN,
            "completion_tokens": TOKENS_OUT,
            "total_tokens": TOKENS_IN + TOKENS_OUT,
        },
    }
