"""The server as an operator runs it: in a process of its own, over a real socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from serving import REPOSITORY


def chosen(name: str, default: float) -> float:
    """Return how much of something a slow test does: what the environment variable says, else all that is promised."""
    return float(os.environ.get(name, default))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass
class Live:
    """A server in a process of its own.

    Attributes:
        store: Folder of studies.
        weights: What answers.
        log: Where its words go.
        studies: In place of `store`.
        token: What it asks for.
        conf: Further `--conf` settings.
        environment: Further environment variables.
    """

    store: Path
    weights: Path
    log: Path
    studies: str = ""
    token: str = ""
    conf: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    port: int = field(default=0)

    def start(self) -> httpx.Client:
        self.port = free_port()
        command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", "apps/coreseg"]
        command += ["--studies", self.studies or str(self.store)]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        none = str(self.store.parent / "none")
        for key, value in {"weights": str(self.weights), "versions": none, **self.conf}.items():
            command += ["--conf", key, value]
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "CORESEG_TOKEN": self.token,
            "MONAI_LABEL_SESSION_PATH": str(self.store.parent / "sessions"),
            **self.environment,
        }
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=300)
        deadline = time.monotonic() + chosen("CORESEG_TEST_START_S", 400)
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if http.get("/coreseg/health", timeout=5).status_code == 200:
                    return http
            except httpx.TransportError:
                time.sleep(0.3)
        raise AssertionError(self.log.read_text(errors="replace")[-3000:])

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(chosen("CORESEG_TEST_START_S", 400))
