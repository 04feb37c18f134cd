"""The server as an operator runs it, over a real socket: it answers while it works, and survives being killed."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from contextlib import suppress
from itertools import count

import httpx
import pytest
from following import ASK
from living import Live, chosen

from coreseg_core.imaging import read_label, read_volume

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]

SLICES = 20


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
    assert live.process is not None and live.process.wait(chosen("CORESEG_TEST_START_S", 400)) is not None
    assert "demo_ct_liver" not in live.log.read_text(errors="replace")


def test_a_token_from_the_environment_closes_every_door(live: Live) -> None:
    live.token = "a-long-and-random-one"
    http = live.start()
    assert http.get("/info/").status_code == 200
    for path in ("/info/", "/coreseg/health", "/docs", "/openapi.json", "/static/x", "/nothing"):
        assert httpx.get(f"http://127.0.0.1:{live.port}{path}").status_code == 401
    assert live.token not in live.log.read_text(errors="replace")


class Writer(threading.Thread):
    """Saves labels, images and sessions and asks questions, until the server is gone.

    Args:
        live: The server, which has started.
        http: Talks to it.
        turn: Stands in the names of what is saved.
    """

    def __init__(self, live: Live, http: httpx.Client, turn: int) -> None:
        super().__init__(daemon=True)
        self.saved: set[str] = set()
        self.one_is_saved = threading.Event()
        self._http, self._turn = http, turn
        self._label = (live.store / "truth" / "demo_ct_liver.nii.gz").read_bytes()
        self._image = (live.store / "demo_us_breast.nii.gz").read_bytes()

    def run(self) -> None:
        with suppress(httpx.TransportError):
            for number in count():
                self._write(f"t{self._turn}-{number}", number)

    def _write(self, name: str, number: int) -> None:
        where = {"image": "demo_ct_liver", "tag": name}
        label, image = ("l.nii.gz", self._label), ("x.nii.gz", self._image)
        sent = self._http.put("/datastore/label", params=where, files={"label": label})
        if sent.status_code == 200:
            self.saved.add(name)
            self.one_is_saved.set()
        self._http.put("/datastore/image", params={"image": name}, files={"file": image})
        self._http.put("/session/", files={"files": image})
        params = {**ASK, "slice": number % SLICES}
        self._http.post("/coreseg/jobs", json={"image": "demo_ct_liver", "params": params})


def answered(http: httpx.Client) -> str:
    """Return the tag of an answer that the server says it has kept."""
    sent = {"params": json.dumps({**ASK, "slice": 10})}
    patience_s = chosen("CORESEG_TEST_START_S", 400)
    answer = http.post(
        "/infer/coreseg", params={"image": "demo_ct_liver", "output": "json"}, data=sent, timeout=patience_s
    )
    assert answer.status_code == 200, answer.text
    return f"coreseg-{answer.json()['record']['id']}"


def test_killed_again_and_again_it_starts_with_a_whole_store(live: Live) -> None:
    chance, saved, starts_s = random.Random(0), set(), []
    kills = int(chosen("CORESEG_TEST_KILLS", 20))
    for turn in range(kills):
        begun = time.monotonic()
        http = live.start()
        starts_s.append(time.monotonic() - begun)
        if turn % 2:
            # The kill falls among the reading of weights and a long question, else among short ones and their answers.
            http.post("/coreseg/jobs", json={"image": "demo_ct_liver", "params": {**ASK, "scope": "volume"}})
        else:
            saved.add(answered(http))
        writer = Writer(live, http, turn)
        writer.start()
        # On a busy machine the first save may take a while; the kill is to fall among saves.
        assert writer.one_is_saved.wait(chosen("CORESEG_TEST_START_S", 400)), "nothing was saved in time"
        time.sleep(chance.uniform(0, 2.5))
        live.end(signal.SIGKILL)
        writer.join(60)
        saved |= writer.saved
    http = live.start()
    entry = http.get("/datastore/", params={"output": "all"}).json()["objects"]
    labels = entry["demo_ct_liver"]["labels"]
    assert saved and saved <= set(labels)
    geometry = read_volume(live.store / "demo_ct_liver.nii.gz").geometry
    for tag, label in labels.items():
        read_label(live.store / "labels" / tag / f"demo_ct_liver{label['ext']}", geometry)
        if tag.startswith("coreseg-"):
            json.loads((live.store / "labels" / tag / "demo_ct_liver.json").read_bytes())
    for name, known in entry.items():
        read_volume(live.store / f"{name}{known['image']['ext']}")
    sessions = [place for place in (live.store.parent / "sessions").iterdir() if place.name[0] != "."]
    for place in sessions:
        read_volume(place / "image.nii.gz")
        assert http.get(f"/session/{place.name}").status_code == 200
    written = sum(tag.startswith("t") for tag in saved)
    answers = sum(tag.startswith("coreseg-") for tag in labels)
    print(
        f"{kills} kills: {written} labels acknowledged, {len(labels) - answers} there; "
        f"{len(saved) - written} answers acknowledged, {answers} there; "
        f"{len(entry)} images and {len(sessions)} sessions whole; start {min(starts_s):.0f} to {max(starts_s):.0f} s"
    )
    live.end()
