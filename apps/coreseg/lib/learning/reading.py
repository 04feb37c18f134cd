"""What a reader's final label says about each slice: which were changed, which accepted, which say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore
from numpy.typing import NDArray

from coreseg_core.answer import parse
from lib.kept import records_of

FINAL = "final"
MAX_SLICES = 24
"""Slices of one image that are learned from, so that one volume does not outweigh all others."""
MIN_NEGATIVES = 4
_SAID_NOTHING = ("mismatch", "unsupported", "uncertain", "error")
_REFUSED = ("rejected", "flagged")
_UNREADABLE = "its record cannot be read"


@dataclass(frozen=True, kw_only=True)
class ReadSlice:
    """One slice and what the reader made of it.

    Attributes:
        index: Along the record's axis.
        present: Whether a lesion is outlined.
        changed: Whether the model had outlined something else.
        reasoning: In the reader's words; empty where she wrote none.
    """

    index: int
    present: bool
    changed: bool
    reasoning: str = ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A final label with the question that it answers.

    Attributes:
        record: Of the question, with the reader's edits where she noted them.
        answered_tag: Under which the model's own label lies; None where there is none.
    """

    record: Mapping[str, Any]
    answered_tag: str | None

    @property
    def axis(self) -> int:
        """Array axis of the slices that were asked about."""
        return "ijk".index(self.record["scope"]["axis"])

    @property
    def text(self) -> str:
        """What the reader wrote in place of the model's words."""
        return str((self.record.get("edits") or {}).get("text") or "")


def reading_of(store: Datastore, image: str) -> Reading | str:
    """Return the reading behind an image's final label, or why nothing is learned from it."""
    info = store.get_label_info(image, FINAL)
    if fault_of(info):
        return _UNREADABLE
    params = info.get("params") or {}
    status = (info.get("segmentationMeta") or params.get("segmentationMeta") or {}).get("status")
    if params.get("verdict") in _REFUSED or status in _REFUSED:
        return "the label was refused at its review"
    tags = store.get_labels_by_image_id(image)
    records = records_of(store, image)
    submitted = params.get("record")
    if not isinstance(submitted, Mapping):
        if not records:
            return "nobody asked a question about the image"
        submitted = records[-1]
    if _fault_of_record(submitted):
        return _UNREADABLE
    names = (submitted.get("parent_id"), submitted.get("id"))
    tag = next((f"coreseg-{name}" for name in names if f"coreseg-{name}" in tags), None)
    return Reading(record=submitted, answered_tag=tag)


def fault_of(info: Mapping[str, Any]) -> str:
    """Return what of a label's info is not what it should be, as in "`params` is not an object"; empty if all is.

    What is absent or null is fine, and so is whatever else a client notes there.
    """
    params = info.get("params")
    if not isinstance(params, Mapping | None):
        return "`params` is not an object"
    params = params or {}
    objects = {
        "segmentationMeta": info.get("segmentationMeta"),
        "params.segmentationMeta": params.get("segmentationMeta"),
        "params.record": params.get("record"),
    }
    for name, value in objects.items():
        if not isinstance(value, Mapping | None):
            return f"`{name}` is not an object"
    record = params.get("record")
    return "" if record is None else _fault_of_record(record)


def _fault_of_record(record: Mapping[str, Any]) -> str:
    scope, edits = record.get("scope"), record.get("edits") or {}
    if not isinstance(record.get("query"), str):
        return "`query` of the record is not a text"
    if not isinstance(scope, Mapping) or scope.get("axis") not in ("i", "j", "k"):
        return "`scope` of the record is not an object whose `axis` is i, j or k"
    findings = record.get("slices", [])
    if not isinstance(findings, list) or not all(map(_is_finding, findings)):
        return "`slices` of the record is not a list of objects with an `index` from 0 and an `outcome`"
    if not isinstance(edits, Mapping) or not _are_numbers(edits.get("slices") or []):
        return "`edits` of the record is not an object whose `slices` are numbers"
    return ""


def _is_finding(value: object) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("outcome"), str):
        return False
    return _are_numbers([value.get("index")]) and value["index"] >= 0


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int for value in values)


def read_slices(
    reading: Reading, final_ijk: NDArray[np.bool_], answered_ijk: NDArray[np.bool_] | None
) -> list[ReadSlice]:
    """Return what is learned from an image, at most `MAX_SLICES`, the changed ones first of all.

    A slice without a lesion is learned from if the model's word was accepted there, or if the reader took a mask away.

    Args:
        reading: See `Reading`.
        final_ijk: What the reader outlined.
        answered_ijk: What the model had outlined; None where that is not kept.
    """
    axis = reading.axis
    findings = {int(finding["index"]): finding for finding in reading.record.get("slices", ())}
    outlined = np.flatnonzero(final_ijk.any(axis=tuple({0, 1, 2} - {axis})))
    edited = (reading.record.get("edits") or {}).get("slices") or ()
    found = []
    for index in sorted({*findings, *(int(number) for number in outlined)}):
        if index >= final_ijk.shape[axis]:
            continue
        plane = final_ijk.take(index, axis)
        before = None if answered_ijk is None else answered_ijk.take(index, axis)
        present = bool(plane.any())
        changed = index in edited or (present if before is None else bool((plane != before).any()))
        if not present and not changed and findings[index].get("outcome") in _SAID_NOTHING:
            # An empty plane here may mean that nobody looked.
            continue
        reasoning = _own_words(reading, index, findings)
        found.append(ReadSlice(index=index, present=present, changed=changed, reasoning=reasoning))
    return _chosen(found)


def _own_words(reading: Reading, index: int, findings: Mapping[int, Mapping[str, Any]]) -> str:
    """Return the reader's reasoning where there is no doubt which slice it is about."""
    edited = (reading.record.get("edits") or {}).get("slices") or ()
    about = list(findings) if len(findings) == 1 else [int(number) for number in edited]
    if about != [index] or not reading.text:
        return ""
    said = parse(reading.text)
    return said.reasoning or (reading.text if said.kind is None else "")


def _chosen(found: list[ReadSlice]) -> list[ReadSlice]:
    changed = _spread([one for one in found if one.changed], MAX_SLICES)
    outlined = [one for one in found if one.present and not one.changed]
    # Long runs of slices without a lesion teach no more than a few of them.
    number = max(MIN_NEGATIVES, sum(one.present for one in found))
    clear = _spread([one for one in found if not one.present and not one.changed], number)
    kept = [*changed, *_spread([*outlined, *clear], MAX_SLICES - len(changed))]
    return sorted(kept, key=lambda one: one.index)


def _spread(found: list[ReadSlice], count: int) -> list[ReadSlice]:
    """Return so many of them, evenly over the list."""
    if len(found) <= count:
        return found
    return [found[place * len(found) // count] for place in range(count)]
