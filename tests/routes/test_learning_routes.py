"""Versions change over HTTP while questions run, trainings are refused with a reason, and the page tells no names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from following import hand_in, wait
from serving import Server

from coreseg_core.checkpoint import load_weights
from coreseg_core.models.load import TOKENIZER_NAME
from coreseg_core.versions import CURRENT_NAME, Provenance, State, publish_version


def publish(server: Server, weights: str, state: State = "accepted") -> str:
    tensors, _ = load_weights(server.versions / weights)
    files = {TOKENIZER_NAME: (server.versions / weights / TOKENIZER_NAME).read_bytes()}
    guard = {"passed": state == "accepted", "reason": "" if state == "accepted" else "masks are worse"}
    provenance = Provenance(preset="lite", parent="v0", state=state, guard=guard, learned=("ab12",))
    return publish_version(server.versions, tensors, provenance, files=files).name


@pytest.fixture
def absent(server: Server) -> Iterator[str]:
    """Yield a version that sees nothing; what ships answers afterwards."""
    name = publish(server, "absent")
    yield name
    (server.versions / CURRENT_NAME).unlink(missing_ok=True)
    shutil.rmtree(server.versions / name, ignore_errors=True)


def told(server: Server) -> dict[str, object]:
    return dict(server.http.get("/coreseg/versions").json())


def test_a_version_answers_after_one_call_and_after_another_the_one_before(
    server: Server, absent: str
) -> None:
    assert told(server)["current"] == "v0"
    assert server.http.post(f"/coreseg/versions/{absent}/promote").json()["current"] == absent
    assert server.http.get("/coreseg/versions").json()["before"] == ["v0"]
    assert server.http.post("/coreseg/versions/roll-back").json()["current"] == "v0"
    refused = server.http.post("/coreseg/versions/roll-back")
    assert refused.status_code == 400
    assert "No version answered before" in refused.json()["detail"]["reason"]


def test_a_version_that_waits_says_why_and_answers_only_in_spite_of_it(server: Server) -> None:
    name = publish(server, "absent", state="candidate")
    try:
        refused = server.http.post(f"/coreseg/versions/{name}/promote")
        assert refused.status_code == 400
        assert "masks are worse" in refused.json()["detail"]["reason"]
        assert told(server)["current"] == "v0"
        taken = server.http.post(f"/coreseg/versions/{name}/promote?despite_guard=true")
        assert taken.json()["current"] == name
    finally:
        (server.versions / CURRENT_NAME).unlink(missing_ok=True)
        shutil.rmtree(server.versions / name)


def test_versions_that_are_not_there_are_not_found(server: Server) -> None:
    for name in ("20260101T000000Z-00000000", "..%2F..", "current.json"):
        assert server.http.post(f"/coreseg/versions/{name}/promote").status_code in (404, 405)
    assert "ab12" not in server.http.get("/coreseg/versions").text


def label_of(server: Server, job: str) -> bytes:
    return server.http.get(f"/coreseg/jobs/{job}/result?output=image").content


def test_questions_in_flight_during_a_promotion_end_on_the_version_they_began_on(
    server: Server, absent: str
) -> None:
    ask = {"scope": "range", "slice": "10:14"}
    alone = {}
    for name in (absent, "v0"):
        server.http.post(f"/coreseg/versions/{name}/promote")
        job = wait(server, hand_in(server, **ask)["id"])
        alone[name] = (job["record"]["slices"], label_of(server, job["id"]))
    assert alone["v0"] != alone[absent]
    first = hand_in(server, **ask)["id"]
    while server.http.get(f"/coreseg/jobs/{first}").json()["state"] == "queued":
        pass
    second = hand_in(server, **ask)["id"]
    # The first one runs and the second one waits.
    assert server.http.post(f"/coreseg/versions/{absent}/promote").status_code == 200
    jobs = {job: wait(server, job) for job in (first, second)}
    versions = [jobs[job]["record"]["model"]["version"] for job in (first, second)]
    assert versions[1] == absent
    for job, version in zip((first, second), versions, strict=True):
        name = absent if version == absent else "v0"
        assert (jobs[job]["record"]["slices"], label_of(server, job)) == alone[name]
        hashes = {"v0": "present", absent: absent}
        manifest = json.loads((server.versions / hashes[name] / "manifest.json").read_bytes())
        assert jobs[job]["record"]["model"]["sha256"] == manifest["files"]["weights.safetensors"]["sha256"]
    assert versions[0] != absent


def test_a_training_with_nothing_to_learn_from_is_refused_with_the_reason(server: Server) -> None:
    refused = server.http.post("/train/coreseg_sft", json={})
    assert refused.status_code == 400
    detail = refused.json()["detail"]
    assert "nothing to learn from" in detail["reason"] and detail["remedy"]
    assert server.http.get("/train/").status_code == 404
    assert server.http.get("/train/?check_if_running=true").status_code == 404
    assert server.http.delete("/train/").json() is None
    assert server.http.get("/coreseg/training").json() == {"trainings": []}
    assert server.http.get("/coreseg/training/nobody").status_code == 404
    assert server.http.get("/coreseg/training/nobody/events").status_code == 404


@pytest.mark.parametrize("params", [{"minutes": "ten"}, {"replay_share": 2}, {"resume": "nobody"}])
def test_wishes_that_cannot_be_granted_are_no_fault_of_the_server(
    server: Server, params: dict[str, object]
) -> None:
    assert server.http.post("/train/coreseg_sft", json=params).status_code in (400, 404)


def test_info_offers_both_trainers_as_stock_slicer_can_show_them(server: Server) -> None:
    info = server.http.get("/info/").json()
    assert set(info["trainers"]) == {"coreseg_sft", "coreseg_grpo"} == set(info["train_stats"])
    for value in info["trainers"]["coreseg_sft"]["config"].values():
        assert isinstance(value, int | float | list)


def test_the_page_runs_no_script_and_names_no_image(server: Server) -> None:
    page = server.http.get("/coreseg/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "demo_" not in page.text
    assert "not a medical device" in page.text
    assert server.http.get("/coreseg/learning").json()["versions"]["current"] == "v0"
