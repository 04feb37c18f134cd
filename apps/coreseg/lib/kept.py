"""The records that a store keeps of an image."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.datastore import Datastore

from lib.records_layout import TAG_PREFIX


def records_of(store: Datastore, image: str) -> list[dict[str, Any]]:
    """Return the records of an image, the oldest first."""
    found = []
    for tag, label in store.get_labels_by_image_id(image).items():
        if tag.startswith(TAG_PREFIX):
            record = (store.get_label_info(label, tag).get("params") or {}).get("record")
            if isinstance(record, dict):
                found.append(record)
    return sorted(found, key=lambda record: str(record.get("created", "")))
