"""Writing masks and volumes so that 3D Slicer and everybody else finds them where they belong."""

from __future__ import annotations

import gzip
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 (its documented name)
from numpy.typing import NDArray

from coreseg_core.errors import GeometryError, InputError, StorageError
from coreseg_core.imaging.geometry import VolumeGeometry
from coreseg_core.imaging.read_itk import NRRD_MAGIC, read_itk_voxels
from coreseg_core.imaging.read_nifti import read_nifti_voxels
from coreseg_core.imaging.volume import Volume
from coreseg_core.limits import Limits

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NIFTI_SCANNER = 1
_GZIP_LEVEL = 6
_SUFFIXES = (".nii.gz", ".nii", ".nrrd")


def write_label(path: str | Path, labels_ijk: NDArray[Any], geometry: VolumeGeometry) -> None:
    """Write a mask beside its image: nothing is seen at `path` until the whole file is there.

    Args:
        path: `.nii.gz`, `.nii` or `.nrrd`.
        labels_ijk: (i, j, k) bool or whole numbers 0 to 255.
        geometry: The grid of the image the mask was drawn on.

    Raises:
        GeometryError: The mask has another shape, or the grid is sheared and the format is NIfTI.
        InputError: Values beyond 0 to 255, another ending, or a place that cannot be written.
    """
    _write(Path(path), _as_labels(labels_ijk, geometry), geometry)


def write_volume(path: str | Path, volume: Volume) -> None:
    """Write an image's voxels on its grid, as `write_label` does; the modality is not kept by these formats.

    Raises:
        GeometryError: The grid is sheared and the format is NIfTI.
        InputError: Another ending, or a place that cannot be written.
    """
    _write(Path(path), volume.voxels, volume.geometry)


def read_label(
    path: str | Path, geometry: VolumeGeometry, *, limits: Limits | None = None
) -> NDArray[np.uint8]:
    """Return a mask (i, j, k) that lies on the grid `geometry`.

    Raises:
        GeometryError: The mask lies on another grid.
        InputError: Damaged, or values that are not whole numbers 0 to 255.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(NRRD_MAGIC))
        reader = read_itk_voxels if start == NRRD_MAGIC else read_nifti_voxels
        voxels, _ = reader(path, limits=limits or Limits(), expected=geometry)
    except OSError as error:
        raise InputError(
            f"the mask cannot be opened ({error.strerror}).", remedy="Check the path."
        ) from error
    return _as_labels(voxels, geometry)


def _as_labels(values: NDArray[Any], geometry: VolumeGeometry) -> NDArray[np.uint8]:
    if values.shape != geometry.shape_ijk:
        raise GeometryError(
            f"a mask of {values.shape} voxels for an image of {geometry.shape_ijk}.",
            remedy="Give the mask of this very image, in the order i, j, k.",
        )
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    labels = values.astype(np.uint8)
    if not np.array_equal(labels, values):
        raise InputError("mask values are not whole numbers from 0 to 255.", remedy="Give uint8 labels.")
    return labels


def _write(path: Path, voxels: NDArray[Any], geometry: VolumeGeometry) -> None:
    suffix = next((suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix)), None)
    if suffix is None:
        raise InputError("an unknown ending for an image.", remedy=f"Use one of {', '.join(_SUFFIXES)}.")
    if suffix == ".nrrd":
        write_whole(path, suffix, lambda partial: _write_nrrd(partial, voxels, geometry))
        return
    if not geometry.orthogonal:
        raise GeometryError(
            "the image's axes are not at right angles (a tilted gantry?), which most NIfTI readers refuse.",
            remedy="Write .nrrd instead.",
        )
    write_whole(path, suffix, lambda partial: _write_nifti(partial, voxels, geometry))


def write_whole(path: Path, suffix: str, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file of a passing name beside `path`, then rename it; leave nothing half done.

    Raises:
        StorageError: The place cannot be written.
    """
    partial = path.with_name(f".partial-{os.getpid()}-{secrets.token_hex(6)}{suffix}")
    try:
        write(partial)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the writer gave up"
        raise StorageError(
            f"the output cannot be written ({reason}).",
            remedy="Check the folder and the space left on the disk.",
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _write_nifti(path: Path, voxels: NDArray[Any], geometry: VolumeGeometry) -> None:
    if voxels.ndim == 4:
        rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
        voxels = np.ascontiguousarray(voxels).view(rgb)[..., 0]
    image = nib.Nifti1Image(voxels, geometry.affine_ras, dtype=voxels.dtype)
    # Both matrices with the scanner's code: readers differ in which one they believe.
    image.set_sform(geometry.affine_ras, code=_NIFTI_SCANNER)
    image.set_qform(geometry.affine_ras, code=_NIFTI_SCANNER)
    image.header.set_xyzt_units(xyz="mm")
    with path.open("wb") as file:
        if path.name.endswith(".gz"):
            # No name and no time inside: the same mask gives the same bytes.
            with gzip.GzipFile(
                filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0
            ) as packed:
                _write_nifti_to(image, packed)
        else:
            _write_nifti_to(image, file)


def _write_nifti_to(image: nib.Nifti1Image, stream: Any) -> None:
    image.file_map["image"].fileobj = stream
    image.to_file_map(image.file_map)


def _write_nrrd(path: Path, voxels: NDArray[Any], geometry: VolumeGeometry) -> None:
    order = (2, 1, 0, 3) if voxels.ndim == 4 else (2, 1, 0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(order)), isVector=voxels.ndim == 4)
    affine_lps = _RAS_TO_LPS @ geometry.affine_ras
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin([float(value) for value in affine_lps[:3, 3]])
    image.SetDirection((affine_lps[:3, :3] / np.asarray(geometry.spacing_mm)).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
