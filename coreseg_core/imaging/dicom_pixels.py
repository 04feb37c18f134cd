"""The values of one DICOM image: decoded, rescaled, in colour or grey."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixel_data_handlers.util import convert_color_space

from coreseg_core.errors import InputError
from coreseg_core.imaging.dicom_file import open_dataset, typed_dicom_faults
from coreseg_core.imaging.dicom_header import DicomHeader
from coreseg_core.imaging.dicom_jpeg import JPEG_FAMILY, unpack_jpeg
from coreseg_core.limits import Limits

# In these "MONOCHROME1" only says how to show a value; in pictures it says that the stored one is a negative.
_PHYSICAL_VALUES = ("CT", "MR", "PT")


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
        if str(dataset.file_meta.TransferSyntaxUID).startswith(JPEG_FAMILY):
            stored = unpack_jpeg(dataset)
        else:
            stored = _rgb(dataset.pixel_array, str(dataset.PhotometricInterpretation))
    _require_size(stored, header)
    return stored if header.samples == 3 else _rescaled(stored, header)


def _rgb(stored: NDArray[Any], colours: str) -> NDArray[Any]:
    """Return RGB of what is stored as brightness and colour differences, anything else as it is."""
    if stored.dtype == np.uint8 and colours.startswith("YBR_FULL"):
        return np.asarray(convert_color_space(stored, colours, "RGB"), dtype=np.uint8)
    return stored


def _rescaled(stored: NDArray[Any], header: DicomHeader) -> NDArray[Any]:
    values = stored
    if _negative(header):
        values = _highest(header) - stored.astype(np.int64)
    if whole_numbers(header):
        offset = int(header.intercept)
        return values if offset == 0 else values.astype(np.int64) + offset
    return (values * header.slope + header.intercept).astype(np.float32)


def _negative(header: DicomHeader) -> bool:
    return header.photometric == "MONOCHROME1" and header.modality not in _PHYSICAL_VALUES


def _highest(header: DicomHeader) -> int:
    """Return the stored value that takes the place of the lowest one in a negative."""
    return -1 if header.signed else int(2**header.bits_stored - 1)


def _require_size(values: NDArray[Any], header: DicomHeader) -> None:
    if header.samples == 3 and values.dtype != np.uint8:
        raise InputError("a DICOM colour image that is not 8-bit.", remedy="Export it as 8-bit RGB.")
    if values.shape != (header.rows, header.columns, 3)[: 3 if header.samples == 3 else 2]:
        raise InputError(
            "a DICOM file holds another number of pixels than it announces.",
            remedy="Export the series again.",
        )
