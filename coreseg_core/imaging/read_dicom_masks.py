"""Outlines that come as DICOM objects: segmentations (SEG) and contours of radiotherapy (RTSTRUCT)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import GeometryError, InputError, LimitError
from coreseg_core.imaging.contours import fill_polygon
from coreseg_core.imaging.dicom_file import is_dicom, open_dataset, typed_dicom_faults
from coreseg_core.imaging.geometry import VolumeGeometry
from coreseg_core.limits import Limits

Mask = NDArray[np.bool_]
Kind = Literal["SEG", "RTSTRUCT"]

MAX_OFF_GRID_VOXELS = 0.1
"""How far the pixel centres of a SEG may lie from the voxel centres of its image."""
MAX_OFF_PLANE_VOXELS = 0.5
"""How far a contour may lie from the slice it is drawn on."""
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class MaskObject:
    """A SEG or RTSTRUCT file in a folder and the image series that it says it was drawn on, if it does."""

    path: Path
    kind: Kind
    series_uid: str | None


def list_mask_objects(folder: Path, *, limits: Limits | None = None) -> tuple[MaskObject, ...]:
    """Return the SEG and RTSTRUCT files in a folder and the folders in it, ordered by path.

    Raises:
        LimitError: More files than allowed.
        InputError: A DICOM file is damaged.
    """
    limits = limits or Limits()
    found: list[MaskObject] = []
    paths = sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names)
    if len(paths) > limits.max_files:
        raise LimitError(
            f"the folder holds {len(paths)} files, limit {limits.max_files}.",
            remedy="Give the folder of one patient, or raise max_files.",
        )
    for path in paths:
        if not path.is_file() or not is_dicom(path):
            continue
        with typed_dicom_faults():
            dataset = open_dataset(path, limits=limits, tags=("Modality",))
            kind = str(dataset.get("Modality", ""))
            if kind == "SEG":
                found.append(MaskObject(path=path, kind="SEG", series_uid=_seg_series(path, limits)))
            elif kind == "RTSTRUCT":
                found.append(MaskObject(path=path, kind="RTSTRUCT", series_uid=_rt_series(path, limits)))
    return tuple(found)


def read_dicom_masks(
    path: Path, geometry: VolumeGeometry, *, limits: Limits | None = None
) -> dict[str, Mask]:
    """Return the masks (i, j, k) of a SEG or RTSTRUCT file on the grid of its image, by the name it gives them.

    Parts of one name are joined. A contour inside another of the same part and slice cuts a hole.

    Raises:
        GeometryError: Drawn on another grid, or beyond the image.
        InputError: Damaged, of another kind, or packed in a way that is not read here.
    """
    limits = limits or Limits()
    limits.check_shape(geometry.shape_ijk)
    with typed_dicom_faults():
        dataset = open_dataset(path, limits=limits)
        kind = str(dataset.get("Modality", ""))
        if kind == "SEG":
            return _read_seg(dataset, geometry)
        if kind == "RTSTRUCT":
            return _read_contours(dataset, geometry)
    raise InputError("a DICOM file holds no outline.", remedy="Give a SEG or RTSTRUCT file.")


def _read_seg(dataset: Any, geometry: VolumeGeometry) -> dict[str, Mask]:
    coding = str(dataset.get("SegmentationType", "BINARY"))
    if coding not in ("BINARY", "FRACTIONAL"):
        raise InputError(
            f"a DICOM segmentation of type {coding[:16]}.", remedy="Export it as BINARY segmentation."
        )
    names = {int(item.SegmentNumber): str(item.get("SegmentLabel", "")) for item in dataset.SegmentSequence}
    frames = np.asarray(dataset.pixel_array)
    frames = frames[np.newaxis] if frames.ndim == 2 else frames
    half = 0.5 if coding == "BINARY" else 0.5 * float(dataset.get("MaximumFractionalValue", 255))
    masks: dict[str, Mask] = {}
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for frame, groups in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(_group(groups, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        name = names[number] or str(number)
        mask = masks.setdefault(name, np.zeros(geometry.shape_ijk, dtype=bool))
        rows, columns = np.nonzero(frame >= half)
        if rows.size:
            points = _frame_points_ras(groups, shared, rows, columns)
            mask[tuple(_voxels(points, geometry).T)] = True
    return masks


def _frame_points_ras(
    groups: Any, shared: Any, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the centres (n, 3) of pixels of a frame."""
    position = np.array(_group(groups, shared, "PlanePositionSequence").ImagePositionPatient, dtype=float)
    cosines = np.array(
        _group(groups, shared, "PlaneOrientationSequence").ImageOrientationPatient, dtype=float
    )
    down_mm, across_mm = (
        float(value) for value in _group(groups, shared, "PixelMeasuresSequence").PixelSpacing
    )
    along_row, along_column = cosines[:3] * across_mm, cosines[3:] * down_mm
    points_lps = position + np.outer(columns, along_row) + np.outer(rows, along_column)
    return np.asarray(points_lps * _LPS_TO_RAS)


