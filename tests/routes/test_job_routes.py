"""A question handed in as a job is followed, cancelled, fetched, and never mixed up with another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from following import ASK, events, hand_in, wait
from serving import Server, strict_json, take_apart

from coreseg_core.imaging import read_volume


@pytest.fixture
def crowded(server: Server) -> Iterator[list[str]]:
    """Yield the jobs of a server that is busy with a whole volume; they are cancelled afterwards."""
    jobs = [hand_in(server, scope="volume")["id"]]
    yield jobs
    for job_id in reversed(jobs):
        server.http.delete(f"/coreseg/jobs/{job_id}")
    for job_id in jobs:
        wait(server, job_id)


def test_a_job_says_everything_in_order_and_ends_with_its_record(server: Server) -> None:
    job_id = hand_in(server, scope="range", slice="9:12")["id"]
    heard = events(server, job_id)
    assert [event.id for event in heard] == sorted({event.id for event in heard})
    names = [event.name for event in heard]
    assert names[-2:] == ["progress", "done"]
    assert names.count("slice") == 3
    findings = [event.data["finding"] for event in heard if event.name == "slice"]
    record = heard[-1].data["record"]
    assert findings == record["slices"]
    assert heard[-2].data == {"done": 3, "total": 3, "eta_s": 0.0}
    done = wait(server, job_id)
    assert done["state"] == "done" and done["record"] == record
    assert done["progress"]["done"] == done["progress"]["total"] == 3


def test_the_masks_of_the_slices_are_those_of_the_label(server: Server, tmp_path: Path) -> None:
    job_id = hand_in(server, scope="range", slice="9:11", foreground=[])["id"]
    heard = events(server, job_id)
    label = server.http.get(f"/coreseg/jobs/{job_id}/result", params={"output": "image"})
    path = tmp_path / "label.nii.gz"
    path.write_bytes(label.content)
    voxels = read_volume(path).voxels
    # A slice that is told again stands in the place of what was told before.
    last = {event.data["finding"]["index"]: event.data for event in heard if event.name == "slice"}
    assert sorted(last) == [9, 10]
    for index, data in last.items():
        runs = data["mask_rle"]
        flat = np.concatenate([np.full(count, turn % 2) for turn, count in enumerate(runs["counts"])])
        assert np.array_equal(flat.reshape(runs["shape"]), voxels[:, :, index])


def test_coming_back_goes_on_where_it_broke_off(server: Server) -> None:
    job_id = hand_in(server, slice=10)["id"]
    heard = events(server, job_id)
    lasting = [event for event in heard if event.name in ("slice", "done")]
    rest_of_it = events(server, job_id, after=heard[0].id)
    assert [event for event in rest_of_it if event in lasting] == lasting
    assert all(event in heard for event in rest_of_it)
    assert events(server, job_id, after=lasting[0].id)[-1:] == lasting[1:]
    rest = server.http.get(f"/coreseg/jobs/{job_id}/events", headers={"Last-Event-ID": str(heard[-1].id)})
    assert rest.status_code == 204
    for bad in ("x", "-1", "9" * 30):
        assert (
            server.http.get(f"/coreseg/jobs/{job_id}/events", headers={"Last-Event-ID": bad}).status_code
            == 400
        )


def test_a_job_gives_what_the_stock_route_gives(server: Server, tmp_path: Path) -> None:
    job_id = hand_in(server, slice=10)["id"]
    wait(server, job_id)
    first = take_apart(server.http.get(f"/coreseg/jobs/{job_id}/result"), tmp_path)
    again = take_apart(server.http.get(f"/coreseg/jobs/{job_id}/result"), tmp_path)
    stock = server.ask("demo_ct_liver", tmp_path, **{**ASK, "slice": 10})
    assert first.params == again.params
    assert np.array_equal(first.label.voxels, stock.label.voxels)
    assert first.params["record"]["slices"] == stock.params["record"]["slices"]
    assert first.params["record"]["id"] != stock.params["record"]["id"]
    shown = server.http.get(f"/coreseg/jobs/{job_id}/result", params={"output": "json"})
    assert strict_json(shown.content) == first.params


def test_the_answer_of_a_job_is_kept_once_in_the_store(server: Server) -> None:
    before = server.labels()
    record = events(server, hand_in(server, slice=11)["id"])[-1].data["record"]
    assert server.labels() - before == {
        f"coreseg-{record['id']}/demo_ct_liver.{ending}" for ending in ("json", "nii.gz")
    }


def test_a_running_job_stops_and_writes_nothing(server: Server, crowded: list[str]) -> None:
    before = server.labels()
    server.http.delete(f"/coreseg/jobs/{crowded[0]}")
    assert wait(server, crowded[0])["state"] == "cancelled"
    last = events(server, crowded[0])[-1]
    assert (last.name, last.data["code"]) == ("error", "cancelled")
    assert server.http.get(f"/coreseg/jobs/{crowded[0]}/result").status_code == 499
    assert server.labels() == before


def test_waiting_jobs_know_their_place_and_others_are_answered(server: Server, crowded: list[str]) -> None:
    crowded += [hand_in(server, slice=index)["id"] for index in (3, 4)]
    places = [server.http.get(f"/coreseg/jobs/{job_id}").json()["position"] for job_id in crowded]
    assert places[0] in (None, 0) and places[1:] == [1, 2]
    assert server.http.get("/info/").status_code == 200
    unready = server.http.get(f"/coreseg/jobs/{crowded[2]}/result")
    assert unready.status_code == 400 and "queued" in unready.json()["detail"]["reason"]
    server.http.delete(f"/coreseg/jobs/{crowded[1]}")
    assert server.http.get(f"/coreseg/jobs/{crowded[2]}").json()["position"] == 1


def test_a_full_queue_turns_away_jobs_and_stock_requests_alike(server: Server, crowded: list[str]) -> None:
    capacity = server.http.get("/coreseg/health").json()["queue"]["capacity"]
    crowded += [hand_in(server, slice=3)["id"] for _ in range(capacity - 1)]
    body = {"image": "demo_ct_liver", "params": {**ASK, "slice": 3}}
    while (response := server.http.post("/coreseg/jobs", json=body)).status_code == 202:
        crowded.append(response.json()["id"])
    stock = server.post(query={"image": "demo_ct_liver"}, params={**ASK, "slice": 3})
    for refused in (response, stock):
        assert refused.status_code == 503
        assert refused.json()["detail"]["code"] == "busy"
        assert int(refused.headers["retry-after"]) >= 1


def test_a_question_that_cannot_be_answered_is_refused_before_it_waits(
    server: Server, crowded: list[str]
) -> None:
    before = server.http.get("/coreseg/health").json()["queue"]["waiting"]
    for status, body in (
        (400, {"image": "demo_ct_liver", "params": {"slice": 3}}),
        (400, {"image": "demo_ct_liver", "params": {**ASK, "image": "x"}}),
        (400, {"params": ASK}),
        (400, {"image": "demo_ct_liver", "parms": ASK}),
        (400, {"image": 3, "params": ASK}),
        (400, {"image": "demo_ct_liver", "params": [ASK]}),
        (404, {"image": "nobody", "params": ASK}),
        (404, {"image": "demo_ct_liver", "model": "nobody", "params": ASK}),
        (404, {"session_id": "nobody", "params": ASK}),
    ):
        response = server.http.post("/coreseg/jobs", json=body)
        assert response.status_code == status, response.text
        assert set(response.json()["detail"]) == {"code", "reason", "remedy"}
    for text in ("{", "[]", "1", '{"image": NaN}', "[" * 5000, b"\xff"):
        assert server.http.post("/coreseg/jobs", content=text).status_code == 400
    # No more than before: what waited may have had its turn.
    assert server.http.get("/coreseg/health").json()["queue"]["waiting"] <= before


def test_what_goes_wrong_later_ends_the_job_with_its_reason(server: Server) -> None:
    job_id = hand_in(server, image="broken", slice=3)["id"]
    failed = wait(server, job_id)
    assert failed["state"] == "failed"
    assert failed["error"] == events(server, job_id)[-1].data
    result = server.http.get(f"/coreseg/jobs/{job_id}/result")
    assert (result.status_code, result.json()["detail"]) == (400, failed["error"])


@pytest.mark.parametrize("job_id", ["nobody", "%2e%2e%2fx", "0" * 32])
def test_a_job_that_is_not_there_is_not_found(server: Server, job_id: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/result")):
        assert server.http.request(method, f"/coreseg/jobs/{job_id}{path}").status_code in (404, 405)


def test_the_counters_tell_what_was_asked_and_name_nobody(server: Server) -> None:
    wait(server, hand_in(server, slice=10)["id"])
    text = server.http.get("/coreseg/metrics").text
    assert 'coreseg_jobs_total{kind="coreseg",state="done"}' in text
    assert 'coreseg_outcomes_total{outcome="' in text
    assert 'coreseg_cache_hits_total{cache="embedding"}' in text
    assert 'version="present"' in text
    assert 'coreseg_model_next{version="present"} 1' in text
    assert "coreseg_training_running 0" in text
    assert "demo_ct" not in text


def test_the_memory_of_the_model_is_given_back_and_the_next_question_loads_it_again(server: Server) -> None:
    from monailabel.interfaces.utils.app import app_instance

    def loaded() -> bool:
        return bool(server.http.get("/coreseg/health").json()["model"]["loaded"])

    assert wait(server, hand_in(server, slice=10)["id"])["state"] == "done" and loaded()
    app_instance().served_model.unload()
    assert not loaded()
    assert wait(server, hand_in(server, slice=10)["id"])["state"] == "done" and loaded()
