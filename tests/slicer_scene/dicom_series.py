"""Series of single slices as a scanner writes them, made with pydicom alone, and a stand-in for Slicer's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SPACING_MM = (0.8, 0.9, 3.0)
"""Between columns, rows and slices."""
PATIENT = "Müller^Jörg"


def write_series(
    folder: Path,
    voxels_kji: np.ndarray,
    *,
    tilt_deg: float = 0.0,
    upwards: bool = True,
    shear_mm: float = 0.0,
    **changed: Any,
) -> list[Path]:
    """Return the files of a CT series in the order in which Slicer's DICOM module reads them, along the normal.

    Args:
        folder: Where to.
        voxels_kji: Slices, rows, columns.
        tilt_deg: Of all axes about the patient's left-right axis: an oblique series, its slices square to its normal.
        upwards: Whether instance numbers rise along the normal.
        shear_mm: By which each slice lies further along its columns than the one before, as with a tilted gantry.
        changed: Attributes of every file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    angle = np.deg2rad(tilt_deg)
    along_row, along_column = np.array([1.0, 0, 0]), np.array([0, np.cos(angle), np.sin(angle)])
    normal = np.cross(along_row, along_column) * (1 if upwards else -1)
    paths = []
    for k, plane in enumerate(voxels_kji):
        one = _head(study, series, frame)
        one.InstanceNumber = k + 1
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        place = np.array([-10.0, -12, 30]) + k * (SPACING_MM[2] * normal + shear_mm * along_column)
        one.ImagePositionPatient = [f"{value:.6f}" for value in place]
        one.ImageOrientationPatient = [f"{value:.8f}" for value in (*along_row, *along_column)]
        one.PixelSpacing = [SPACING_MM[1], SPACING_MM[0]]
        one.SliceThickness = SPACING_MM[2]
        one.Rows, one.Columns = plane.shape
        one.PixelData = plane.astype("<i2").tobytes()
        for name, value in changed.items():
            setattr(one, name, value)
        # Names say nothing about the order.
        path = folder / f"{one.SOPInstanceUID}.dcm"
        one.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths if upwards else paths[::-1]


def _head(study: str, series: str, frame: str) -> Dataset:
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = CTImageStorage
    one.SpecificCharacterSet = "ISO_IR 100"
    one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = PATIENT, "p1", "19600102", "M"
    one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
    one.StudyDate = one.SeriesDate = one.ContentDate = one.AcquisitionDate = "20260102"
    one.StudyTime = one.SeriesTime = one.ContentTime = one.AcquisitionTime = "101500"
    one.StudyID, one.AccessionNumber, one.SeriesNumber, one.AcquisitionNumber = "1", "a1", 3, 1
    one.ReferringPhysicianName = one.Manufacturer = one.PositionReferenceIndicator = ""
    one.Modality, one.KVP, one.PatientPosition = "CT", "120", "HFS"
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.RescaleIntercept, one.RescaleSlope = "0", "1"
    return one


class DicomDatabase:
    """Stands for Slicer's own, which needs the desktop: files by the UIDs of their instances."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def fileForInstance(self, uid: str) -> str:  # noqa: N802
        return str(self._files.get(uid, ""))


def instances(files: Sequence[Path]) -> dict[str, Path]:
    """Return files by the UIDs of their instances."""
    from pydicom import dcmread

    return {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in files}
