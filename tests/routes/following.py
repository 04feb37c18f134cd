"""Handing in a job and following it as a client does."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from serving import Server

ASK = {"query": "liver tumor", "reasoning": "none", "axis": "k"}
PATIENCE_S = 240.0


@dataclass(frozen=True)
class Heard:
    """One server-sent event."""

    id: int
    name: str
    data: dict[str, Any]


def hand_in(
    server: Server, image: str = "demo_ct_liver", model: str = "coreseg", **params: Any
) -> dict[str, Any]:
    body = {"image": image, "model": model, "params": {**ASK, **params}}
    response = server.http.post("/coreseg/jobs", json=body)
    assert response.status_code == 202, response.text
    assert response.headers["location"].endswith(f"/coreseg/jobs/{response.json()['id']}")
    return dict(response.json())


def wait(server: Server, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        job = server.http.get(f"/coreseg/jobs/{job_id}").json()
        # One that ended a while ago is not there any more.
        if job.get("state") not in ("queued", "running"):
            return dict(job)
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


def events(server: Server, job_id: str, after: int | None = None) -> list[Heard]:
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    response = server.http.get(f"/coreseg/jobs/{job_id}/events", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in response.text.strip().split("\n\n"):
        if not block.startswith(":"):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append(Heard(int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found
