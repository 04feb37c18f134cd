"""DICOM series brought into a flat folder of images: a volume a series, and beside it what leads back to the series."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from coreseg_core.errors import CoreSegError
from coreseg_core.imaging.labels import write_volume, write_whole
from coreseg_core.imaging.read import read_volume
from coreseg_core.imaging.read_dicom import SeriesSummary, list_series
from coreseg_core.imaging.sidecar import modality_of_dicom_code
from coreseg_core.limits import Limits

_ENDINGS = (".nii.gz", ".nrrd")


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became of the series of a folder.

    Attributes:
        new: Ids of the images that were made.
        known: Ids of those that were there already.
        failed: Why the others could not be read; the errors name nobody.
    """

    new: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    failed: tuple[CoreSegError, ...] = ()


def import_series(
    source: Path,
    target: Path,
    *,
    limits: Limits | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Imported:
    """Return what became of the DICOM series under `source`, each of which is a volume in `target` afterwards.

    A series that is there already, with as many images, is left alone; one that grew since is read again.

    Args:
        source: A folder, looked through with the folders in it.
        target: Where the images are kept, flat; made if it is not there.
        limits: What may be read.
        on_progress: Called with (series done, series in all).

    Raises:
        InputError: No DICOM image lies there, or one is damaged.
    """
    target.mkdir(parents=True, exist_ok=True)
    summaries = list_series(source, limits=limits)
    new, known, failed = [], [], []
    for number, summary in enumerate(summaries, start=1):
        name = image_name(summary)
        if _is_there(target, name, summary):
            known.append(name)
        else:
            try:
                _bring(target, name, summary, limits=limits)
                new.append(name)
            except CoreSegError as error:
                failed.append(error)
        if on_progress is not None:
            on_progress(number, len(summaries))
    return Imported(new=tuple(new), known=tuple(known), failed=tuple(failed))


def image_name(summary: SeriesSummary) -> str:
    """Return the id of a series' image; see `series_image_name`."""
    return series_image_name(summary.modality, summary.series_uid)


def series_image_name(modality: str, series_uid: str) -> str:
    """Return the id of a series' image: its modality and a hash of its UID, the same one every time."""
    digest = hashlib.sha256(series_uid.encode()).hexdigest()
    return f"{modality.lower()}-{digest[:16]}"


def _is_there(target: Path, name: str, summary: SeriesSummary) -> bool:
    if not any((target / f"{name}{ending}").exists() for ending in _ENDINGS):
        return False
    try:
        told = json.loads((target / f"{name}.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and told.get("images") == summary.images


def _bring(target: Path, name: str, summary: SeriesSummary, *, limits: Limits | None) -> None:
    volume = read_volume(summary.folder, limits=limits, series_uid=summary.series_uid)
    told = {
        "modality": modality_of_dicom_code(summary.modality),
        "series_uid": summary.series_uid,
        "study_uid": summary.study_uid,
        "images": summary.images,
        "shape_ijk": list(volume.geometry.shape_ijk),
        "affine_ras": volume.geometry.affine_ras.tolist(),
    }
    text = json.dumps(told, indent=2) + "\n"
    # First what says what the image is, then the image: nobody reads it without.
    write_whole(target / f"{name}.json", ".json", lambda partial: _write_text(partial, text))
    ending = _ENDINGS[0] if volume.geometry.orthogonal else _ENDINGS[1]
    write_volume(target / f"{name}{ending}", volume)
    for other in set(_ENDINGS) - {ending}:
        (target / f"{name}{other}").unlink(missing_ok=True)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
