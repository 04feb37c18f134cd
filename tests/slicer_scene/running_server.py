"""A CORE-Seg server in a process and an environment of its own, as a hospital runs it, with the demo studies."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from CORESegLib.address import read_address
from CORESegLib.client import Client
from CORESegLib.stopping import CancelToken
from CORESegLib.transport import Transport
from CORESegLib.trouble import Trouble

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = "CORESEG_SERVER_PYTHON"
"""Names the Python of an environment that the server is installed in; without it these tests are left out."""
URL = "CORESEG_SERVER"
"""Names a server that runs already, with the demo studies of the folder `CORESEG_SERVER_STUDIES`."""
START_S = 240.0


@contextmanager
def running_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield address and studies folder of a server; one that is started here keeps its versions beside the studies."""
    if url := os.environ.get(URL):
        _wait_for(url, lambda: True)
        yield url, Path(os.environ[f"{URL}_STUDIES"])
        return
    python, studies = os.environ[PYTHON], folder / "studies"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("QT_QPA_PLATFORM", "VTK_DEFAULT_OPENGL_WINDOW", "PYTHONPATH")
    }
    environment |= {
        "PATH": f"{Path(python).parent}{os.pathsep}{environment.get('PATH', '')}",
        "PYTHONPATH": str(REPOSITORY),
    }
    subprocess.run(
        [python, "-m", "coreseg_core.phantoms", studies], check=True, env=environment, cwd=REPOSITORY
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(python).with_name("monailabel")),
        "start_server",
        "--app",
        str(REPOSITORY / "apps/coreseg"),
    ]
    command += [
        "--studies",
        str(studies),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    for key, value in (("device", "cpu"), ("versions", folder / "versions"), ("runs", folder / "runs")):
        command += ["--conf", key, str(value)]
    url = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        started = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_for(url, lambda: started.poll() is None)
            yield url, studies
        finally:
            _stop_training(url)
            started.terminate()
            started.wait(20)


def _stop_training(url: str) -> None:
    """Leave no training behind: it outlives the server, as it should."""
    client = Client(Transport(read_address(url))).training
    with suppress(Trouble):
        for run in client.all(CancelToken()):
            if not run.ended:
                client.stop(run.run, CancelToken())


def _wait_for(url: str, alive: Callable[[], bool]) -> None:
    client = Client(Transport(read_address(url)))
    end = time.monotonic() + START_S
    while alive() and time.monotonic() < end:
        try:
            client.health(CancelToken())
            return
        except Trouble:
            time.sleep(0.5)
    raise AssertionError("the server did not start; its log lies in the test's folder")
