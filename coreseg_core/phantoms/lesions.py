"""Where a lesion may sit in its host organ, and the irregular body it has there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coreseg_core.phantoms.fields import Array, coverage, ellipsoid
from coreseg_core.phantoms.frame import Frame
from coreseg_core.phantoms.study import LesionSpec


@dataclass(frozen=True, kw_only=True)
class LesionBody:
    """A lesion on the lattice: signed distance to its outline in mm and its voxels."""

    signed_mm: Array
    mask: NDArray[np.bool_]


def depth_inside_mm(host: NDArray[np.bool_], frame: Frame) -> Array:
    """Return for each voxel of the host organ how far its surface is, in mm, 0 outside.

    The lattice edge counts as surface in plane, not across slices: an organ may go on beyond the scan.
    """
    padded = np.pad(host, ((1, 1), (1, 1), (0, 0)))
    depth = ndimage.distance_transform_edt(padded, sampling=frame.spacing_mm)
    return np.asarray(depth[1:-1, 1:-1], dtype=np.float32)


def choose_place(
    rng: np.random.Generator, depth_mm: Array, margin_mm: float, frame: Frame
) -> tuple[float, float, float] | None:
    """Return a patient point at least `margin_mm` deep in the host, or the deepest one found.

    Returns:
        None where the host is empty.
    """
    slices = depth_mm.shape[2]
    border = min(2, (slices - 1) // 2)
    usable = depth_mm[:, :, border : slices - border]
    deepest = float(usable.max(initial=0.0))
    if deepest <= 0.0:
        return None
    candidates = np.argwhere(usable >= min(margin_mm, 0.9 * deepest))
    index = candidates[int(rng.integers(len(candidates)))].astype(np.float64)
    index[2] += border
    point = frame.affine_ras[:3, :3] @ index + frame.affine_ras[:3, 3]
    return (round(float(point[0]), 2), round(float(point[1]), 2), round(float(point[2]), 2))


def grow(
    rng: np.random.Generator,
    frame: Frame,
    coordinates_mm: tuple[Array, Array, Array],
    spec: LesionSpec,
) -> LesionBody:
    """Return the lesion of a recipe, one connected piece with a rough outline."""
    size = float(np.mean(spec.radii_mm))
    lobes = frame.field(rng, max(size * 0.9, 2.5))
    fine = frame.field(rng, max(size * 0.4, 1.6))
    smooth = ellipsoid(coordinates_mm, spec.centre_ras_mm, spec.radii_mm)
    roughness = spec.irregularity * min(spec.radii_mm) * (lobes + 0.4 * fine)
    near = coverage(np.abs(smooth) - 1.5 * size, size)
    signed_mm: Array = smooth + near * roughness
    signed_mm = main_piece(signed_mm)
    return LesionBody(signed_mm=signed_mm, mask=signed_mm < 0.0)


def main_piece(signed_mm: Array) -> Array:
    """Return a shape without the crumbs that a rough outline leaves beside its largest piece."""
    pieces, count = ndimage.label(signed_mm < 0.0)
    if count < 2:
        return signed_mm
    keep = int(np.bincount(pieces.ravel())[1:].argmax()) + 1
    return np.where((pieces > 0) & (pieces != keep), np.float32(1.0), signed_mm)
