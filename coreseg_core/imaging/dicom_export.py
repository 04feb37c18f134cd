"""Writing a volume as a DICOM series: demo studies and tests, never a patient's data."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    generate_uid,
)

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.imaging.geometry import VolumeGeometry
from coreseg_core.imaging.volume import Volume

_STORAGE = {
    "CT": CTImageStorage,
    "MR": MRImageStorage,
    "PT": PositronEmissionTomographyImageStorage,
    "US": UltrasoundImageStorage,
}
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_DATE, _TIME = "20000101", "120000"
_STORED_MAX = 32_767


def write_dicom_series(
    folder: str | Path, volume: Volume, *, modality: str, description: str, seed: int
) -> str:
    """Write one file a slice along k into a new folder and return the SeriesInstanceUID.

    The same volume, description and seed give the same bytes. Series of one seed belong to one study.

    Args:
        folder: Must not exist or be empty; appears only when every file is there.
        volume: Whole numbers are stored as they are, fractions with a rescale slope of their slice.
        modality: DICOM code, as in `Volume`.
        description: SeriesDescription.
        seed: Names study and patient ("PHANTOM-<seed>").

    Raises:
        GeometryError: The axes are not at right angles.
        InputError: The folder holds files or cannot be written.
    """
    folder = Path(folder)
    if not volume.geometry.orthogonal:
        raise GeometryError("a sheared grid cannot be written as a plain series.", remedy="Resample it.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("the folder for the series is not empty.", remedy="Give a new folder.")
    uids = _Uids(volume, modality=modality, description=description, seed=seed)
    partial = folder.with_name(f".partial-{os.getpid()}-{secrets.token_hex(6)}")
    try:
        partial.mkdir(parents=True)
        for index in range(volume.geometry.shape_ijk[2]):
            dataset = _slice_dataset(
                volume, index, uids=uids, modality=modality, description=description, seed=seed
            )
            with disable_value_validation():
                dataset.save_as(str(partial / f"slice_{index:04d}.dcm"), write_like_original=False)
        os.replace(partial, folder)
    except OSError as error:
        raise InputError(
            f"the series cannot be written ({error.strerror}).", remedy="Check the folder and the space left."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return uids.series


class _Uids:
    """The identifiers of one series, derived from its seed and words."""

    def __init__(self, volume: Volume, *, modality: str, description: str, seed: int) -> None:
        self.study = volume.study_uid or str(generate_uid(entropy_srcs=["coreseg study", str(seed)]))
        words = ["coreseg series", str(seed), modality, description, volume.content_hash]
        self.series = volume.series_uid or str(generate_uid(entropy_srcs=words))
        self.frame = str(generate_uid(entropy_srcs=["coreseg frame", str(seed)]))

    def image(self, index: int) -> str:
        return str(generate_uid(entropy_srcs=["coreseg image", self.series, str(index)]))


def _slice_dataset(
    volume: Volume, index: int, *, uids: _Uids, modality: str, description: str, seed: int
) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _STORAGE.get(modality, SecondaryCaptureImageStorage)
    meta.MediaStorageSOPInstanceUID = uids.image(index)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uids.study, uids.series
    dataset.FrameOfReferenceUID = uids.frame
    dataset.Modality = modality
    dataset.PatientName, dataset.PatientID = f"PHANTOM^{seed}", f"PHANTOM-{seed}"
    dataset.PatientBirthDate, dataset.PatientSex = "", ""
    dataset.StudyDate, dataset.StudyTime = _DATE, _TIME
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = str(seed), "", ""
    dataset.Manufacturer = "CORE-Seg phantom"
    dataset.SeriesDescription, dataset.SeriesNumber = description, 1
    dataset.InstanceNumber = index + 1
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    _set_place(dataset, volume.geometry, index)
    _set_pixels(dataset, volume.voxels[:, :, index], modality=modality)
    return dataset


def _set_place(dataset: Dataset, geometry: VolumeGeometry, index: int) -> None:
    affine_lps = _RAS_TO_LPS @ geometry.affine_ras
    directions = affine_lps[:3, :3] / np.asarray(geometry.spacing_mm)
    position = affine_lps[:3, 3] + index * affine_lps[:3, 2]
    across, down, through = geometry.spacing_mm
    dataset.ImagePositionPatient = [_decimal(value) for value in position]
    dataset.ImageOrientationPatient = [_decimal(value) for value in (*directions[:, 0], *directions[:, 1])]
    dataset.PixelSpacing = [_decimal(down), _decimal(across)]
    dataset.SliceThickness = dataset.SpacingBetweenSlices = _decimal(through)


def _decimal(value: float) -> str:
    """Return a number within the 16 characters of a DICOM decimal string, as exact as they allow."""
    for digits in range(16, 5, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{value:.9e}"


def _set_pixels(dataset: Dataset, plane: NDArray[Any], *, modality: str) -> None:
    """Store a slice (i, j) or (i, j, 3) as rows and columns."""
    shown = np.ascontiguousarray(np.swapaxes(plane, 0, 1))
    dataset.Rows, dataset.Columns = shown.shape[:2]
    dataset.SamplesPerPixel = 3 if shown.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if shown.ndim == 3 else "MONOCHROME2"
    if shown.ndim == 3:
        dataset.PlanarConfiguration = 0
    stored, slope, intercept = _stored(shown)
    bits = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(np.issubdtype(stored.dtype, np.signedinteger))
    if modality in ("CT", "PT") or slope != "1":
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    if modality == "CT":
        dataset.RescaleType = "HU"
    data = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"


def _stored(values: NDArray[Any]) -> tuple[NDArray[Any], str, str]:
    """Return whole numbers with the slope and intercept that give the values back."""
    if values.dtype in (np.uint8, np.int16):
        return values, "1", "0"
    if not np.isfinite(values).all():
        raise InputError(
            "a slice holds values that are not finite.", remedy="Replace them before writing DICOM."
        )
    whole = np.rint(values)
    if np.array_equal(whole, values) and np.abs(values).max() <= _STORED_MAX:
        return whole.astype(np.int16), "1", "0"
    low, high = float(values.min()), float(values.max())
    intercept = _decimal(low)
    slope = _decimal(max(high - low, 1e-6) / _STORED_MAX)
    scaled = np.rint((values.astype(np.float64) - float(intercept)) / float(slope))
    return np.clip(scaled, 0, _STORED_MAX).astype(np.int16), slope, intercept
