"""An answer in plain words for a terminal: the outcome first, then what it rests on.

Only `absent` may be read as absence, so every other outcome without a mask says that it is no "no".
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from coreseg_core import NOTICE
from coreseg_core.answer import parse
from coreseg_core.imaging import VolumeGeometry
from coreseg_core.record import FindingRecord, Lesion, Outcome, SliceFinding
from coreseg_core.reports.words import (
    CAUTIONS,
    HEADLINES,
    confidence_meaning,
    confidence_words,
    contradictions,
    millilitres,
    native_boxes,
    spoken_slices,
)

MAX_WIDTH = 100

_BOX_UNIT = "pixels of the slice as displayed, from its upper left corner"
Row = tuple[str, str]


def answer_text(
    record: FindingRecord,
    geometry: VolumeGeometry,
    *,
    written: Mapping[str, Path] | None = None,
    width: int | None = None,
) -> str:
    """Return what a person reads about a record.

    Args:
        record: What was found.
        geometry: Of the image that was asked.
        written: Files that were written, by what they are.
        width: Columns of the text; those of the terminal, at most 100, if not given.
    """
    width = width or min(shutil.get_terminal_size().columns, MAX_WIDTH)
    rows = _slice_rows(record.slices[0]) if len(record.slices) == 1 else _rows_of_many(record)
    rows += [_lesion_row(lesion, record, geometry) for lesion in record.lesions]
    if record.outcome in CAUTIONS:
        rows.append(("Note", CAUTIONS[record.outcome]))
    if geometry.located and any("left" in f.reasoning or "right" in f.reasoning for f in record.slices):
        rows.append(("Sides", _sides_words(geometry.plane(record.scope.axis))))
    rows += [(name, str(path)) for name, path in (written or {}).items()]
    model = record.model
    foot = f"Model {model['preset']} {model['version']} ({model['sha256'][:12]}). {NOTICE}"
    return "\n".join([headline(record, geometry), "", *_laid_out(rows, width), "", foot])


def headline(record: FindingRecord, geometry: VolumeGeometry) -> str:
    """Return the outcome in capitals with how many lesions were seen and where was looked."""
    words = HEADLINES[record.outcome]
    if record.lesions:
        words += f": {_counted(len(record.lesions), 'lesion')}"
    plane = f" ({geometry.plane(record.scope.axis)})" if geometry.located else ""
    if geometry.shape_ijk[record.scope.axis] == 1:
        return words
    if len(record.slices) == 1:
        return f"{words} on slice {record.scope.start}{plane}"
    with_mask = [finding.index for finding in record.slices if finding.outcome == "present"]
    looked_at = f"slices {record.scope.start} to {record.scope.stop - 1}{plane}"
    if with_mask:
        return f"{words} on {spoken_slices(with_mask)}; looked at {looked_at}"
    return f"{words} on {looked_at}"


def _rows_of_many(record: FindingRecord) -> list[Row]:
    """Return the rows of several slices: each one with a mask by itself, the others put together."""
    present = [finding for finding in record.slices if finding.outcome == "present"]
    rows: list[Row] = []
    for finding in present:
        parts = [finding.reasoning, *(f"WARNING: {text}" for text in contradictions(finding))]
        parts.append(f"Confidence {finding.confidence:.2f}.")
        if finding.boxes_xyxy_px:
            parts.append(f"Boxes {_box_spans(finding)}.")
        rows.append((f"Slice {finding.index}", " ".join(part for part in parts if part)))
    others: dict[tuple[Outcome, str], list[int]] = {}
    for finding in record.slices:
        if finding.outcome != "present":
            others.setdefault((finding.outcome, finding.reason), []).append(finding.index)
    for (outcome, reason), numbers in others.items():
        label = HEADLINES[outcome].capitalize()
        rows.append((label, f"{spoken_slices(numbers)}{': ' + reason if reason else ''}"))
    if present:
        rows.append(("Confidence", confidence_meaning(present[0].confidence_kind)))
        rows.append(("Boxes", _BOX_UNIT))
    return rows


def _slice_rows(finding: SliceFinding) -> list[Row]:
    said = parse(finding.answer_text)
    rows: list[Row] = []
    if finding.reasoning:
        rows.append(("Reasoning", finding.reasoning))
    rows += [("WARNING", text) for text in contradictions(finding)]
    if finding.outcome == "present" and said.class_name:
        rows.append(("Found", said.class_name))
    elif finding.outcome in ("absent", "mismatch") and finding.answer_text:
        rows.append(("Answer", finding.answer_text))
    if finding.reason:
        rows.append(("Why", finding.reason))
    if finding.outcome == "present" and finding.boxes_xyxy_px:
        rows.append(("Boxes", f"{_box_spans(finding)} ({_BOX_UNIT})"))
    rows.append(("Confidence", confidence_words(finding)))
    return rows


def _box_spans(finding: SliceFinding) -> str:
    return "; ".join(f"x {x0} to {x1}, y {y0} to {y1}" for x0, y0, x1, y1 in native_boxes(finding))


def _lesion_row(lesion: Lesion, record: FindingRecord, geometry: VolumeGeometry) -> Row:
    voxels = round(lesion.volume_mm3 / float(np.prod(geometry.spacing_mm)))
    if not geometry.located:
        size = _counted(voxels, "pixel")
    else:
        size = f"{millilitres(lesion.volume_mm3)} mL"
        if len(record.slices) < geometry.shape_ijk[record.scope.axis]:
            size += f" within {_looked_at(record)}"
    where = f", {spoken_slices(lesion.slices)}" if len(record.slices) > 1 else ""
    return f"Lesion {lesion.id}", f"{size}{where}, confidence {lesion.confidence:.2f}"


def _looked_at(record: FindingRecord) -> str:
    count = len(record.slices)
    return "the one slice looked at" if count == 1 else f"the {count} slices looked at"


def _sides_words(plane: str) -> str:
    shown = {
        "axial": "the patient's right is on the left of the picture",
        "coronal": "the patient's right is on the left of the picture",
        "sagittal": "the patient's front is on the left of the picture",
    }
    return f"left and right in the reasoning are those of the picture; {shown[plane]}."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _laid_out(rows: Sequence[Row], width: int) -> list[str]:
    """Return rows as two columns, the right one wrapped; paths and long words are never broken."""
    margin = max((len(name) for name, _ in rows), default=0) + 2
    lines: list[str] = []
    for name, text in rows:
        wrapped = textwrap.wrap(
            text, max(width - margin, 24), break_long_words=False, break_on_hyphens=False
        ) or [""]
        lines.append(name.ljust(margin) + wrapped[0])
        lines += [" " * margin + line for line in wrapped[1:]]
    return lines
