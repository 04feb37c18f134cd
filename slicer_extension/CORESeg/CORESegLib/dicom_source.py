"""The DICOM series an image came from: which of its files is which slice, or why it cannot be told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from CORESegLib.trouble import Trouble
from CORESegLib.volume_file import Matrix

TOLERANCE_VOXELS = 0.1
"""How far a pixel of the series may lie from the voxel that it is taken for."""
_NOT_THESE = "This image does not lie on the slices of its DICOM series"


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceSeries:
    """A series, slice by slice.

    Attributes:
        datasets: Without pixels, by slice number along k, in order.
    """

    datasets: dict[int, Any]

    @property
    def first(self) -> Any:
        """Any of them: patient, study and series are the same in all."""
        return next(iter(self.datasets.values()))


def highdicom() -> Any:
    """Return the package that writes DICOM objects, imported now and not before.

    Raises:
        Trouble: This Slicer has none.
    """
    try:
        return import_module("highdicom")
    except ImportError as fault:
        raise Trouble(
            "local",
            "DICOM export needs the Python package highdicom, which comes with Slicer 5.12; this Slicer has none.",
            remedy='Enter slicer.util.pip_install("highdicom") in the Python console, then export again.',
        ) from fault


def read_series(files: Sequence[Path], ijk_to_ras: Matrix, shape_ijk: tuple[int, int, int]) -> SourceSeries:
    """Return the series whose slices an image was made of.

    Args:
        files: One for each slice.
        ijk_to_ras: Of the image, in millimetres, without transforms above it.
        shape_ijk: Of the image.

    Raises:
        Trouble: A file is missing or none of a series of slices, or the image lies on another grid.
    """
    datasets = list(_read(files))
    if len({str(one.get("SeriesInstanceUID")) for one in datasets}) != 1:
        raise Trouble("local", "The files of the image belong to several DICOM series.", remedy="Export one.")
    found: dict[int, Any] = {}
    for dataset in datasets:
        index = _slice_of(dataset, ijk_to_ras, shape_ijk)
        if index in found:
            raise Trouble(
                "local",
                "Two files of the DICOM series lie in the same place.",
                remedy="Load one time point or one phase of it only.",
            )
        found[index] = dataset
    return SourceSeries(datasets=dict(sorted(found.items())))


def _read(files: Sequence[Path]) -> Iterable[Any]:
    if not files:
        raise Trouble(
            "local", "The image's DICOM files are not known.", remedy="Load it through Slicer's DICOM module."
        )
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    for path in files:
        try:
            dataset = dcmread(path, stop_before_pixels=True)
        except (OSError, InvalidDicomError) as fault:
            raise Trouble(
                "local",
                f"The DICOM file of a slice cannot be read ({type(fault).__name__}).",
                remedy="Import the series into Slicer's DICOM database again.",
            ) from fault
        needed = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
        missing = [name for name in needed if name not in dataset]
        if missing:
            raise Trouble(
                "local",
                f"The DICOM files are no series of single slices: {missing[0]} is missing in them.",
                remedy="Series with one file for each slice can be exported; enhanced multi-frame ones cannot yet.",
            )
        yield dataset


def _slice_of(dataset: Any, ijk_to_ras: Matrix, shape_ijk: tuple[int, int, int]) -> int:
    """Return which slice along k a file holds."""
    import numpy as np

    columns, rows = int(dataset.Columns), int(dataset.Rows)
    if (columns, rows) != tuple(shape_ijk[:2]):
        raise _moved(f"it has {shape_ijk[0]} x {shape_ijk[1]} voxels a slice, the series {columns} x {rows}")
    position = np.array([float(value) for value in dataset.ImagePositionPatient])
    orientation = np.array([float(value) for value in dataset.ImageOrientationPatient])
    between_rows, between_columns = (float(value) for value in dataset.PixelSpacing)
    along_i, along_j = orientation[:3] * between_columns, orientation[3:] * between_rows
    # The pixel in the corner and its two far neighbours: if these fit, all between them do.
    corners = np.stack([position, position + (columns - 1) * along_i, position + (rows - 1) * along_j])
    corners[:, :2] *= -1
    to_ijk = np.linalg.inv(np.asarray(ijk_to_ras, dtype=float))
    ijk = corners @ to_ijk[:3, :3].T + to_ijk[:3, 3]
    index = int(np.rint(ijk[0, 2]))
    wanted = np.array([[0, 0, index], [columns - 1, 0, index], [0, rows - 1, index]])
    apart = float(np.abs(ijk - wanted).max())
    if apart > TOLERANCE_VOXELS or not 0 <= index < shape_ijk[2]:
        raise _moved(f"they are up to {apart:.1f} voxels apart")
    return index


def _moved(how: str) -> Trouble:
    return Trouble(
        "local",
        f"{_NOT_THESE}: {how}.",
        remedy="It was resampled, cropped, moved or straightened; ask about the image as it was loaded.",
    )
