"""What readers made of the answers: over time, by outcome and by modality. Counts and means alone, no names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore

from coreseg_core.errors import CoreSegError
from coreseg_core.imaging import read_label, read_volume
from coreseg_core.limits import Limits
from lib.learning.reading import FINAL, reading_of
from lib.scoring import dice
from lib.store_index import FileState, file_state

MAX_IMAGES = 2000
"""Labels that are looked at, the latest."""
_SAID = ("present", "absent")
_YEAR_9999_S = 253_370_764_800


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a reader made of one answer.

    Attributes:
        week: When, as in "2026-W07".
        modality: Of the image ("MR"), "?" where nobody says.
        changed: Whether the mask is another one than was answered.
        dice: Of both masks, None where the answer's is not kept or both are empty.
        agreed: Outcome of each slice that said something, with whether the reader's mask agrees.
    """

    week: str
    modality: str
    changed: bool
    dice: float | None
    agreed: tuple[tuple[str, bool], ...]


class Overview:
    """Looks at final labels, each once for as long as its files stay as they are.

    Args:
        store: Returns where labels lie.
        limits: What may be read.
    """

    def __init__(self, store: Callable[[], Datastore], *, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._lock = Lock()
        self._seen: dict[tuple[str, FileState | None, FileState | None], Seen | None] = {}

    def to_json(self) -> dict[str, Any]:
        """Return the counts and means as JSON values."""
        with self._lock:
            seen = list(self._all())
        weeks = sorted({one.week for one in seen})
        agreed: dict[str, Counter[bool]] = defaultdict(Counter)
        for one in seen:
            for outcome, agrees in one.agreed:
                for name in (f"outcome {outcome}", f"modality {one.modality}"):
                    agreed[name][agrees] += 1
        return {
            "labels": len(seen),
            "weeks": [_week(week, [one for one in seen if one.week == week]) for week in weeks],
            "agreement": {
                name: {"agreed": counts[True], "slices": counts.total()}
                for name, counts in sorted(agreed.items())
            },
        }

    def _all(self) -> Iterable[Seen]:
        store = self._store()
        kept, self._seen = self._seen, {}
        for image in sorted(store.get_labeled_images(), key=lambda name: -_time(store, name))[:MAX_IMAGES]:
            reading = reading_of(store, image)
            if isinstance(reading, str):
                continue
            answered = store.get_label_uri(image, reading.answered_tag) if reading.answered_tag else ""
            final = store.get_label_uri(image, FINAL)
            key = (image, file_state(Path(final)), file_state(Path(answered)) if answered else None)
            seen = kept[key] if key in kept else self._look(store, image, final, answered)
            self._seen[key] = seen
            if seen is not None:
                yield seen

    def _look(self, store: Datastore, image: str, final: str, answered: str) -> Seen | None:
        reading = reading_of(store, image)
        assert not isinstance(reading, str)
        try:
            volume = read_volume(Path(store.get_image_uri(image)), limits=self._limits)
            accepted = read_label(Path(final), volume.geometry, limits=self._limits) > 0
            before = (
                read_label(Path(answered), volume.geometry, limits=self._limits) > 0 if answered else None
            )
        except CoreSegError:
            return None
        agreed = []
        for finding in reading.record.get("slices", ()):
            # Other outcomes say nothing that a label could agree with.
            if finding["outcome"] in _SAID and finding["index"] < accepted.shape[reading.axis]:
                lesion = bool(accepted.take(finding["index"], reading.axis).any())
                agreed.append((str(finding["outcome"]), lesion == (finding["outcome"] == "present")))
        both = before is not None and bool(before.any() or accepted.any())
        return Seen(
            week=datetime.fromtimestamp(_time(store, image), UTC).strftime("%G-W%V"),
            modality=volume.modality or "?",
            changed=before is None or bool((before != accepted).any()),
            dice=dice(before, accepted) if before is not None and both else None,
            agreed=tuple(agreed),
        )


def _time(store: Datastore, image: str) -> float:
    stated = store.get_label_info(image, FINAL).get("ts")
    # Clients may lay anything over it.
    return float(stated) if isinstance(stated, int | float) and 0 <= stated < _YEAR_9999_S else 0.0


def _week(week: str, seen: list[Seen]) -> dict[str, Any]:
    overlaps = [one.dice for one in seen if one.dice is not None]
    return {
        "week": week,
        "changed": sum(one.changed for one in seen),
        "accepted": sum(not one.changed for one in seen),
        "dice": round(float(np.mean(overlaps)), 4) if overlaps else None,
    }
