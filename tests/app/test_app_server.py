"""What the server says about itself, and how it is started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import REPOSITORY, Server

START_S = 240


def test_info_offers_the_question_and_its_options_as_stock_slicer_can_show_them(server: Server) -> None:
    info = server.http.get("/info/").json()
    assert "config" not in info
    assert set(info["strategies"]) == {"random", "first", "uncertainty"}
    assert set(info["scoring"]) == {"dice", "agreement"}
    model = info["models"]["coreseg"]
    assert model["type"] == "segmentation"
    assert model["labels"] == {"lesion": 1}
    options = model["config"]
    assert {"query", "scope", "slice", "axis", "reasoning"} <= set(options)
    assert options["scope"] == ["slice", "range", "volume"]
    for value in options.values():
        assert isinstance(value, str) or all(isinstance(choice, str) for choice in value)


@pytest.mark.parametrize("strategy", ["random", "first", "uncertainty"])
def test_every_strategy_offers_an_image(server: Server, strategy: str) -> None:
    sample = server.http.post(f"/activelearning/{strategy}", json={}).json()
    assert sample["id"] in set(server.http.get("/datastore/?output=all").json()["objects"])


def test_health_names_preset_and_versions(server: Server) -> None:
    health = server.http.get("/coreseg/health").json()
    assert health["status"] == "ok"
    assert health["model"]["preset"] == "lite"
    assert health["model"]["next"]["version"] == "v0"
    assert health["model"]["device"] in ("auto", "cpu")
    assert set(health["versions"]) == {"coreseg", "monailabel", "torch", "transformers"}


def test_others_are_answered_while_a_volume_is_looked_at(server: Server) -> None:
    def whole_volume() -> int:
        query = {"image": "demo_us_breast", "output": "json"}
        return server.post(query=query, params={"query": "breast tumor", "scope": "volume"}).status_code

    answered = 0
    with ThreadPoolExecutor(1) as pool:
        question = pool.submit(whole_volume)
        while not question.done():
            assert server.http.get("/coreseg/health").status_code == 200
            answered += not question.done()
    assert question.result() == 200
    assert answered >= 2


def test_a_reload_installs_the_routes_once_more_and_not_twice(server: Server) -> None:
    before = len(server.http.app.router.routes)
    for _ in range(2):
        assert server.http.post("/reload").status_code == 200
        assert server.http.get("/info/").status_code == 200
        # The first one asked is ours: MONAI Label's own lets params overwrite the model.
        refused = server.post(query={"image": "demo_ct_liver"}, params={"query": "x", "model": "y"})
        assert refused.status_code == 400
        assert server.http.get("/coreseg/health").status_code == 200
    assert len(server.http.app.router.routes) == before


def test_mlflow_is_off_unless_asked_for(server: Server) -> None:
    from monailabel.config import settings

    assert server.http.get("/info/").status_code == 200
    assert settings.MONAI_LABEL_TRACKING_ENABLED is False


def test_the_documented_start_command_works_word_for_word(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = "monailabel start_server --app apps/coreseg --studies"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    environment["MONAI_LABEL_SESSION_PATH"] = str(tmp_path / "sessions")
    log = tmp_path / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command.split(), str(tmp_path / "studies"), "--host", "127.0.0.1", "--port", str(port)],
            cwd=REPOSITORY,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        health = _wait_for(f"http://127.0.0.1:{port}/coreseg/health", process)
    finally:
        process.terminate()
        process.wait(30)
    assert health is not None, log.read_text(errors="replace")[-3000:]
    assert health["status"] == "ok"


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return dict(httpx.get(address, timeout=5).json())
        except httpx.TransportError:
            time.sleep(0.5)
    return None
