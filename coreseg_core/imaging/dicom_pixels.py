"""The values of one DICOM image: decoded, rescaled, in colour or grey."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 (its documented name)
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.pixel_data_handlers.util import convert_color_space
from pydicom.uid import UID

from coreseg_core.errors import InputError
from coreseg_core.imaging.dicom_file import open_dataset, typed_dicom_faults
from coreseg_core.imaging.dicom_header import DicomHeader
from coreseg_core.limits import Limits

# In these "MONOCHROME1" only says how to show a value; in pictures it says that the stored one is a negative.
_PHYSICAL_VALUES = ("CT", "MR", "PT")
# Lossless and near-lossless JPEG, which pydicom alone cannot unpack; SimpleITK's DICOM reader can.
_SIMPLEITK_SYNTAXES = frozenset(
    "1.2.840.10008.1.2.4." + end for end in ("51", "57", "70", "80", "81", "90", "91")
)


def whole_numbers(header: DicomHeader) -> bool:
    """Return True when the image's values are whole: slope 1 and a whole intercept."""
    return header.slope == 1.0 and header.intercept.is_integer()


def read_values(header: DicomHeader, *, limits: Limits) -> NDArray[Any]:
    """Return the values of an image, (rows, columns), or (rows, columns, 3) uint8 for colour.

    Raises:
        LimitError: The pixels would swell beyond the limits.
        InputError: Damaged, cut short, or packed in an unknown way.
    """
    unpacked = header.rows * header.columns * header.samples * max(1, header.bits_allocated // 8)
    limits.check_inflation(packed_bytes=header.path.stat().st_size, unpacked_bytes=unpacked)
    with typed_dicom_faults():
        dataset = open_dataset(header.path, limits=limits)
        syntax = UID(str(dataset.file_meta.TransferSyntaxUID))
        if syntax in _SIMPLEITK_SYNTAXES and header.samples == 1:
            return _unpacked_by_simpleitk(header)
        stored = dataset.pixel_array
        if header.samples == 3:
            return _rgb(stored, dataset)
    if stored.shape != (header.rows, header.columns):
        raise _wrong_size()
    return _rescaled(stored, header)


def _rgb(stored: NDArray[Any], dataset: FileDataset) -> NDArray[np.uint8]:
    if stored.dtype != np.uint8 or stored.shape != (dataset.Rows, dataset.Columns, 3):
        raise InputError("a DICOM colour image that is not 8-bit.", remedy="Export it as 8-bit RGB.")
    colours = str(dataset.PhotometricInterpretation)
    if colours.startswith("YBR_FULL"):
        return np.asarray(convert_color_space(stored, colours, "RGB"), dtype=np.uint8)
    return stored


def _rescaled(stored: NDArray[Any], header: DicomHeader) -> NDArray[Any]:
    values = stored
    if header.photometric == "MONOCHROME1" and header.modality not in _PHYSICAL_VALUES:
        highest = -1 if header.signed else 2**header.bits_stored - 1
        values = (highest - stored.astype(np.int64)).astype(np.int64)
    if whole_numbers(header):
        offset = int(header.intercept)
        return values if offset == 0 else values.astype(np.int64) + offset
    return (values * header.slope + header.intercept).astype(np.float32)


def _unpacked_by_simpleitk(header: DicomHeader) -> NDArray[Any]:
    """Return values that SimpleITK has unpacked, and rescaled on the way."""
    try:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(header.path)))
    except RuntimeError as error:
        raise ValueError("SimpleITK cannot unpack the image") from error
    if values.shape != (1, header.rows, header.columns):
        raise _wrong_size()
    plane = values[0]
    return plane.astype(np.int64) if whole_numbers(header) else plane.astype(np.float32)


def _wrong_size() -> InputError:
    return InputError(
        "a DICOM file holds another number of pixels than it announces.", remedy="Export the series again."
    )
