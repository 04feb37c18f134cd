"""A batch of the server: killed, it goes on at its slice; done, each study has a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monailabel.interfaces.utils.app import app_instance
from serving import Server
from spelled import Heard

from coreseg_core.inference.segment import SLICES_AT_ONCE

JOURNALS = ".found"
IMAGE = "demo_mr_brain"
REQUEST = {"model": "coreseg", "images": [IMAGE, "broken"], "axis": "k", "reasoning": "none"}


def run(**asked: Any) -> dict[str, Any]:
    """Return the result of a batch, in this process."""
    result: dict[str, Any] = app_instance().batch_infer({**REQUEST, **asked})
    return result


@pytest.fixture
def encoder(server: Server) -> Any:
    heard = Heard()

    def count(_: object, inputs: tuple) -> None:
        heard.slices += len(inputs[0])
        if heard.slices > heard_limit["slices"]:
            raise KeyboardInterrupt

    heard_limit = {"slices": 10**6}
    model = app_instance().served_model.segmenter().answering.model
    hook = model.segmenter.image_encoder.register_forward_pre_hook(count)
    yield heard, heard_limit
    hook.remove()
    app_instance().served_model.unload()


def test_a_batch_goes_on_at_its_slice_and_leaves_a_report(
    server: Server, encoder: tuple[Heard, dict[str, int]]
) -> None:
    heard, limit = encoder
    limit["slices"] = SLICES_AT_ONCE
    with pytest.raises(KeyboardInterrupt):
        run(queries=["brain tumor"])
    (journal,) = (server.store / JOURNALS).glob("*.jsonl")
    assert len(json.loads(journal.read_text())) == SLICES_AT_ONCE
    limit["slices"] = 10**6
    result = run(queries=["brain tumor"])
    record = json.loads(
        (
            server.store / "labels" / f"coreseg-{result[IMAGE]['brain tumor']['record']}" / f"{IMAGE}.json"
        ).read_bytes()
    )
    # One was begun when it was killed.
    assert heard.slices == len(record["slices"]) + 1
    assert not list((server.store / JOURNALS).glob("*.jsonl"))
    assert result["broken"]["brain tumor"]["code"]
    folder: Path = server.store / "reports" / server.store.name
    report = json.loads((folder / "report.json").read_bytes())
    told = {image["id"]: image for image in report["images"]}
    assert set(told) == {IMAGE, "broken"}
    assert "error" in told["broken"]
    (answer,) = told[IMAGE]["answers"]
    assert answer["record_id"] == record["id"]
    for name in (answer["mask"], answer["record"], *(picture["file"] for picture in answer["pictures"])):
        assert (folder / name).is_file()
    assert IMAGE in (folder / "report.html").read_text()


def test_a_range_of_slices_is_asked_of_every_image(
    server: Server, encoder: tuple[Heard, dict[str, int]]
) -> None:
    result = run(images=[IMAGE], query="brain lesion", scope="range", slice="3:6")
    number = result[IMAGE]["brain lesion"]["record"]
    record = json.loads((server.store / "labels" / f"coreseg-{number}" / f"{IMAGE}.json").read_bytes())
    assert [finding["index"] for finding in record["slices"]] == [3, 4, 5]
    assert encoder[0].slices == 3


UNNAMED = [{"scope": "slice"}, {"scope": "range"}, {"scope": "range", "slice": ""}, {"slice": "3:7"}]


@pytest.mark.parametrize("asked", UNNAMED)
def test_a_batch_that_names_no_slices_it_can_ask_about_does_not_begin(
    server: Server, asked: dict[str, Any]
) -> None:
    response = server.http.post("/batch/infer/coreseg", json={"query": "liver tumor", **asked})
    assert response.status_code == 400
    detail = response.json()["detail"]
    assert "slice" in detail["reason"] and "scope" in detail["reason"] and detail["remedy"]


def test_no_client_chooses_where_a_batch_keeps_what_it_finds(server: Server) -> None:
    response = server.http.post("/batch/infer/coreseg", json={"query": "x", "journals": "/tmp"})
    assert response.status_code == 400
    assert server.post(query={"image": IMAGE}, params={"query": "x", "journals": "/tmp"}).status_code == 400
