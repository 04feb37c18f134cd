"""Volumes with one bright ball, off the centre in every direction, so that a turned or mirrored mask misses it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coreseg_core.claims import boxes
from coreseg_core.imaging import Volume, VolumeGeometry, extract_slice
from coreseg_core.record import Query, ReaderPrompts, Scope

SHAPE_IJK = (72, 60, 12)
CENTRE_IJK = (22, 40, 4)
SPACING_MM = (1.0, 1.5, 4.0)
RADIUS_MM = 14.0


def ball_volume(
    affine_ras: NDArray[np.float64] | None = None,
    *,
    modality: str | None = "CT",
    series_uid: str | None = None,
) -> tuple[Volume, NDArray[np.bool_]]:
    """Return a volume and its ball (i, j, k).

    Args:
        affine_ras: Any with the spacing of `SPACING_MM`; that of a plain axial scan by default.
        modality: As in `Volume`.
        series_uid: As in `Volume`.
    """
    affine = (
        np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0]) if affine_ras is None else affine_ras
    )
    offsets = [np.arange(n) - centre for n, centre in zip(SHAPE_IJK, CENTRE_IJK, strict=True)]
    i, j, k = np.meshgrid(*offsets, indexing="ij")
    distance_mm = np.sqrt(sum((d * mm) ** 2 for d, mm in zip((i, j, k), SPACING_MM, strict=True)))
    ball = distance_mm < RADIUS_MM
    noise = np.random.default_rng(0).normal(0.0, 8.0, SHAPE_IJK)
    voxels = (np.where(ball, 160.0, 20.0) + noise).astype(np.int16)
    return Volume(voxels, VolumeGeometry(SHAPE_IJK, affine), modality, series_uid=series_uid), ball


def boxed_query(volume: Volume, ball: NDArray[np.bool_], scope: Scope, text: str = "liver tumor") -> Query:
    """Return a question with the reader's box round the ball on the first slice of the scope."""
    image = extract_slice(volume, scope.axis, scope.start)
    shown = image.voxels_to_mask(np.take(ball, scope.start, axis=scope.axis))
    return Query(text, "none", ReaderPrompts(boxes_xyxy_px=boxes(shown)))


def turned_affines() -> list[NDArray[np.float64]]:
    """Return a mirrored grid, one with its axes exchanged, and two oblique ones (all 48: tests/imaging)."""
    spacing = np.array(SPACING_MM)
    directions = [np.diag([1.0, -1.0, -1.0]), np.eye(3)[:, [1, 2, 0]]]
    directions += [_rotation(20.0, 35.0), _rotation(-40.0, 15.0)]
    affines = []
    for direction in directions:
        affine = np.eye(4)
        affine[:3, :3] = direction * spacing
        affine[:3, 3] = (12.0, -7.0, 30.0)
        affines.append(affine)
    return affines


def _rotation(about_x_deg: float, about_z_deg: float) -> NDArray[np.float64]:
    x, z = np.deg2rad([about_x_deg, about_z_deg])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_x
