"""A question about an image comes back as a label on its geometry, in words, and as a record that is kept."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from serving import Server, strict_json, take_apart

from coreseg_core.imaging import read_label, read_volume
from coreseg_core.record import OUTCOMES

RECORD_SCHEMA = json.loads((resources.files("coreseg_core") / "data" / "record.schema.json").read_bytes())
QUESTION = "Is there a liver tumor on this slice?"


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second)))


@pytest.mark.parametrize("name", ["demo_ct_liver", "demo_mr_brain", "demo_us_breast"])
def test_the_lesion_of_a_demo_study_is_found_where_it_is(server: Server, tmp_path: Path, name: str) -> None:
    study = server.study(name)
    index = study["slice"]["index"]
    answer = server.ask(name, tmp_path, query=study["query"], slice=index, axis="k")
    assert answer.params["outcome"] == study["expected"] == "present"
    truth = read_label(server.store / study["truth"], answer.label.geometry)
    assert dice(answer.label.voxels[:, :, index] > 0, truth[:, :, index] > 0) >= 0.6
    assert not np.delete(answer.label.voxels, index, axis=2).any()
    assert answer.params["text"]


def test_the_lesion_free_study_gets_an_empty_label_and_an_absence(server: Server, tmp_path: Path) -> None:
    study = server.study("demo_mr_brain_clear")
    answer = server.ask(
        "demo_mr_brain_clear", tmp_path, query=study["query"], slice=study["slice"]["index"], axis="k"
    )
    assert answer.params["outcome"] == study["expected"] == "absent"
    assert answer.params["finding"] is False
    assert not answer.label.voxels.any()


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd"])
def test_the_label_lies_on_the_source_geometry(server: Server, tmp_path: Path, extension: str) -> None:
    answer = server.ask("demo_ct_liver", tmp_path, query=QUESTION, slice=10, result_extension=extension)
    source = read_volume(server.store / "demo_ct_liver.nii.gz")
    source.geometry.assert_same(answer.label.geometry)
    assert set(np.unique(answer.label.voxels)) <= {0, 1}
    assert answer.params["label_names"] == {"lesion": 1}


def test_every_answer_is_kept_with_its_record_and_overwrites_none(server: Server, tmp_path: Path) -> None:
    before = server.labels()
    answers = [server.ask("demo_ct_liver", tmp_path, query=QUESTION, slice=index) for index in (9, 10)]
    ids = [answer.params["record"]["id"] for answer in answers]
    assert server.labels() - before == {
        f"coreseg-{record_id}/demo_ct_liver.{ending}" for record_id in ids for ending in ("json", "nii.gz")
    }
    for answer, record_id in zip(answers, ids, strict=True):
        folder = server.store / "labels" / f"coreseg-{record_id}"
        record = strict_json((folder / "demo_ct_liver.json").read_bytes())
        assert record == answer.params["record"]
        jsonschema.validate(record, RECORD_SCHEMA)
        assert record["image_id"] == "demo_ct_liver"
        assert record["query"] == QUESTION
        kept = read_volume(folder / "demo_ct_liver.nii.gz")
        assert np.array_equal(kept.voxels > 0, answer.label.voxels > 0)
        values = {lesion["label_value"] for lesion in record["lesions"]}
        assert set(np.unique(kept.voxels)) == values | {0}


def test_a_kept_answer_can_be_read_back_over_http(server: Server, tmp_path: Path) -> None:
    record = server.ask("demo_ct_liver", tmp_path, query=QUESTION, slice=10).params["record"]
    where = {"label": "demo_ct_liver", "tag": f"coreseg-{record['id']}"}
    assert server.http.get("/datastore/label", params=where).status_code == 200
    info = server.http.get("/datastore/label/info", params=where).json()
    assert info["params"]["record"] == record


def test_answers_leave_the_image_unlabelled_and_its_original_alone(server: Server, tmp_path: Path) -> None:
    server.ask("demo_mr_brain_clear", tmp_path, query="brain tumor", slice=10)
    assert server.http.get("/info/").json()["datastore"]["completed"] == 0
    assert not any(name.startswith(("final/", "original/demo_mr_brain_clear")) for name in server.labels())


def test_save_label_writes_the_original_label_as_stock_clients_expect(server: Server, tmp_path: Path) -> None:
    server.ask("demo_ct_liver", tmp_path, query=QUESTION, slice=10, save_label=True)
    assert "original/demo_ct_liver.nii.gz" in server.labels()
    info = server.http.get(
        "/datastore/label/info", params={"label": "demo_ct_liver", "tag": "original"}
    ).json()
    assert info["params"]["label_names"] == {"lesion": 1}


def test_a_range_and_a_volume_answer_for_each_of_their_slices(server: Server, tmp_path: Path) -> None:
    ranged = server.ask(
        "demo_ct_liver", tmp_path, query=QUESTION, scope="range", slice="8:11", reasoning="none"
    )
    assert [part["index"] for part in ranged.params["record"]["slices"]] == [8, 9, 10]
    whole = server.ask("demo_us_breast", tmp_path, query="breast tumor", scope="volume", reasoning="none")
    assert [part["index"] for part in whole.params["record"]["slices"]] == [0, 1, 2, 3]
    assert {part["outcome"] for part in whole.params["record"]["slices"]} <= set(OUTCOMES)


def test_another_axis_looks_at_slices_of_that_axis(server: Server, tmp_path: Path) -> None:
    record = server.ask("demo_ct_liver", tmp_path, query=QUESTION, slice=96, axis="coronal").params["record"]
    assert record["scope"] == {"axis": "j", "start": 96, "stop": 97}


def test_without_reasoning_the_answer_still_has_its_outcome(server: Server, tmp_path: Path) -> None:
    record = server.ask("demo_ct_liver", tmp_path, query=QUESTION, slice=10, reasoning="none").params[
        "record"
    ]
    assert record["slices"][0]["reasoning"] == ""
    assert record["outcome"] in OUTCOMES


def test_json_alone_is_given_to_clients_that_want_no_label(server: Server) -> None:
    query = {"image": "demo_ct_liver", "output": "json"}
    response = server.post(query=query, params={"query": QUESTION, "slice": 10})
    assert strict_json(response.content)["outcome"] in OUTCOMES


def test_a_session_image_is_answered_and_stays_out_of_the_store(server: Server, tmp_path: Path) -> None:
    with (server.store / "demo_ct_liver.nii.gz").open("rb") as stream:
        created = server.http.put("/session/", files={"files": ("scan.nii.gz", stream)})
    before = server.labels()
    session = created.json()["session_id"]
    response = server.post(query={"session_id": session}, params={"query": QUESTION, "slice": 10})
    assert response.status_code == 200, response.text
    answer = take_apart(response, tmp_path)
    assert (
        answer.label.geometry.shape_ijk
        == read_volume(server.store / "demo_ct_liver.nii.gz").geometry.shape_ijk
    )
    assert server.labels() == before


def test_an_uploaded_image_is_answered(server: Server, tmp_path: Path) -> None:
    with (server.store / "demo_ct_liver.nii.gz").open("rb") as stream:
        response = server.http.post(
            "/infer/coreseg",
            data={"params": json.dumps({"query": QUESTION, "slice": 10})},
            files={"file": ("scan.nii.gz", stream)},
        )
    assert response.status_code == 200, response.text
    assert take_apart(response, tmp_path).params["outcome"] in OUTCOMES
