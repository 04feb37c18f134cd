"""NIfTI files: the header is judged before a voxel is unpacked, and no more is unpacked than it announced."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.imaging.geometry import VolumeGeometry
from coreseg_core.imaging.sidecar import inferred_modality, read_sidecar
from coreseg_core.imaging.volume import Volume
from coreseg_core.imaging.voxel_types import compact
from coreseg_core.limits import Limits

_GZIP_MAGIC = b"\x1f\x8b"
_HEADER_BYTES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_MAX_DATA_OFFSET = 16 * 1024**2
_CHUNK_BYTES = 1024**2
_SAME_PLACE_VOXELS = 0.5


def read_nifti(path: Path, *, limits: Limits) -> Volume:
    """Return the volume of a `.nii` or `.nii.gz` file.

    Raises:
        LimitError: The header announces more than the limits allow.
        GeometryError: No orientation, or two that contradict each other.
        InputError: Damaged, truncated, more than three dimensions, or values that are no grey or RGB.
    """
    voxels, geometry = read_nifti_voxels(path, limits=limits)
    voxels = voxels if voxels.ndim == 4 else compact(voxels)
    sidecar = read_sidecar(path)
    return Volume(
        voxels=voxels,
        geometry=geometry,
        modality=sidecar.modality or inferred_modality(voxels),
        series_uid=sidecar.series_uid,
        study_uid=sidecar.study_uid,
    )


def read_nifti_voxels(
    path: Path, *, limits: Limits, expected: VolumeGeometry | None = None
) -> tuple[NDArray[Any], VolumeGeometry]:
    """Return voxels (i, j, k) or (i, j, k, 3), scaled as the header says, and their grid.

    Args:
        path: The file.
        limits: What may be read.
        expected: The grid the file must have. Its size is known then, so that how well the file is packed
            (a nearly empty mask packs a thousand to one) no longer matters.
    """
    packed_bytes = path.stat().st_size
    limits.check_file_bytes(packed_bytes)
    with _opened(path) as stream, _typed_faults():
        header = _header(stream)
        shape = _shape(header)
        limits.check_shape(shape)
        geometry = VolumeGeometry(shape, _affine(header, shape))
        if expected is not None:
            geometry.assert_same(expected)
        dtype = _grey_or_rgb(header.get_data_dtype())
        offset = _data_offset(header)
        announced = offset + int(np.prod(shape)) * dtype.itemsize
        if expected is None:
            limits.check_inflation(packed_bytes=packed_bytes, unpacked_bytes=announced)
        _skip(stream, offset - int(header["sizeof_hdr"]))
        values = _values(stream, announced - offset, dtype).reshape(shape, order="F")
        _require_end(stream)
        return _scaled(values, header), geometry


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=file) as stream:
                yield stream  # type: ignore[misc]
        else:
            yield file


@contextmanager
def _typed_faults() -> Iterator[None]:
    """Turn what nibabel, gzip and NumPy raise on damaged bytes into an error for the operator."""
    try:
        yield
    except (HeaderDataError, HeaderTypeError, WrapStructError, KeyError) as error:
        raise InputError("the NIfTI header is damaged.", remedy="Export the image again.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error, OverflowError) as error:
        raise _truncated() from error


def _header(stream: IO[bytes]) -> Any:
    start = stream.read(4)
    if len(start) < 4:
        raise _truncated()
    sizes = (int.from_bytes(start, "little"), int.from_bytes(start, "big"))
    size = next((size for size in sizes if size in _HEADER_BYTES), None)
    if size is None:
        raise InputError(
            "the file is no NIfTI image.", remedy="Give .nii, .nii.gz, .nrrd, .mha, DICOM, PNG or JPEG."
        )
    rest = stream.read(size - 4)
    if len(rest) < size - 4:
        raise _truncated()
    header = _HEADER_BYTES[size].from_fileobj(io.BytesIO(start + rest), check=False)
    if not bytes(header["magic"]).startswith(b"n+"):
        raise InputError(
            "the NIfTI image lies in two files, or is Analyze.", remedy="Save it as one .nii or .nii.gz file."
        )
    return header


def _shape(header: Any) -> tuple[int, int, int]:
    count = int(header["dim"][0])
    if not 1 <= count <= 7:
        raise InputError(f"the NIfTI header announces {count} dimensions.", remedy="Export the image again.")
    sides = [int(side) for side in header["dim"][1 : count + 1]]
    sides += [1] * (3 - len(sides))
    if any(side != 1 for side in sides[3:]):
        raise InputError(
            f"the image has {count} dimensions: {' x '.join(map(str, sides))}.",
            remedy="Give one three-dimensional volume (one time point, one channel).",
        )
    return sides[0], sides[1], sides[2]


def _affine(header: Any, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the matrix to RAS; both matrices of the file must mean one place if both are given."""
    sform, sform_code = header.get_sform(coded=True)
    try:
        qform, qform_code = header.get_qform(coded=True)
    except (HeaderDataError, ValueError) as error:
        raise GeometryError("the NIfTI quaternion is damaged.", remedy="Export the image again.") from error
    if sform_code <= 0 and qform_code <= 0:
        raise GeometryError(
            "the NIfTI header holds no orientation (sform and qform code 0): left and right are unknown.",
            remedy="Export the image from its source with its orientation.",
        )
    if sform_code <= 0:
        return np.asarray(qform, dtype=np.float64)
    if qform_code > 0:
        corners = np.indices((2, 2, 2)).reshape(3, -1).T * (np.array(shape) - 1)
        shift_mm = np.abs(corners @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3]).max()
        if not shift_mm <= _SAME_PLACE_VOXELS * np.linalg.norm(sform[:3, :3], axis=0).min():
            raise GeometryError(
                f"sform and qform of the NIfTI header put the image {shift_mm:.3g} mm apart.",
                remedy="Keep one of them: load and save the image in 3D Slicer.",
            )
    return np.asarray(sform, dtype=np.float64)


