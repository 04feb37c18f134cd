"""The attributes of one DICOM image that its place in a series and its values depend on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.imaging.dicom_file import open_dataset, typed_dicom_faults
from coreseg_core.imaging.sidecar import modality_of_dicom_code
from coreseg_core.limits import Limits

# Objects that carry rows and columns, or lie among images, without being one to look at.
_NOT_IMAGES = frozenset(
    [
        "SEG",
        "RTSTRUCT",
        "RTDOSE",
        "RTPLAN",
        "RTRECORD",
        "RTIMAGE",
        "SR",
        "PR",
        "KO",
        "REG",
        "FID",
        "RWV",
        "DOC",
        "PLAN",
        "AU",
        "ECG",
        "HD",
        "EPS",
        "SMR",
    ]
)
_TAGS = (
    "Modality",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PhotometricInterpretation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SpacingBetweenSlices",
    "SliceThickness",
    "RescaleSlope",
    "RescaleIntercept",
)
Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DicomHeader:
    """One DICOM image without its pixels.

    Attributes:
        path: Where it lies.
        modality: As in `Volume`, never None.
        position_lps_mm: (3,) centre of the first pixel, None where the file has none.
        orientation_lps: (2, 3) unit directions along a row and along a column, None where the file has none.
        pixel_mm: (2,) from row to row and from column to column, None where the file has none.
        slice_step_mm: What the file itself says about the distance to the next slice.
        slope: Stored value times this ...
        intercept: ... plus this is the value.
    """

    path: Path
    series_uid: str
    study_uid: str | None
    modality: str
    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    photometric: str
    position_lps_mm: Vector | None
    orientation_lps: Vector | None
    pixel_mm: Vector | None
    slice_step_mm: float
    slope: float
    intercept: float

    @property
    def located(self) -> bool:
        """True when the file says where in the patient its pixels lie."""
        parts = (self.position_lps_mm, self.orientation_lps, self.pixel_mm)
        return all(part is not None for part in parts)


def read_header(path: Path, *, limits: Limits) -> DicomHeader | None:
    """Return the header of a DICOM image, None for a DICOM object that is no image.

    Raises:
        GeometryError: A position, orientation or spacing that is no set of finite numbers.
        LimitError: The file inflates beyond the limits.
        InputError: The file is damaged.
    """
    with typed_dicom_faults():
        dataset = open_dataset(path, limits=limits, tags=_TAGS)
        code = str(dataset.get("Modality", "") or "OT")
        if code in _NOT_IMAGES or "Rows" not in dataset or "Columns" not in dataset:
            return None
        spacing = _numbers(dataset, "PixelSpacing", 2)
        header = DicomHeader(
            path=path,
            series_uid=str(dataset.get("SeriesInstanceUID", "")),
            study_uid=str(dataset.get("StudyInstanceUID", "")) or None,
            modality=modality_of_dicom_code(code),
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            frames=int(dataset.get("NumberOfFrames") or 1),
            samples=int(dataset.get("SamplesPerPixel") or 1),
            bits_allocated=int(dataset.get("BitsAllocated") or 0),
            bits_stored=int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 0),
            signed=bool(dataset.get("PixelRepresentation") or 0),
            photometric=str(dataset.get("PhotometricInterpretation", "MONOCHROME2")),
            position_lps_mm=_numbers(dataset, "ImagePositionPatient", 3),
            orientation_lps=_directions(_numbers(dataset, "ImageOrientationPatient", 6)),
            pixel_mm=spacing if spacing is not None else _numbers(dataset, "ImagerPixelSpacing", 2),
            slice_step_mm=_slice_step(dataset),
            slope=_one_number(dataset, "RescaleSlope", 1.0),
            intercept=_one_number(dataset, "RescaleIntercept", 0.0),
        )
    _require_plain(header)
    return header


def _require_plain(header: DicomHeader) -> None:
    if header.frames != 1:
        raise InputError(
            f"a DICOM file holds {header.frames} frames; only one frame a file is read.",
            remedy="Convert it to NIfTI or to single-frame DICOM first, for instance with 3D Slicer.",
        )
    if header.samples not in (1, 3) or header.photometric == "PALETTE COLOR":
        raise InputError(
            f"a DICOM image with {header.samples} samples a pixel as {header.photometric[:20]}.",
            remedy="Export it as grey or RGB.",
        )
    if header.slope == 0.0:
        raise InputError("a DICOM image has a rescale slope of 0.", remedy="Export the series again.")


def _numbers(dataset: Any, keyword: str, count: int) -> Vector | None:
    value = dataset.get(keyword)
    if value is None or value == "":
        return None
    parts = value if not isinstance(value, str | int | float) else [value]
    numbers = np.array([float(part) for part in parts], dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise GeometryError(
            f"DICOM attribute {keyword} does not hold {count} finite numbers.",
            remedy="Export the series again.",
        )
    return numbers


def _one_number(dataset: Any, keyword: str, default: float) -> float:
    value = dataset.get(keyword)
    number = default if value is None or value == "" else float(value)
    if not np.isfinite(number):
        raise InputError(
            f"DICOM attribute {keyword} is not a finite number.", remedy="Export the series again."
        )
    return number


def _directions(cosines: Vector | None) -> Vector | None:
    """Return the two directions at unit length; they must be unit and at a right angle but for rounding."""
    if cosines is None:
        return None
    pair = cosines.reshape(2, 3)
    lengths = np.linalg.norm(pair, axis=1)
    if np.abs(lengths - 1).max() > 1e-2 or abs(float(pair[0] @ pair[1])) > 1e-2:
        raise GeometryError(
            "DICOM attribute ImageOrientationPatient does not hold two unit vectors at a right angle.",
            remedy="Export the series again.",
        )
    return pair / lengths[:, np.newaxis]


def _slice_step(dataset: Any) -> float:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        step = abs(_one_number(dataset, keyword, 0.0))
        if step > 0:
            return step
    return 1.0
