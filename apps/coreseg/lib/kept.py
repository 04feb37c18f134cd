"""The answers that a store keeps of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monailabel.interfaces.datastore import Datastore

from lib.records_layout import TAG_PREFIX


@dataclass(frozen=True)
class Kept:
    """One answer.

    Attributes:
        record: As `coreseg.record/1`.
        extent: What was looked at, in the words of the request (`AskParams.extent`); empty where nobody noted it.
    """

    record: Mapping[str, Any]
    extent: str


def kept_answers(store: Datastore, image: str) -> list[Kept]:
    """Return the answers about an image, the oldest first."""
    found = []
    for tag, label in store.get_labels_by_image_id(image).items():
        if tag.startswith(TAG_PREFIX):
            info = store.get_label_info(label, tag)
            params = info.get("params")
            record = params.get("record") if isinstance(params, Mapping) else None
            if isinstance(record, dict):
                found.append(Kept(record, str(info.get("extent", ""))))
    return sorted(found, key=lambda kept: str(kept.record.get("created", "")))


def records_of(store: Datastore, image: str) -> list[Mapping[str, Any]]:
    """Return the records of an image, the oldest first."""
    return [kept.record for kept in kept_answers(store, image)]
