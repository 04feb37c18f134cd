"""DICOM folders and files as volumes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import InputError, LimitError
from coreseg_core.imaging.dicom_file import is_dicom
from coreseg_core.imaging.dicom_header import DicomHeader, read_header
from coreseg_core.imaging.dicom_pixels import read_values, whole_numbers
from coreseg_core.imaging.dicom_stack import DicomStack, stack
from coreseg_core.imaging.volume import Volume
from coreseg_core.limits import Limits

_INT16 = np.iinfo(np.int16)


@dataclass(frozen=True)
class SeriesSummary:
    """One image series of a folder, to choose from.

    Attributes:
        folder: The deepest folder that holds all its files.
    """

    series_uid: str
    study_uid: str | None
    modality: str
    images: int
    rows: int
    columns: int
    folder: Path


def list_series(path: Path, *, limits: Limits | None = None) -> tuple[SeriesSummary, ...]:
    """Return the image series of a DICOM folder, largest first.

    Raises:
        InputError: No DICOM image lies there, or one is damaged.
    """
    limits = limits or Limits()
    groups = _by_series(_dicom_files(path, limits=limits), limits=limits)
    if not groups:
        raise _no_image()
    return _summaries(groups)


def series_among(files: Iterable[Path], *, limits: Limits | None = None) -> tuple[SeriesSummary, ...]:
    """Return the image series of some files, largest first; none where none of them is a DICOM image.

    Raises:
        InputError: A DICOM image is damaged.
    """
    return _summaries(_by_series((file for file in files if is_dicom(file)), limits=limits or Limits()))


def _summaries(groups: Mapping[str, Sequence[DicomHeader]]) -> tuple[SeriesSummary, ...]:
    return tuple(
        SeriesSummary(
            series_uid=uid,
            study_uid=headers[0].study_uid,
            modality=headers[0].modality,
            images=len(headers),
            rows=headers[0].rows,
            columns=headers[0].columns,
            folder=Path(os.path.commonpath([header.path.parent for header in headers])),
        )
        for uid, headers in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def read_dicom(path: Path, *, limits: Limits, series_uid: str | None = None) -> Volume:
    """Return one series of a DICOM folder, or the one image of a DICOM file.

    Args:
        path: A folder, looked through with the folders in it, or a file.
        limits: What may be read.
        series_uid: Which series, where the folder holds several.

    Raises:
        LimitError: Too many files or voxels.
        GeometryError: The series is no regular stack.
        InputError: No image, several series and none chosen, or a damaged file.
    """
    groups = _by_series(_dicom_files(path, limits=limits), limits=limits)
    ordered = stack(_chosen(groups, series_uid))
    limits.check_shape(ordered.geometry.shape_ijk)
    first = ordered.headers[0]
    return Volume(
        voxels=_voxels(ordered, limits=limits),
        geometry=ordered.geometry,
        modality=first.modality,
        series_uid=first.series_uid or None,
        study_uid=first.study_uid,
    )


def _by_series(files: Iterable[Path], *, limits: Limits) -> dict[str, list[DicomHeader]]:
    groups: dict[str, list[DicomHeader]] = {}
    for file in files:
        header = read_header(file, limits=limits)
        if header is not None:
            groups.setdefault(header.series_uid, []).append(header)
    return groups


def _dicom_files(path: Path, *, limits: Limits) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    seen = 0
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            seen += 1
            if seen > limits.max_files:
                raise LimitError(
                    f"the folder holds more than {limits.max_files} files.",
                    remedy="Give the folder of one series, or raise max_files.",
                )
            if file.is_file() and is_dicom(file):
                yield file


def _chosen(groups: Mapping[str, Sequence[DicomHeader]], series_uid: str | None) -> Sequence[DicomHeader]:
    if not groups:
        raise _no_image()
    if series_uid is not None:
        if series_uid not in groups:
            raise InputError(
                f"none of the {len(groups)} series in the folder is the one asked for.",
                remedy="List them and choose one.",
            )
        return groups[series_uid]
    if len(groups) > 1:
        kinds = ", ".join(f"{headers[0].modality} of {len(headers)} images" for headers in groups.values())
        raise InputError(
            f"the folder holds {len(groups)} image series ({kinds}).",
            remedy="Choose one with series_uid, or give the folder of one series.",
        )
    return next(iter(groups.values()))


def _no_image() -> InputError:
    return InputError("no DICOM image was found.", remedy="Give the folder that holds one image series.")


def _voxels(ordered: DicomStack, *, limits: Limits) -> NDArray[Any]:
    """Return (i, j, k) values in the narrowest of the volume types, (i, j, k, 3) uint8 for colour."""
    first = ordered.headers[0]
    colour = (3,) if first.samples == 3 else ()
    planes = np.empty(
        (len(ordered.headers), first.rows, first.columns, *colour), dtype=_dtype(ordered.headers)
    )
    for index, header in enumerate(ordered.headers):
        values = read_values(header, limits=limits)
        if planes.dtype == np.int16 and (values.min() < _INT16.min or values.max() > _INT16.max):
            planes = planes.astype(np.float32)
        planes[index] = values
    return planes.transpose(2, 1, 0, *((3,) if colour else ()))


def _dtype(headers: Sequence[DicomHeader]) -> type[np.generic]:
    if headers[0].samples == 3:
        return np.uint8
    if not all(whole_numbers(header) for header in headers):
        return np.float32
    if all(header.bits_allocated == 8 and not header.signed and header.intercept == 0 for header in headers):
        return np.uint8
    return np.int16
