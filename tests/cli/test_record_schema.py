"""The JSON Schema of `coreseg.record/1` and what `FindingRecord.to_json` writes are one contract."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC
from importlib import resources
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import finding, record

from coreseg_core.record import OUTCOMES, SCHEMA, Claim, FindingRecord, Lesion, Scope, SliceFinding


def _schema() -> dict[str, Any]:
    text = resources.files("coreseg_core").joinpath("data/record.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


VALIDATOR = jsonschema.Draft7Validator(_schema())

_shares = st.floats(0, 1)
_indices = st.integers(0, 4000)
_words = st.text(min_size=1, max_size=12)
_boxes = st.tuples(*[_indices] * 4)
_claims = st.builds(
    Claim, _words, _words, _words, st.sampled_from(["supported", "contradicted", "unchecked"])
)
_findings = st.builds(
    SliceFinding,
    axis=st.integers(0, 2),
    index=_indices,
    outcome=st.sampled_from(OUTCOMES),
    mask=st.just(np.zeros((2, 2), dtype=bool)),
    reasoning=st.text(max_size=20),
    answer_text=st.text(max_size=20),
    boxes_xyxy_px=st.lists(_boxes, max_size=2).map(tuple),
    box_frame_wh=st.tuples(_indices, _indices),
    confidence=_shares,
    confidence_kind=_words,
    box_mask_iou=st.none() | _shares,
    claims=st.lists(_claims, max_size=2).map(tuple),
    reason=st.text(max_size=12),
)
_lesions = st.builds(
    Lesion,
    id=st.integers(1, 255),
    label_value=st.integers(1, 255),
    slices=st.lists(_indices, min_size=1, max_size=4).map(tuple),
    box_ijk=st.tuples(*[_indices] * 6),
    volume_mm3=st.floats(0, 1e7),
    confidence=_shares,
)
_edits = st.fixed_dictionaries(
    {"by": _words, "at": st.just("2026-01-31T12:00:00Z")},
    optional={"text": _words, "diff_voxels": _indices, "slices": st.lists(_indices, max_size=3)},
)
_points = st.lists(st.lists(st.floats(0, 4000), min_size=3, max_size=3), max_size=2)
_marks = st.fixed_dictionaries(
    {
        "inside_ijk": _points,
        "outside_ijk": _points,
        "boxes_ijk": st.lists(st.tuples(*[_indices] * 6), max_size=2),
    }
)
_records = st.builds(
    FindingRecord,
    id=_words,
    image_id=st.text(max_size=40),
    query=_words,
    scope=st.builds(Scope, st.integers(0, 2), _indices, st.integers(1, 4000)),
    model=st.just({"preset": "lite", "version": "v0", "sha256": "0" * 64}),
    outcome=st.sampled_from(OUTCOMES),
    slices=st.lists(_findings, max_size=2).map(tuple),
    lesions=st.lists(_lesions, max_size=2).map(tuple),
    created=st.datetimes(timezones=st.just(UTC)).map(
        lambda time: time.replace(year=2026).isoformat(timespec="seconds")
    ),
    series_uid=st.none() | st.just("1.2.826.0.1"),
    parent_id=st.none() | _words,
    edits=st.none() | _edits,
    marks=st.none() | _marks,
)


def test_the_schema_itself_is_draft_7_and_names_the_version_that_is_written() -> None:
    jsonschema.Draft7Validator.check_schema(_schema())
    assert _schema()["properties"]["schema"] == {"const": SCHEMA}
    assert _schema()["definitions"]["outcome"]["enum"] == list(OUTCOMES)


# Deadlines and health checks speak of this machine's load, not of the promise.
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_records)
def test_every_record_that_can_be_written_fits_the_schema(made: FindingRecord) -> None:
    VALIDATOR.validate(json.loads(json.dumps(made.to_json())))


def test_the_schema_knows_every_field_that_is_written_and_no_other() -> None:
    made, _ = record(
        finding("present", reason="why"),
        series_uid="1.2",
        parent_id="p",
        edits={"by": "r", "at": "t"},
        marks={"inside_ijk": [], "outside_ijk": [], "boxes_ijk": []},
    )
    written = made.to_json()
    schema = _schema()
    assert set(schema["properties"]) == set(written)
    for name, values in (("slice", written["slices"][0]), ("lesion", written["lesions"][0])):
        assert set(schema["definitions"][name]["properties"]) == set(values)
    assert set(schema["definitions"]["claim"]["properties"]) == set(written["slices"][0]["claims"][0])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("outcome"),
        lambda values: values.update(outcome="healthy"),
        lambda values: values.update(schema="coreseg.record/2"),
        lambda values: values.update(patient_name="X"),
        lambda values: values["scope"].update(axis=2),
        lambda values: values["model"].pop("sha256"),
        lambda values: values["slices"][0].update(confidence=1.2),
        lambda values: values["slices"][0]["boxes_xyxy_px"].append([1, 2, 3]),
        lambda values: values["slices"][0]["claims"][0].update(verdict="maybe"),
        lambda values: values["lesions"][0].update(label_value=0),
        lambda values: values["lesions"][0].update(box_ijk=[0.5, 0, 0, 1, 1, 1]),
        lambda values: values.update(created="yesterday"),
        lambda values: values.update(marks={"inside_ijk": [[1, 2]], "outside_ijk": [], "boxes_ijk": []}),
    ],
)
def test_a_record_that_breaks_the_contract_does_not_fit(spoil: Callable[[dict[str, Any]], Any]) -> None:
    made, _ = record(finding("present"))
    values = copy.deepcopy(made.to_json())
    VALIDATOR.validate(values)
    spoil(values)
    assert not VALIDATOR.is_valid(values)