def _group(groups: Any, shared: Any, name: str) -> Any:
    return (groups if name in groups else shared)[name][0]


def _voxels(points_ras: NDArray[np.float64], geometry: VolumeGeometry) -> NDArray[np.intp]:
    exact = geometry.to_voxels(points_ras)
    voxels = np.rint(exact).astype(np.intp)
    off = float(np.abs(exact - voxels).max())
    if off > MAX_OFF_GRID_VOXELS:
        raise GeometryError(
            f"a segmentation lies {off:.2g} voxels off the grid of its image, limit {MAX_OFF_GRID_VOXELS}.",
            remedy="Use the image it was drawn on, or resample it onto this one.",
        )
    if (voxels < 0).any() or (voxels >= geometry.shape_ijk).any():
        raise GeometryError(
            "a segmentation reaches beyond its image.", remedy="Use the image it was drawn on."
        )
    return voxels


def _read_contours(dataset: Any, geometry: VolumeGeometry) -> dict[str, Mask]:
    names = {int(item.ROINumber): str(item.get("ROIName", "")) for item in dataset.StructureSetROISequence}
    masks: dict[str, Mask] = {}
    for roi in dataset.ROIContourSequence:
        number = int(roi.ReferencedROINumber)
        part = np.zeros(geometry.shape_ijk, dtype=bool)
        for contour in roi.get("ContourSequence", ()):
            if str(contour.get("ContourGeometricType", "")) == "CLOSED_PLANAR":
                _draw(part, np.array(contour.ContourData, dtype=float).reshape(-1, 3), geometry)
        name = names.get(number) or str(number)
        masks[name] = masks[name] | part if name in masks else part
    return masks


def _draw(part: Mask, points_lps: NDArray[np.float64], geometry: VolumeGeometry) -> None:
    """Toggle what a contour encloses on its slice of `part`."""
    if len(points_lps) < 3:
        return
    voxels = geometry.to_voxels(points_lps * _LPS_TO_RAS)
    axis = int(np.argmin(np.ptp(voxels, axis=0)))
    index = round(float(voxels[:, axis].mean()))
    off = float(np.abs(voxels[:, axis] - index).max())
    if off > MAX_OFF_PLANE_VOXELS:
        raise GeometryError(
            f"a contour lies {off:.2g} voxels off any slice of its image, limit {MAX_OFF_PLANE_VOXELS}.",
            remedy="Use the image it was drawn on.",
        )
    if not 0 <= index < geometry.shape_ijk[axis]:
        raise GeometryError("a contour lies beyond its image.", remedy="Use the image it was drawn on.")
    first, second = (other for other in range(3) if other != axis)
    plane = np.moveaxis(part, axis, 0)[index]
    plane ^= fill_polygon(voxels[:, [first, second]], plane.shape)


def _seg_series(path: Path, limits: Limits) -> str | None:
    dataset = open_dataset(path, limits=limits, tags=("ReferencedSeriesSequence",))
    return _series_uid(dataset.get("ReferencedSeriesSequence", ()))


def _rt_series(path: Path, limits: Limits) -> str | None:
    dataset = open_dataset(path, limits=limits, tags=("ReferencedFrameOfReferenceSequence",))
    for frame in dataset.get("ReferencedFrameOfReferenceSequence", ()):
        for study in frame.get("RTReferencedStudySequence", ()):
            uid = _series_uid(study.get("RTReferencedSeriesSequence", ()))
            if uid is not None:
                return uid
    return None


def _series_uid(items: Sequence[Any]) -> str | None:
    uids = [str(item.SeriesInstanceUID) for item in items if "SeriesInstanceUID" in item]
    return uids[0] if uids else None
