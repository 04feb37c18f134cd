"""Where voxels lie in the patient: array indices (i, j, k) as in 3D Slicer, millimetres in RAS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coreseg_core.errors import GeometryError, InputError

SAME_POSITION_MM = 1e-3
SAME_COSINE = 1e-5
PLANES = ("sagittal", "coronal", "axial")
_ARRAY_AXES = ("i", "j", "k")
_CODES = (("L", "R"), ("P", "A"), ("I", "S"))
_MIN_SPACING_MM = 1e-6
_MIN_VOLUME_OF_COSINES = 1e-3


@dataclass(frozen=True, eq=False)
class VolumeGeometry:
    """A voxel grid in space: how many voxels, and the 4 x 4 matrix from (i, j, k) to RAS millimetres.

    Args:
        shape_ijk: Voxels along i, j and k.
        affine_ras: (4, 4), last row 0 0 0 1; columns may be oblique, anisotropic, mirrored or sheared.
        located: False for a flat picture that lies nowhere in a patient: it has no left and right.

    Raises:
        GeometryError: The matrix is not finite, is singular, or contradicts itself.
    """

    shape_ijk: tuple[int, int, int]
    affine_ras: NDArray[np.float64]
    located: bool = True

    def __post_init__(self) -> None:
        shape = tuple(int(side) for side in self.shape_ijk)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(f"a grid of {shape} voxels.", remedy="Give three sides of at least 1.")
        affine = np.array(self.affine_ras, dtype=np.float64)
        _require_usable(affine)
        affine.setflags(write=False)
        object.__setattr__(self, "shape_ijk", shape)
        object.__setattr__(self, "affine_ras", affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Millimetres from voxel to voxel along i, j and k."""
        i, j, k = np.linalg.norm(self.affine_ras[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def origin_ras_mm(self) -> NDArray[np.float64]:
        """(3,) centre of voxel (0, 0, 0)."""
        return self.affine_ras[:3, 3]

    @cached_property
    def directions_ras(self) -> NDArray[np.float64]:
        """(3, 3) unit vectors of i, j and k as columns."""
        directions: NDArray[np.float64] = self.affine_ras[:3, :3] / np.asarray(self.spacing_mm)
        return directions

    @property
    def orthogonal(self) -> bool:
        """True when the axes stand at right angles, as NIfTI readers outside nibabel demand."""
        gram = self.directions_ras.T @ self.directions_ras
        return bool(np.abs(gram - np.eye(3)).max() < 1e-4)

    @cached_property
    def anatomical_axes(self) -> tuple[int, int, int]:
        """For i, j, k the closest anatomical axis, each used once: 0 right-left, 1 front-back, 2 up-down."""
        cosines = np.abs(self.directions_ras)
        best = max(
            permutations(range(3)), key=lambda order: sum(cosines[a, n] ** 2 for n, a in enumerate(order))
        )
        return best[0], best[1], best[2]

    @property
    def axis_codes(self) -> str:
        """The direction in which i, j and k grow, one letter each of R L A P S I: "LPS" for a plain CT."""
        codes = ""
        for array_axis, world_axis in enumerate(self.anatomical_axes):
            grows = self.directions_ras[world_axis, array_axis] >= 0
            codes += _CODES[world_axis][int(grows)]
        return codes

    def array_axis(self, name: str) -> int:
        """Return the array axis 0, 1 or 2 that "axial", "coronal", "sagittal", "i", "j" or "k" means.

        Raises:
            InputError: Another name.
        """
        if name in _ARRAY_AXES:
            return _ARRAY_AXES.index(name)
        if name in PLANES:
            return self.anatomical_axes.index(PLANES.index(name))
        raise InputError(f"axis {name[:20]!r} is unknown.", remedy="Use axial, coronal, sagittal, i, j or k.")

    def plane(self, axis: int) -> str:
        """Return the name of the anatomical plane closest to slices along array axis `axis`."""
        return PLANES[self.anatomical_axes[axis]]

    def to_world(self, ijk: ArrayLike) -> NDArray[np.float64]:
        """Return RAS millimetres (..., 3) of voxel coordinates (..., 3)."""
        points = np.asarray(ijk, dtype=np.float64)
        return np.add(points @ self.affine_ras[:3, :3].T, self.affine_ras[:3, 3])

    def to_voxels(self, ras_mm: ArrayLike) -> NDArray[np.float64]:
        """Return voxel coordinates (..., 3), not rounded, of RAS millimetres (..., 3)."""
        points: NDArray[np.float64] = np.subtract(ras_mm, self.affine_ras[:3, 3])
        return np.asarray(points @ np.linalg.inv(self.affine_ras[:3, :3]).T)

    def assert_same(self, other: VolumeGeometry) -> None:
        """Return nothing when both grids are one grid (1e-3 mm, 1e-5 of a direction cosine).

        Raises:
            GeometryError: Shape, spacing, origin or direction differ; says which and by how much.
        """
        if self.shape_ijk != other.shape_ijk:
            _differs("shape", f"{self.shape_ijk} against {other.shape_ijk} voxels")
        spacing = np.abs(np.subtract(self.spacing_mm, other.spacing_mm)).max()
        if spacing > SAME_POSITION_MM:
            _differs("spacing", f"by {spacing:.4g} mm")
        origin = np.abs(self.origin_ras_mm - other.origin_ras_mm).max()
        if origin > SAME_POSITION_MM:
            _differs("origin", f"by {origin:.4g} mm")
        cosine = np.abs(self.directions_ras - other.directions_ras).max()
        if cosine > SAME_COSINE:
            _differs("direction", f"by {cosine:.3g} of a cosine")


def picture_geometry(
    *, width: int, height: int, pixel_mm: tuple[float, float] = (1.0, 1.0)
) -> VolumeGeometry:
    """Return the grid of a flat picture: i to the right, j down, one slice; `pixel_mm` is (row, column)."""
    affine = np.diag([-pixel_mm[1], -pixel_mm[0], 1.0, 1.0])
    return VolumeGeometry((width, height, 1), affine, located=False)


def _require_usable(affine: NDArray[np.float64]) -> None:
    if affine.shape != (4, 4):
        raise GeometryError(f"an affine of shape {affine.shape}.", remedy="Give a 4 x 4 matrix.")
    if not np.isfinite(affine).all():
        raise GeometryError(
            "the affine holds numbers that are not finite.",
            remedy="Export the image again with its position.",
        )
    if not np.allclose(affine[3], (0.0, 0.0, 0.0, 1.0)):
        raise GeometryError(
            f"the last row of the affine is {affine[3].tolist()}.", remedy="It must be 0, 0, 0, 1."
        )
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < _MIN_SPACING_MM:
        raise GeometryError(
            f"voxel sides of {spacing.tolist()} mm.", remedy="Every spacing must be above zero."
        )
    volume = abs(float(np.linalg.det(affine[:3, :3] / spacing)))
    if volume < _MIN_VOLUME_OF_COSINES:
        raise GeometryError(
            f"the affine is singular (its unit axes span a volume of {volume:.2g}).",
            remedy="Two axes point the same way: export the image again with its orientation.",
        )


def _differs(what: str, how: str) -> None:
    raise GeometryError(
        f"two grids that must be one differ in {what}: {how}.",
        remedy="Resample one onto the other, or use the image the mask was drawn on.",
    )
