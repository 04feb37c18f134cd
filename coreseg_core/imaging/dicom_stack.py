"""Putting the slices of a DICOM series in order, and refusing a series that is no regular stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.imaging.dicom_header import DicomHeader
from coreseg_core.imaging.geometry import VolumeGeometry, picture_geometry

_SAME_DIRECTION = 1e-3
_SAME_SPACING_MM = 1e-3
_SAME_POSITION_MM = 1e-3
# Scanners round positions; a step may be off by this share of it, or by this many millimetres.
_STEP_TOLERANCE = 0.01
_STEP_TOLERANCE_MM = 0.02
_VOLUMETRIC = ("CT", "MR", "PT")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_REMEDY = "Export the series again, or choose its regular part, for instance in 3D Slicer."


@dataclass(frozen=True, eq=False)
class DicomStack:
    """The images of a series in the order of k, and their grid: i along rows, j down columns."""

    headers: tuple[DicomHeader, ...]
    geometry: VolumeGeometry


def stack(headers: Sequence[DicomHeader]) -> DicomStack:
    """Return one series in order along its normal, on its grid.

    Raises:
        GeometryError: Mixed sizes or orientations, no positions, doubled or missing slices, unequal steps.
        InputError: Several pictures without a place in a patient.
    """
    first = headers[0]
    _require_one_size(headers)
    unplaced = sum(not header.located for header in headers)
    if unplaced:
        return _unplaced_picture(headers, unplaced)
    orientation, pixel_mm = _common_plane(headers)
    normal = np.cross(orientation[0], orientation[1])
    positions = np.array([header.position_lps_mm for header in headers])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    step = _step(positions, normal) if len(headers) > 1 else normal * first.slice_step_mm
    affine_lps = np.eye(4)
    affine_lps[:3, 0] = orientation[0] * pixel_mm[1]
    affine_lps[:3, 1] = orientation[1] * pixel_mm[0]
    affine_lps[:3, 2] = step
    affine_lps[:3, 3] = positions[0]
    shape = (first.columns, first.rows, len(headers))
    return DicomStack(
        headers=tuple(headers[index] for index in order),
        geometry=VolumeGeometry(shape, _LPS_TO_RAS @ affine_lps),
    )


def _require_one_size(headers: Sequence[DicomHeader]) -> None:
    sizes = {(header.columns, header.rows, header.samples) for header in headers}
    if len(sizes) > 1:
        raise GeometryError(f"the series mixes {len(sizes)} image sizes.", remedy=_REMEDY)


def _unplaced_picture(headers: Sequence[DicomHeader], unplaced: int) -> DicomStack:
    """Return the stack of one flat picture (ultrasound, X-ray, photograph) that lies nowhere in a patient."""
    first = headers[0]
    if first.modality in _VOLUMETRIC:
        raise GeometryError(
            f"{unplaced} of {len(headers)} images have no position, orientation or pixel spacing.",
            remedy=_REMEDY,
        )
    if len(headers) > 1:
        raise InputError(
            f"the folder holds {len(headers)} separate pictures without a place in a patient.",
            remedy="Give one of them as a file.",
        )
    pixel_mm = (1.0, 1.0) if first.pixel_mm is None else (float(first.pixel_mm[0]), float(first.pixel_mm[1]))
    grid = picture_geometry(width=first.columns, height=first.rows, pixel_mm=pixel_mm)
    return DicomStack(headers=(first,), geometry=grid)


def _common_plane(headers: Sequence[DicomHeader]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return orientation (2, 3) and pixel spacing (2,) that all images share."""
    orientations = np.array([header.orientation_lps for header in headers])
    if np.abs(orientations - orientations[0]).max() > _SAME_DIRECTION:
        raise GeometryError("the series mixes orientations.", remedy=_REMEDY)
    spacings = np.array([header.pixel_mm for header in headers])
    if np.abs(spacings - spacings[0]).max() > _SAME_SPACING_MM:
        raise GeometryError("the series mixes pixel spacings.", remedy=_REMEDY)
    return orientations[0], spacings[0]


def _step(positions: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vector from one slice to the next; it leans away from the normal under a tilted gantry."""
    heights = np.diff(positions @ normal)
    doubled = int((heights < _SAME_POSITION_MM).sum())
    if doubled:
        raise GeometryError(
            f"{doubled} slices lie where another one lies: doubled files, several time points or echoes.",
            remedy=_REMEDY,
        )
    usual = float(np.median(heights))
    tolerance = max(_STEP_TOLERANCE * usual, _STEP_TOLERANCE_MM)
    gaps = heights[heights > usual + tolerance] / usual
    if len(gaps) and np.abs(gaps - np.rint(gaps)).max() < 0.1:
        missing = int(np.rint(gaps).sum() - len(gaps))
        raise GeometryError(f"{missing} slices are missing within the series.", remedy=_REMEDY)
    if np.abs(heights - usual).max() > tolerance:
        raise GeometryError(
            f"slices lie {heights.min():.3g} to {heights.max():.3g} mm apart; one distance is needed.",
            remedy=_REMEDY,
        )
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(positions) - 1)
    ideal = positions[0] + np.arange(len(positions))[:, np.newaxis] * step
    drift_mm = float(np.linalg.norm(positions - ideal, axis=1).max())
    if drift_mm > max(5 * tolerance, 0.1):
        raise GeometryError(f"slices lie up to {drift_mm:.3g} mm beside one line.", remedy=_REMEDY)
    return step
