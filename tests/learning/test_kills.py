"""kill -9 of the training, of the server and of both, at random points: a run goes on or ends, versions are whole or
absent, and what answers is always whole.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tiny_runs import ENVIRONMENT, HERE, make_place

from coreseg_core.checkpoint import verify_folder
from coreseg_core.runs import ENDED, RunFolder, runs_in
from coreseg_core.versions import resolve_current

POINTS = int(os.environ.get("CORESEG_KILL_POINTS", "20"))
LONG_S = 600.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]


def serve(place: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "tiny_server.py"), str(place)]
    with (place / "server.log").open("ab") as log:
        return subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log)


def processes_of(place: Path) -> list[int]:
    """Return the processes of the training: those whose command names the place, the server left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(place) in words and "tiny_server" not in words:
            found.append(int(entry.name))
    return found


def kill(number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


def assert_whole(place: Path) -> None:
    versions = place / "versions"
    for folder in versions.glob("[!.]*/"):
        verify_folder(folder)
    verify_folder(resolve_current(versions, place / "parent"))


def until_ended(place: Path, server: subprocess.Popen[bytes]) -> RunFolder:
    deadline = time.monotonic() + LONG_S
    while time.monotonic() < deadline:
        assert_whole(place)
        found = runs_in(place / "runs")
        if found and found[-1].state.state in ENDED and server.poll() is not None:
            return found[-1]
        time.sleep(0.5)
    raise AssertionError((place / "server.log").read_text())


@pytest.fixture(scope="module")
def whole_s(tmp_path_factory: pytest.TempPathFactory) -> float:
    """How long a run takes that nobody kills."""
    place = make_place(tmp_path_factory.mktemp("whole"), pause_s=0.5)
    began = time.monotonic()
    run = until_ended(place, serve(place))
    assert (run.state.state, run.state.promoted) == ("done", True), run.state
    return time.monotonic() - began


@pytest.mark.parametrize("point", range(POINTS))
def test_whatever_is_killed_whenever_all_that_is_left_is_whole(
    point: int, tmp_path: Path, whole_s: float
) -> None:
    rng = random.Random(point)
    place = make_place(tmp_path, pause_s=0.5)
    server = serve(place)
    time.sleep(rng.uniform(0.05, 1.05) * whole_s)
    victims = ("training", "server", "both", "one of the training's")[point % 4]
    if victims in ("server", "both"):
        kill(server.pid)
        server.wait()
    training = processes_of(place)
    if victims == "one of the training's" and training:
        training = [rng.choice(training)]
    if victims != "server":
        for number in training:
            kill(number)
    assert_whole(place)
    if victims in ("server", "both"):
        server = serve(place)
    run = until_ended(place, server)
    assert (run.state.state, run.state.promoted) == ("done", True), (victims, run.state)
    assert len(list((place / "versions").glob("[!.]*/"))) == 1
    assert not processes_of(place)
