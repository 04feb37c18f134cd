"""Where the voxels of a phantom lie in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coreseg_core.phantoms.fields import Array, smooth_field


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A voxel lattice in patient space; axes run to the left, to the back and up before the tilt.

    Attributes:
        shape_ijk: Number of voxels along each axis.
        spacing_mm: Distance between voxel centres along each axis.
        centre_ras_mm: Patient position of the middle of the lattice.
        tilt_deg: Turn about the right-left axis, then the anterior-posterior axis (oblique scans).
    """

    shape_ijk: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    centre_ras_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tilt_deg: tuple[float, float] = (0.0, 0.0)

    @cached_property
    def affine_ras(self) -> NDArray[np.float64]:
        """(4, 4) voxel index to patient millimetres."""
        pitch, roll = np.deg2rad(self.tilt_deg)
        about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        about_y = np.array([[np.cos(roll), 0, np.sin(roll)], [0, 1, 0], [-np.sin(roll), 0, np.cos(roll)]])
        axes = about_y @ about_x @ np.diag([-1.0, -1.0, 1.0]) * np.asarray(self.spacing_mm)
        affine = np.eye(4)
        # Rounded so that the last bits of a sine, which differ between machines, are not stored.
        affine[:3, :3] = np.round(axes, 9)
        middle = (np.asarray(self.shape_ijk) - 1) / 2
        affine[:3, 3] = np.round(np.asarray(self.centre_ras_mm) - affine[:3, :3] @ middle, 6)
        return affine

    @cached_property
    def _inverse(self) -> NDArray[np.float64]:
        return np.linalg.inv(self.affine_ras)

    def coordinates_mm(self) -> tuple[Array, Array, Array]:
        """Return patient x (right), y (anterior), z (superior) of every voxel, each (i, j, k)."""
        affine = self.affine_ras.astype(np.float32)
        i, j, k = np.ogrid[tuple(slice(n) for n in self.shape_ijk)]
        x, y, z = (
            affine[row, 0] * i.astype(np.float32)
            + affine[row, 1] * j.astype(np.float32)
            + affine[row, 2] * k.astype(np.float32)
            + affine[row, 3]
            for row in range(3)
        )
        return x, y, z

    def field(self, rng: np.random.Generator, structure_mm: float) -> Array:
        """Return a smooth random field over the lattice whose structures are about `structure_mm` large."""
        return smooth_field(rng, self.shape_ijk, [structure_mm / step for step in self.spacing_mm])

    def voxel_of(self, point_ras_mm: tuple[float, float, float]) -> NDArray[np.float64]:
        """Return the (fractional) voxel index of a patient point."""
        inverse = self._inverse
        result: NDArray[np.float64] = inverse[:3, :3] @ np.asarray(point_ras_mm) + inverse[:3, 3]
        return result

    def window(self, low_ras_mm: ArrayLike, high_ras_mm: ArrayLike) -> tuple[slice, slice, slice]:
        """Return the slices of the smallest voxel box that holds a box of patient space."""
        bounds = np.stack([np.asarray(low_ras_mm), np.asarray(high_ras_mm)])
        corners = np.array([self.voxel_of((x, y, z)) for x, y, z in product(*bounds.T)])
        low = np.clip(np.floor(corners.min(axis=0)), 0, np.asarray(self.shape_ijk) - 1).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)) + 1, low + 1, self.shape_ijk).astype(int)
        i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return i, j, k
