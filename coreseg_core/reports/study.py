"""The report of one study: what every question about every image came to, as values and as files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core import NOTICE
from coreseg_core.checkpoint import replace_file
from coreseg_core.errors import CoreSegError, InputError
from coreseg_core.imaging import Volume
from coreseg_core.record import FindingRecord, SliceFinding
from coreseg_core.reports.page import page
from coreseg_core.reports.picture import shown_finding, write_overlay
from coreseg_core.reports.words import confidence_meaning, contradictions

SCHEMA = "coreseg.study-report/1"
JSON_NAME = "report.json"
PAGE_NAME = "report.html"
MAX_PICTURES = 6
"""Key slices of one answer: that of each lesion where it is largest, the largest lesions first."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One question about one image, answered.

    Attributes:
        record: In words and numbers.
        plane: Across which the slices were cut, in words; empty for a flat picture.
        pictures: File names of key slices by slice number, relative to the report.
        files: Names of the files of mask and record by what they are, relative to the report.
    """

    record: FindingRecord
    plane: str
    pictures: Mapping[int, str]
    files: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        record = self.record
        kinds = [finding.confidence_kind for finding in record.slices if finding.outcome == "present"]
        slices: dict[str, list[int]] = {}
        reasons: dict[str, list[int]] = {}
        for finding in record.slices:
            slices.setdefault(finding.outcome, []).append(finding.index)
            if finding.reason:
                reasons.setdefault(finding.reason, []).append(finding.index)
        return {
            "query": record.query,
            "outcome": record.outcome,
            "record_id": record.id,
            "model": dict(record.model),
            "axis": "ijk"[record.scope.axis],
            "plane": self.plane,
            "slices": slices,
            "reasons": [{"text": text, "slices": numbers} for text, numbers in reasons.items()],
            "lesions": [
                {
                    "id": lesion.id,
                    "slices": list(lesion.slices),
                    "volume_ml": round(lesion.volume_mm3 / 1000, 6),
                    "confidence": round(lesion.confidence, 4),
                }
                for lesion in record.lesions
            ],
            "confidence_meaning": confidence_meaning(kinds[0]) if kinds else "",
            "warnings": [
                {"slice": finding.index, "text": text}
                for finding in record.slices
                for text in contradictions(finding)
            ],
            "pictures": [{"slice": index, "file": name} for index, name in self.pictures.items()],
            **self.files,
        }


@dataclass(frozen=True, kw_only=True)
class ImageReport:
    """What became of one image.

    Attributes:
        id: As in its study.
        facts: What is known of the image: modality, shape, spacing.
        answers: One for each question; none where the image failed.
        error: Why it failed.
    """

    id: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    answers: tuple[Answer, ...] = ()
    error: CoreSegError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what became of it as JSON values."""
        values: dict[str, Any] = {"id": self.id, **self.facts}
        if self.error is not None:
            error = self.error
            values["error"] = {"code": error.code, "reason": error.reason, "remedy": error.remedy}
        else:
            values["answers"] = [answer.to_json() for answer in self.answers]
        return values


def image_facts(volume: Volume) -> dict[str, Any]:
    """Return what a report says of an image itself."""
    spacing = [round(float(side), 4) for side in volume.geometry.spacing_mm]
    return {
        "modality": volume.modality,
        "shape": list(volume.geometry.shape_ijk),
        "spacing_mm": spacing if volume.geometry.located else None,
    }


def key_findings(record: FindingRecord, labels: NDArray[np.uint8]) -> tuple[SliceFinding, ...]:
    """Return the slices that a reader should see first: of each lesion its largest, else the one slice that is shown.

    Args:
        record: What was found.
        labels: (i, j, k), one value a lesion.
    """
    across = tuple(axis for axis in range(3) if axis != record.scope.axis)
    chosen: dict[int, None] = {}
    for lesion in record.lesions:
        chosen.setdefault(int((labels == lesion.label_value).sum(axis=across).argmax()))
    by_index = {finding.index: finding for finding in record.slices}
    found = tuple(by_index[index] for index in list(chosen)[:MAX_PICTURES])
    return found or (shown_finding(record),)


def write_pictures(
    folder: Path, stem: str, volume: Volume, record: FindingRecord, labels: NDArray[np.uint8]
) -> dict[int, str]:
    """Return the names of the pictures of an answer's key slices by slice number, once they are written.

    Raises:
        InputError: The folder cannot be written.
    """
    written = {}
    for finding in key_findings(record, labels):
        name = f"{stem}-slice-{finding.index}.png"
        write_overlay(folder / name, volume, record, finding=finding)
        written[finding.index] = name
    return written


def plane_of(volume: Volume, record: FindingRecord) -> str:
    """Return the plane that was looked at, in words."""
    return volume.geometry.plane(record.scope.axis) if volume.geometry.located else ""


def write_report(folder: Path, study: str, images: Sequence[ImageReport]) -> dict[str, Any]:
    """Return the report of a study, once it lies in the folder as JSON and as a page.

    Raises:
        InputError: The folder cannot be written.
    """
    values = {
        "schema": SCHEMA,
        "study": study,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "notice": NOTICE,
        "images": [image.to_json() for image in images],
    }
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        replace_file(folder / JSON_NAME, text.encode())
        replace_file(folder / PAGE_NAME, page(values).encode())
    except OSError as error:
        raise InputError(
            f"The report cannot be written ({error.strerror}).",
            remedy="Check the folder and the space left on the disk.",
        ) from error
    return values
