"""NRRD and MetaImage files, through SimpleITK; the header is judged before the voxels are read."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 (its documented name)
from numpy.typing import NDArray

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.imaging.geometry import VolumeGeometry
from coreseg_core.imaging.sidecar import inferred_modality, read_sidecar
from coreseg_core.imaging.volume import Volume
from coreseg_core.imaging.voxel_types import compact
from coreseg_core.limits import Limits

NRRD_MAGIC = b"NRRD"
_MAX_HEADER_BYTES = 65_536
_CHUNK_BYTES = _PADDING_BYTES = 1024**2
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Both formats may name another file for their voxels, which could be any file of this machine.
_DETACHED = re.compile(
    rb"^\s*(data ?file:|ElementDataFile\s*=(?!\s*LOCAL\s*$))", re.IGNORECASE | re.MULTILINE
)
_LAST_META_LINE = re.compile(rb"^\s*ElementDataFile[^\n]*$", re.IGNORECASE | re.MULTILINE)
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_GZIPPED = re.compile(rb"^encoding:\s*(gzip|gz)\s*$", re.IGNORECASE | re.MULTILINE)
_ORIENTED = re.compile(rb"^\s*(space:|TransformMatrix|Orientation|Rotation)", re.IGNORECASE | re.MULTILINE)


def read_itk(path: Path, *, limits: Limits) -> Volume:
    """Return the volume of a `.nrrd` or `.mha` file.

    Raises:
        LimitError: The header announces more than the limits allow.
        GeometryError: No orientation, or a singular one.
        InputError: Damaged, cut short, voxels in another file, not 3-D, or neither grey nor RGB.
    """
    voxels, geometry = read_itk_voxels(path, limits=limits)
    sidecar = read_sidecar(path)
    return Volume(
        voxels=voxels,
        geometry=geometry,
        modality=sidecar.modality or inferred_modality(voxels),
        series_uid=sidecar.series_uid,
        study_uid=sidecar.study_uid,
    )


def read_itk_voxels(
    path: Path, *, limits: Limits, expected: VolumeGeometry | None = None
) -> tuple[NDArray[Any], VolumeGeometry]:
    """Return voxels (i, j, k) or (i, j, k, 3) and their grid; `expected` as in `read_nifti_voxels`."""
    packed_bytes = path.stat().st_size
    limits.check_file_bytes(packed_bytes)
    _check_text_header(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        shape = tuple(int(side) for side in reader.GetSize())
        limits.check_shape(shape)
        _require_readable(reader)
        geometry = VolumeGeometry((shape[0], shape[1], shape[2]), _affine_ras(reader))
        announced = int(np.prod(shape)) * reader.GetNumberOfComponents() * _itemsize(reader)
        if expected is not None:
            geometry.assert_same(expected)
        else:
            limits.check_inflation(packed_bytes=packed_bytes, unpacked_bytes=announced)
        _require_no_more(path, announced)
        image = reader.Execute()
    except RuntimeError as error:
        raise _named(error) from error
    # SimpleITK hands out (k, j, i); turned round it is (i, j, k) without a copy.
    stored = sitk.GetArrayFromImage(image)
    voxels = stored.transpose(2, 1, 0, 3) if stored.ndim == 4 else compact(stored.transpose(2, 1, 0))
    return voxels, geometry


def _check_text_header(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER_BYTES).replace(b"\r", b"")
    if start.startswith(NRRD_MAGIC):
        header = start.split(b"\n\n", 1)[0]
    else:
        last = _LAST_META_LINE.search(start)
        if last is None:
            raise _damaged()
        header = start[: last.end()]
    if _DETACHED.search(header):
        raise InputError(
            "the header names another file for its voxels.",
            remedy="Save the image as one .nrrd or .mha file.",
        )
    if not _ORIENTED.search(header):
        raise GeometryError(
            "the header holds no orientation: left and right are unknown.",
            remedy="Export the image from its source with its orientation.",
        )


def _require_no_more(path: Path, announced_bytes: int) -> None:
    """Return nothing where a gzipped NRRD holds what its header announces, give or take some padding.

    ITK unpacks no more than that; but a file that holds far more is damaged, or made to harm.

    Raises:
        InputError: Much more comes out of it.
    """
    most = announced_bytes + _PADDING_BYTES
    with path.open("rb") as file:
        start = file.read(_MAX_HEADER_BYTES)
        blank = _BLANK_LINE.search(start)
        if blank is None or not _GZIPPED.search(start[: blank.start()].replace(b"\r", b"")):
            return
        file.seek(-4, 2)
        # The length that gzip notes at the end is no proof, but spares whole files from being unpacked twice.
        if int.from_bytes(file.read(4), "little") <= most:
            return
        file.seek(blank.end())
        left = most + 1
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                while left and (chunk := stream.read(min(_CHUNK_BYTES, left))):
                    left -= len(chunk)
        except (OSError, EOFError, zlib.error):
            # What is damaged is named when it is read.
            return
    if not left:
        raise InputError(
            "the NRRD file holds more voxels than its header announces.", remedy="Export the image again."
        )


def _require_readable(reader: sitk.ImageFileReader) -> None:
    if reader.GetDimension() != 3:
        raise InputError(
            f"the image has {reader.GetDimension()} dimensions.",
            remedy="Give one three-dimensional volume (one time point).",
        )
    components = reader.GetNumberOfComponents()
    eight_bit = reader.GetPixelID() in (sitk.sitkVectorUInt8, sitk.sitkUInt8)
    if components != 1 and not (components == 3 and eight_bit):
        raise InputError(
            f"the image has {components} values in each voxel.", remedy="Give grey values, or 8-bit RGB."
        )


def _itemsize(reader: sitk.ImageFileReader) -> int:
    """Return the bytes of one component, from a name such as "vector of 16-bit signed integer"."""
    bits = re.search(r"(\d+)-bit", sitk.GetPixelIDValueAsString(reader.GetPixelID()))
    return int(bits.group(1)) // 8 if bits else 8


def _affine_ras(reader: sitk.ImageFileReader) -> NDArray[np.float64]:
    affine = np.eye(4)
    direction = np.array(reader.GetDirection(), dtype=np.float64).reshape(3, 3)
    affine[:3, :3] = direction * np.array(reader.GetSpacing(), dtype=np.float64)
    affine[:3, 3] = reader.GetOrigin()
    return _LPS_TO_RAS @ affine


def _named(error: RuntimeError) -> InputError:
    if re.search(r"direction|determinant|spacing|cosine", str(error), re.IGNORECASE):
        return GeometryError("the orientation in the header is unusable.", remedy="Export the image again.")
    return _damaged()


def _damaged() -> InputError:
    return InputError("the file is cut short, damaged, or no NRRD or MetaImage.", remedy="Export it again.")
