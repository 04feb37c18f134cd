"""Unpacking the pixels of a DICOM image that are stored as JPEG, JPEG-LS or JPEG 2000."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import SimpleITK as sitk  # noqa: N813 (its documented name)
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, SecondaryCaptureImageStorage, generate_uid

JPEG_FAMILY = "1.2.840.10008.1.2.4."
_PIXEL_TAGS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
)


def unpack_jpeg(dataset: FileDataset) -> NDArray[Any]:
    """Return stored values (rows, columns), or (rows, columns, 3) RGB, of a JPEG-packed image.

    SimpleITK's DICOM reader unpacks the whole JPEG family, pydicom alone only a part. It is given nothing but
    the pixels, in a fresh file: on malformed attributes it may take seconds and gigabytes.

    Raises:
        ValueError: The pixels cannot be unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="coreseg-") as folder:
        path = Path(folder, "pixels.dcm")
        _pixels_alone(dataset).save_as(str(path), write_like_original=False)
        try:
            values: NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        except RuntimeError as error:
            raise ValueError("SimpleITK cannot unpack the image") from error
    return values[0]


def _pixels_alone(dataset: FileDataset) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(str(dataset.file_meta.TransferSyntaxUID))
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    alone = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    alone.is_little_endian, alone.is_implicit_VR = True, False
    alone.SOPClassUID, alone.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    for tag in _PIXEL_TAGS:
        if tag in dataset:
            setattr(alone, tag, getattr(dataset, tag))
    alone["PixelData"].VR = "OB"
    alone["PixelData"].is_undefined_length = True
    return alone
