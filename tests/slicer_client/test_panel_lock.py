"""Slicer's event loop keeps the interpreter lock; bytes move all the same, because the pump gives way."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rude_server import HEALTH

from CORESegLib.address import read_address
from CORESegLib.client import Client
from CORESegLib.stopping import CancelToken
from CORESegLib.transport import Transport
from CORESegLib.worker import STROKE_MS, YIELD_S, Pump, Task

MEGABYTES = 20
# In a process of its own: in this one it would wait for the same lock.
SERVER = f"""
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Exchange(BaseHTTPRequestHandler):
    def log_message(self, *words): pass
    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
    def do_GET(self):
        self.answer({HEALTH!r} and bytes({MEGABYTES} << 20))
    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        while left: left -= len(self.rfile.read(min(left, 1 << 20)))
        self.answer(b"{{}}")
server = ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with subprocess.Popen([sys.executable, "-I", "-c", SERVER], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        port = running.stdout.readline().strip()
        yield Client(Transport(read_address(f"127.0.0.1:{port}")))
        running.kill()


def seconds_under_lock(work: Callable[[CancelToken], None], yield_s: float, limit_s: float = 4.0) -> float:
    """Return how long work takes while the main thread sits in a C call that keeps the lock, as Slicer's does."""
    asleep = ctypes.PyDLL(None).usleep
    pump = Pump(yield_s)
    task: Task[None] = Task(lambda tell, cancel: work(cancel))
    begun = time.monotonic()
    pump.start(task, lambda message: None)
    while pump.busy and time.monotonic() - begun < limit_s:
        asleep(STROKE_MS * 1000)
        pump.stroke()
    taken = time.monotonic() - begun
    pump.stop(timeout_s=5)
    return taken


@pytest.mark.skipif(sys.platform == "win32", reason="usleep")
@pytest.mark.parametrize("direction", ["down", "up"])
def test_20_mb_move_in_under_a_second_while_the_main_thread_keeps_the_lock(
    client: Client, tmp_path: Path, direction: str
) -> None:
    image = tmp_path / "image.nrrd"
    image.write_bytes(bytes(MEGABYTES << 20))

    def down(cancel: CancelToken) -> None:
        client.fetch_image("a", tmp_path / "got", cancel, limit_bytes=1 << 30)

    def up(cancel: CancelToken) -> None:
        client.send_image("a", image, {}, cancel)

    work = down if direction == "down" else up
    # The best of some: the machine may be busy with other things, the lock never is by chance.
    assert min(seconds_under_lock(work, YIELD_S) for _ in range(3)) < 1.0
    if direction == "down":
        assert (tmp_path / "got").stat().st_size == MEGABYTES << 20