def _data_offset(header: Any) -> int:
    offset = float(header["vox_offset"])
    least = int(header["sizeof_hdr"])
    if offset == 0:
        return least + 4
    if not least <= offset <= _MAX_DATA_OFFSET:
        raise InputError(
            f"the NIfTI header puts its voxels at byte {offset:.3g}.",
            remedy="The file is damaged; export it again.",
        )
    return int(offset)


def _skip(stream: IO[bytes], count: int) -> None:
    if len(stream.read(count)) < count:
        raise _truncated()


def _values(stream: IO[bytes], count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return exactly `count` bytes as numbers, growing with what really comes out of the file."""
    data = bytearray()
    while len(data) < count:
        chunk = stream.read(min(_CHUNK_BYTES, count - len(data)))
        if not chunk:
            raise _truncated()
        data += chunk
    return np.frombuffer(data, dtype=dtype)


def _require_end(stream: IO[bytes]) -> None:
    """Return nothing where the file ends; some programs pad it, but not with a megabyte.

    Raises:
        InputError: Much more follows than the header announces, so one of them is wrong.
    """
    if len(stream.read(_CHUNK_BYTES)) == _CHUNK_BYTES:
        raise InputError(
            "the NIfTI file holds more voxels than its header announces.", remedy="Export the image again."
        )


def _grey_or_rgb(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in "iuf" and (dtype.names or ())[:3] != ("R", "G", "B"):
        raise InputError(f"voxels of type {dtype}.", remedy="Export real grey values, or RGB.")
    return dtype


def _scaled(values: NDArray[Any], header: Any) -> NDArray[Any]:
    if values.dtype.names is not None:
        return np.stack([values[name] for name in "RGB"], axis=-1)
    slope, intercept = header.get_slope_inter()
    if slope in (None, 1.0) and intercept in (None, 0.0):
        return values
    return values.astype(np.float32) * np.float32(slope) + np.float32(intercept or 0.0)


def _truncated() -> InputError:
    return InputError("the NIfTI file is cut short or damaged.", remedy="Copy or export it again.")
