"""What a corrected slice is and shows, in the words that questions about it use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coreseg_core.answer import parse
from coreseg_core.terms import Understanding, terms, understand

MODALITY_WORDS = {
    "CT": "CT",
    "MR": "MRI",
    "PT": "PET",
    "US": "ultrasound",
    "OP": "fundus photography",
    "DERM": "dermoscopy",
    "ES": "endoscopy",
    "XR": "chest X-ray",
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Words for a row of the manifest, whose meaning is the same there.

    Attributes:
        target: What is outlined; also what an answer calls it.
        modality: As in "MRI FLAIR".
        anatomy: As in "brain".
    """

    target: str
    modality: str
    anatomy: str


def subject_of(record: Mapping[str, Any], *, family: str | None, told: str = "") -> Subject | str:
    """Return what a record is about, or why that cannot be told.

    Args:
        record: As `coreseg.record/1`.
        family: What made the image ("MR"), as its header says it; None where nothing does.
        told: What the reader wrote.
    """
    asked = understand(str(record.get("query", "")))
    target = _target(asked, record)
    if not target:
        return "the question names nothing that could be outlined"
    modality = _modality(asked, record, family=family, told=told)
    if modality is None:
        return "neither image nor question says what made the picture"
    return Subject(target=target, modality=modality, anatomy=_anatomy(asked, target))


def _target(asked: Understanding, record: Mapping[str, Any]) -> str:
    """Return what the question names; where it only says "lesion", what the model took that for."""
    for named in (asked.targets, asked.unsupported_terms, asked.foils):
        if named:
            return named[0]
    for finding in record.get("slices", ()):
        said = parse(str(finding.get("answer", "")))
        if said.class_name:
            return said.class_name
    return ""


def _modality(
    asked: Understanding, record: Mapping[str, Any], *, family: str | None, told: str
) -> str | None:
    texts = [told, *(str(finding.get("reasoning", "")) for finding in record.get("slices", ()))]
    for said in (asked, *(understand(text) for text in texts)):
        if said.modality is not None and family in (None, "OT", said.modality_family):
            return said.modality
    return MODALITY_WORDS.get(family or "")


def _anatomy(asked: Understanding, target: str) -> str:
    known = next((entry for entry in terms().targets if entry.name == target), None)
    if known is None:
        return asked.anatomy or "body"
    where = [entry for entry in terms().anatomies if entry.group == known.organ]
    said = [entry.name for entry in where if entry.name == asked.anatomy]
    return (said or [entry.name for entry in where] or ["body"])[0]
