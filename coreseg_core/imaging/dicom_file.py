"""Opening one DICOM file without trusting it: bounded inflation, silent parser, typed faults."""

from __future__ import annotations

import io
import mmap
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from coreseg_core.errors import InputError
from coreseg_core.limits import Limits

_PREAMBLE_BYTES = 128
_MAGIC = b"DICM"
_META_BEFORE_LENGTH = _PREAMBLE_BYTES + len(_MAGIC) + 12

# pydicom raises what its Python happens to raise on damaged bytes; these were met by mutating real files.
_PARSER_FAULTS = (
    InvalidDicomError,
    BytesLengthException,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def is_dicom(path: Path) -> bool:
    """Return True for a file that carries the DICOM mark after its preamble."""
    with path.open("rb") as file:
        return file.read(_PREAMBLE_BYTES + len(_MAGIC))[_PREAMBLE_BYTES:] == _MAGIC


@contextmanager
def typed_dicom_faults() -> Iterator[None]:
    """Keep the parser silent (its warnings quote values, which may be a patient's) and name its faults."""
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        try:
            yield
        except _PARSER_FAULTS as error:
            # The parser's own words may quote the file, so they are not chained to what the operator sees.
            raise InputError(
                "a DICOM file is damaged, cut short, or packed in a way that cannot be read here.",
                remedy="Export the series again, uncompressed.",
            ) from (error if isinstance(error, MemoryError) else None)


def open_dataset(path: Path, *, limits: Limits, tags: tuple[str, ...] | None = None) -> FileDataset:
    """Return a DICOM file's attributes; only `tags`, without pixels, where these are given.

    Call it inside `typed_dicom_faults`.

    Raises:
        LimitError: The file, or what it inflates to, is too large.
    """
    limits.check_file_bytes(path.stat().st_size)
    only = list(tags) if tags is not None else None
    # A map bounds every length that the file claims by its true size.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        stream: BinaryIO = cast(BinaryIO, mapped)
        meta = read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            stream = _inflated(mapped, meta, limits=limits)
        return pydicom.dcmread(stream, stop_before_pixels=only is not None, specific_tags=only)


def _inflated(mapped: mmap.mmap, meta: FileMetaDataset, *, limits: Limits) -> BinaryIO:
    """Return a deflated file as an explicit little-endian one, refusing one that swells beyond the limits."""
    body_at = _META_BEFORE_LENGTH + int(meta.FileMetaInformationGroupLength)
    packed = mapped[body_at:]
    most = limits.max_unpacked_bytes(len(packed))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(packed, most)
    if inflater.unconsumed_tail:
        limits.check_inflation(packed_bytes=len(packed), unpacked_bytes=most + 1)
    plain = io.BytesIO()
    plain.write(b"\0" * _PREAMBLE_BYTES + _MAGIC)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    write_file_meta_info(plain, meta, enforce_standard=False)
    plain.write(body)
    plain.seek(0)
    return plain
