"""Small volumes whose every voxel, axis and corner differs, so that no mix-up of axes goes unseen."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from coreseg_core.imaging import Volume, VolumeGeometry

SPACING_MM = (0.9, 1.3, 2.5)
ORIGIN_RAS_MM = (-31.5, 12.25, 104.0)
ALL_ORIENTATIONS = tuple(
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
)


def affine_of(order: tuple[int, ...], signs: tuple[int, ...]) -> NDArray[np.float64]:
    """Return an affine whose array axis n points along world axis order[n] in direction signs[n]."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, axis] = sign * SPACING_MM[axis]
    affine[:3, 3] = ORIGIN_RAS_MM
    return affine


def rotation(seed: int, *, most_degrees: float = 180.0) -> NDArray[np.float64]:
    """Return a rotation matrix (3, 3)."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis)
    angle = np.deg2rad(rng.uniform(-most_degrees, most_degrees))
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def asymmetric_voxels(shape: tuple[int, int, int] = (5, 7, 4)) -> NDArray[np.int16]:
    """Return int16 CT-like values that are all different."""
    count = int(np.prod(shape))
    return (np.arange(count).reshape(shape) * 7 - 1000).astype(np.int16)


def asymmetric_volume(affine: NDArray[np.float64], *, modality: str = "CT") -> Volume:
    """Return a volume of `asymmetric_voxels` on a grid."""
    voxels = asymmetric_voxels()
    return Volume(voxels, VolumeGeometry(voxels.shape, affine), modality)


def save_nifti(path: Path, voxels: NDArray[Any], affine: NDArray[np.float64] | None = None) -> Path:
    """Write a NIfTI file with nibabel alone."""
    nib.save(nib.Nifti1Image(voxels, np.diag([-1.0, -1.0, 2.0, 1.0]) if affine is None else affine), path)
    return path
