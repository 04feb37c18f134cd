"""The server as an operator runs it, over a real socket: it answers while it works, and survives being killed."""

from __future__ import annotations

import json
import signal
import threading
import time

import httpx
import pytest
from following import ASK
from living import Live, chosen

from coreseg_core.imaging import read_label, read_volume

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_events_come_as_they_happen_and_a_stop_ends_the_job(live: Live) -> None:
    http = live.start()
    http.post(
        "/infer/coreseg", params={"image": "demo_us_breast"}, data={"params": json.dumps({**ASK, "slice": 1})}
    )
    body = {"image": "demo_ct_liver", "params": {**ASK, "scope": "volume"}}
    job_id = http.post("/coreseg/jobs", json=body).json()["id"]
    seen = []
    with http.stream("GET", f"/coreseg/jobs/{job_id}/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                seen.append(line.removeprefix("event: "))
            if line.startswith("event: slice") and seen.count("slice") == 8:
                state = http.get(f"/coreseg/jobs/{job_id}").json()["state"]
                assert state == "running", "the events came only when all was over"
                assert live.process is not None
                live.process.send_signal(signal.SIGTERM)
    assert seen[-1] == "error"
    assert live.process is not None and live.process.wait(30) is not None
    assert "demo_ct_liver" not in live.log.read_text(errors="replace")


def test_a_token_from_the_environment_closes_every_door(live: Live) -> None:
    live.token = "a-long-and-random-one"
    http = live.start()
    assert http.get("/info/").status_code == 200
    for path in ("/info/", "/coreseg/health", "/docs", "/openapi.json", "/static/x", "/nothing"):
        assert httpx.get(f"http://127.0.0.1:{live.port}{path}").status_code == 401
    assert live.token not in live.log.read_text(errors="replace")


def test_killed_again_and_again_it_starts_with_a_whole_store(live: Live) -> None:
    truth = (live.store / "truth" / "demo_ct_liver.nii.gz").read_bytes()
    image = (live.store / "demo_us_breast.nii.gz").read_bytes()
    saved: set[str] = set()
    for turn in range(int(chosen("CORESEG_TEST_KILLS", 20))):
        http = live.start()
        stop = threading.Event()

        def write(http: httpx.Client = http, stop: threading.Event = stop, turn: int = turn) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                tag = f"t{turn}-{number}"
                try:
                    where = {"image": "demo_ct_liver", "tag": tag}
                    sent = http.put("/datastore/label", params=where, files={"label": ("l.nii.gz", truth)})
                    http.put("/datastore/image", params={"image": tag}, files={"file": ("x.nii.gz", image)})
                    http.put("/session/", files={"files": ("x.nii.gz", image)})
                except httpx.TransportError:
                    return
                if sent.status_code == 200:
                    saved.add(tag)

        http.post("/coreseg/jobs", json={"image": "demo_ct_liver", "params": {**ASK, "scope": "volume"}})
        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(1.5 + 0.37 * (turn % 7))
        live.end(signal.SIGKILL)
        stop.set()
        writer.join(60)
    http = live.start()
    entry = http.get("/datastore/", params={"output": "all"}).json()["objects"]
    assert saved and saved <= set(entry["demo_ct_liver"]["labels"])
    geometry = read_volume(live.store / "demo_ct_liver.nii.gz").geometry
    for tag, label in entry["demo_ct_liver"]["labels"].items():
        read_label(live.store / "labels" / tag / f"demo_ct_liver{label['ext']}", geometry)
        if tag.startswith("coreseg-"):
            json.loads((live.store / "labels" / tag / "demo_ct_liver.json").read_bytes())
    for name, known in entry.items():
        read_volume(live.store / f"{name}{known['image']['ext']}")
    live.end()
