"""A real HTTP server on this machine whose manners a test chooses, and a well-behaved CORE-Seg server made of it."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from CORESegLib.address import read_address
from CORESegLib.client import Client
from CORESegLib.transport import Timeouts, Transport

QUICK = Timeouts(connect_s=1.0, read_s=0.5, stream_s=1.0)
HEALTH = {
    "status": "ok",
    "model": {"preset": "lite", "version": "v0", "sha256": "0" * 64, "loaded": True},
    "queue": {"running": 0, "waiting": 2, "capacity": 32},
    "versions": {"coreseg": "0.1.0"},
}


class Exchange(BaseHTTPRequestHandler):
    """One request; answers are methods, so that a test writes `lambda e: e.json(200, {})`."""

    protocol_version = "HTTP/1.1"
    server: _Listening

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def json(self, status: int, values: Any, **headers: str) -> None:
        self.send(status, json.dumps(values).encode(), "application/json", **headers)

    def refuse(self, status: int, code: str, reason: str, **headers: str) -> None:
        detail = {"code": code, "reason": reason, "remedy": "Do something else."}
        self.json(status, {"detail": detail}, **headers)

    def send(self, status: int, content: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def chunks(self, kind: str) -> Callable[[bytes], None]:
        """Begin a chunked response and return what sends a piece of it."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        def send(piece: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()

        return send

    def events(self, *events: tuple[int, str, dict[str, Any]], whole: bool = True) -> None:
        send = self.chunks("text/event-stream")
        for number, name, data in events:
            send(f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode())
        if whole:
            send(b"")
        self.cut()

    def cut(self) -> None:
        """End the connection, whatever was promised."""
        self.close_connection = True

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    @property
    def query(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}

    def do_any(self) -> None:
        rude = self.server.rude
        path = urlsplit(self.path).path
        rude.seen.append((self.command, self.path))
        rude.headers.append(dict(self.headers.items()))
        manners = rude.manners.get((self.command, path)) or rude.manners.get(("*", "*"))
        if manners is None:
            self.body()
            self.refuse(404, "not_found", "There is no such thing.")
            return
        manners(self)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any  # noqa: N815


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    rude: RudeServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that leave are what is tested."""


class RudeServer:
    """A server with manners by (method, path); `("*", "*")` stands for all others."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self.manners: dict[tuple[str, str], Callable[[Exchange], None]] = {}
        self.seen: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self._http = _Listening(("127.0.0.1", 0), Exchange)
        self._http.rude = self
        if trust is not None:
            self._http.socket = trust.wrap_socket(self._http.socket, server_side=True)
        self.secure = trust is not None

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self._http.server_port}"

    def client(self, timeouts: Timeouts = QUICK, token: str | None = None, **options: Any) -> Client:
        return Client(Transport(read_address(self.url), timeouts=timeouts, token=token, **options))

    def always(self, manners: Callable[[Exchange], None]) -> None:
        self.manners = {("*", "*"): manners}

    def count(self, method: str, path: str) -> int:
        return sum(seen[0] == method and urlsplit(seen[1]).path == path for seen in self.seen)

    def __enter__(self) -> RudeServer:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()


def wait_until(true: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Return once something is true; fail if it does not become so."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.002)
