"""The picture of an answer: the slice that shows most of it."""

from __future__ import annotations

from pathlib import Path

from coreseg_core.imaging import Volume, extract_slice, overlay_png
from coreseg_core.models.preset import load_preset
from coreseg_core.record import FindingRecord, SliceFinding
from coreseg_core.reports.words import confidence_words, contradictions, native_boxes
from coreseg_core.terms import ct_region


def write_overlay(
    path: Path, volume: Volume, record: FindingRecord, *, finding: SliceFinding | None = None
) -> None:
    """Write a slice with its mask and boxes beside the answer's words.

    Args:
        path: Where to.
        volume: What was asked.
        record: What was answered.
        finding: Of the slice; that with the largest mask, the middle one if none has any, if not given.

    Raises:
        InputError: The place cannot be written.
    """
    finding = finding or shown_finding(record)
    image = extract_slice(volume, finding.axis, finding.index, region=_ct_region(record))
    present = finding.outcome == "present"
    boxes = native_boxes(finding) if present else ()
    lines = [
        record.query,
        *([where_words(volume, finding)] if len(record.slices) > 1 or image.located else []),
    ]
    lines += [finding.reasoning] if finding.reasoning else []
    lines += [f"WARNING: {text}" for text in contradictions(finding)]
    lines += [finding.reason] if finding.reason else []
    lines.append(f"Confidence: {confidence_words(finding)}")
    overlay_png(path, image, finding.mask if present else None, boxes, lines, outcome=finding.outcome)


def shown_finding(record: FindingRecord) -> SliceFinding:
    """Return the finding with the largest mask among those present, the middle one if there is none."""
    present = [finding for finding in record.slices if finding.outcome == "present"]
    if present:
        return max(present, key=lambda finding: int(finding.mask.sum()))
    return record.slices[len(record.slices) // 2]


def where_words(volume: Volume, finding: SliceFinding) -> str:
    """Return which slice it is, as "Slice 10 (axial)"."""
    plane = f" ({volume.geometry.plane(finding.axis)})" if volume.geometry.located else ""
    return f"Slice {finding.index}{plane}"


def _ct_region(record: FindingRecord) -> str | None:
    """Return whose CT window the model saw the slice through, so that the picture shows the same."""
    return ct_region(record.query, among=load_preset(record.model["preset"]).ct_regions)
