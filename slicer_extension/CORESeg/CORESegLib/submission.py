"""What a reader submits: the label, and the record with who changed what, so that training can learn from it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from CORESegLib.findings import Record
from CORESegLib.geometry import Difference

FINAL = "final"
MAX_TEXT = 20_000


def corrected_record(
    record: Record, *, difference: Difference, axis: int, marked: bool, text: str | None, reader: str
) -> dict[str, Any]:
    """Return the record of what a reader accepted: a child of the model's, with the edits.

    Args:
        record: The model's.
        difference: Between both masks.
        axis: Along which slices were asked about.
        marked: Whether the reader's mask marks anything.
        text: What the reader wrote in place of the model's words; None if she left them.
        reader: Who says so: a name for this workplace, not a person's unless she entered it.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    changed = difference.added + difference.removed
    edits: dict[str, Any] = {
        "by": reader[:256] or "reader",
        "at": now,
        "diff_voxels": changed,
        "slices": list(difference.slices_along[axis]) if difference.slices_along else [],
    }
    if text is not None:
        edits["text"] = text[:MAX_TEXT]
    corrected = {
        **record.values,
        "id": uuid.uuid4().hex,
        "parent_id": record.id,
        "edits": edits,
        "created": now,
    }
    if changed:
        # What the reader has drawn decides; the model's list of lesions no longer fits the label.
        corrected.update(outcome="present" if marked else "absent", lesions=[])
    return corrected


def label_params(record: Mapping[str, Any], *, names: Mapping[str, int]) -> dict[str, Any]:
    """Return what is kept beside a label in the store.

    Args:
        record: Of the label.
        names: Of the values in it.
    """
    info = [{"name": name, "idx": value} for name, value in names.items()]
    return {"label_info": info, "params": {"label_names": dict(names), "record": dict(record)}}
