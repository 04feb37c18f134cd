"""One folder a patient or study with DICOM series and the SEG or RTSTRUCT objects drawn on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from coreseg_core.errors import CoreSegError
from coreseg_core.imaging import (
    MaskObject,
    SeriesSummary,
    Volume,
    list_mask_objects,
    list_series,
    read_dicom_masks,
)
from training.dataset.cases import Case, Mask, Outline, Parts, ReadParts, Unfit, inside
from training.dataset.layouts.files import files_below, matched, patient_of, split_of
from training.dataset.left_out import LeftOut
from training.dataset.sources import Source, Value


def dicom_cases(source: Source, root: Path) -> Iterator[Case | LeftOut]:
    """Yield a case for each image series below a folder of the root that the pattern `image` fits (all without one).

    A folder with SEG and RTSTRUCT of one series is taken by its SEG. One with a link that leaves the root is left out
    as a whole, since series are read by their folder.
    """
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        groups = matched(source.image or ".*", folder.name)
        if groups is None:
            continue
        try:
            for place in (folder, *(folder / name for name in files_below(folder))):
                inside(root, place)
            series, objects = list_series(folder), list_mask_objects(folder)
        except Unfit as error:
            yield LeftOut(what=folder.name, reason=error.why, detail=error.detail)
            continue
        except CoreSegError as error:
            yield LeftOut(what=folder.name, reason="broken image", detail=error.reason)
            continue
        for one in series:
            key = folder.name if len(series) == 1 else f"{folder.name}#{one.series_uid}"
            outlines = _outlines(source, one, len(series), objects)
            if not outlines and source.empty == "leave_out":
                yield LeftOut(what=key, reason="missing mask")
                continue
            yield Case(
                key=key,
                image=folder,
                outlines=outlines,
                patient=patient_of(source, folder.name, groups),
                groups=groups,
                series_uid=one.series_uid,
                split=split_of(source, folder.name),
            )


def _outlines(
    source: Source, series: SeriesSummary, count: int, objects: Sequence[MaskObject]
) -> tuple[Outline, ...]:
    """Return what was drawn on a series: what says so, and what says nothing where there is no other series."""
    mine = [
        item
        for item in objects
        if item.series_uid == series.series_uid or (item.series_uid is None and count == 1)
    ]
    kind = "SEG" if any(item.kind == "SEG" for item in mine) else "RTSTRUCT"
    files = tuple(item.path for item in mine if item.kind == kind)
    return (Outline(labels=source.labels, read=_reader(files), files=files),) if files else ()


def _reader(files: tuple[Path, ...]) -> ReadParts:
    def read(volume: Volume) -> Parts:
        joined: dict[Value, Mask] = {}
        for file in files:
            for name, mask in read_dicom_masks(file, volume.geometry).items():
                joined[name] = joined[name] | mask if name in joined else mask
        return joined

    return read
