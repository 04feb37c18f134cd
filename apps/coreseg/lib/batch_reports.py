"""A report for each study of a batch, from the answers that the store keeps: `reports/<study>/report.html`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore

from coreseg_core.errors import CoreSegError, InputError
from coreseg_core.imaging import Volume, read_label, read_volume
from coreseg_core.imaging.studies import find_studies
from coreseg_core.limits import Limits
from coreseg_core.reports.restored import restored
from coreseg_core.reports.study import (
    Answer,
    ImageReport,
    image_facts,
    plane_of,
    write_pictures,
    write_report,
)
from lib.found import image_path
from lib.kept import kept_answers
from lib.records_layout import TAG_PREFIX
from lib.store import SafeStore

REPORTS = "reports"

Told = Mapping[str, Mapping[str, Any]]
"""By question: the outcome and the id of its record, or why there is none."""


def write_reports(store: Datastore, results: Mapping[str, Told], *, limits: Limits) -> tuple[str, ...]:
    """Return the names of the studies whose reports lie under `reports` in the studies folder now.

    Args:
        store: Keeps the answers; only one that is a folder gets reports.
        results: What a batch came to, by image.
        limits: What may be read.

    Raises:
        InputError: The folder cannot be written.
    """
    if not isinstance(store, SafeStore):
        return ()
    folder, written = store.folder, []
    for study in find_studies(folder, leave_out=folder / REPORTS, limits=limits):
        asked = [image.id for image in study.images if image.id in results]
        if asked:
            place = folder / REPORTS / study.name
            place.mkdir(parents=True, exist_ok=True)
            images = [_image(store, place, name, results[name], limits=limits) for name in asked]
            write_report(place, study.name, images)
            written.append(study.name)
    return tuple(written)


def _image(store: Datastore, place: Path, name: str, told: Told, *, limits: Limits) -> ImageReport:
    records = [answer["record"] for answer in told.values() if "record" in answer]
    try:
        if not records:
            raise _failure(told)
        volume = read_volume(image_path(store, name), limits=limits)
        answers = _answers(store, place, name, volume, records)
    except CoreSegError as error:
        return ImageReport(id=name, error=error)
    return ImageReport(id=name, facts=image_facts(volume), answers=tuple(answers))


def _answers(
    store: Datastore, place: Path, name: str, volume: Volume, records: Sequence[str]
) -> list[Answer]:
    kept = {str(answer.record["id"]): answer.record for answer in kept_answers(store, name)}
    answers = []
    for number, record_id in enumerate(records, start=1):
        tag = TAG_PREFIX + record_id
        label = Path(store.get_label_uri(name, tag))
        labels = read_label(label, volume.geometry)
        record = restored(kept[record_id], labels, volume.geometry)
        pictures = write_pictures(place, f"{name}-q{number}", volume, record, labels)
        files = {"mask": f"../../labels/{tag}/{label.name}", "record": f"../../labels/{tag}/{name}.json"}
        answers.append(Answer(record=record, plane=plane_of(volume, record), pictures=pictures, files=files))
    return answers


def _failure(told: Told) -> CoreSegError:
    first = next(iter(told.values()), {})
    return InputError(
        str(first.get("reason", "The image was not asked.")), remedy=str(first.get("remedy", ""))
    )
