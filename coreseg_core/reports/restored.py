"""A record that was kept, put together again from its JSON and its label volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.imaging import VolumeGeometry
from coreseg_core.imaging.slicing import placement_of
from coreseg_core.record import FindingRecord, Lesion, Scope, finding_of_json


def restored(values: Mapping[str, Any], labels: NDArray[np.uint8], geometry: VolumeGeometry) -> FindingRecord:
    """Return the record of its JSON values (`coreseg.record/1`), rounded as they are.

    Args:
        values: What `FindingRecord.to_json` wrote.
        labels: (i, j, k), one value a lesion.
        geometry: Of the image that was asked.
    """
    scope = values["scope"]
    axis = "ijk".index(scope["axis"])
    placement = placement_of(geometry, axis)
    findings = []
    for told in values["slices"]:
        shown = placement.show(np.take(labels, told["index"], axis=axis) > 0)
        mask = shown if told["outcome"] == "present" else np.zeros_like(shown)
        findings.append(finding_of_json(told, np.ascontiguousarray(mask)))
    return FindingRecord(
        id=values["id"],
        image_id=values["image_id"],
        query=values["query"],
        scope=Scope(axis, scope["start"], scope["stop"]),
        model=values["model"],
        outcome=values["outcome"],
        slices=tuple(findings),
        lesions=tuple(_lesion(told) for told in values["lesions"]),
        created=values["created"],
        series_uid=values.get("series_uid"),
        parent_id=values.get("parent_id"),
        edits=values.get("edits"),
        marks=values.get("marks"),
    )


def _lesion(told: Mapping[str, Any]) -> Lesion:
    i0, j0, k0, i1, j1, k1 = told["box_ijk"]
    return Lesion(
        id=told["id"],
        label_value=told["label_value"],
        slices=tuple(told["slices"]),
        box_ijk=(i0, j0, k0, i1, j1, k1),
        volume_mm3=told["volume_mm3"],
        confidence=told["confidence"],
    )
