"""Branching vessels, drawn as balls along random walks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coreseg_core.phantoms.fields import Array
from coreseg_core.phantoms.frame import Frame

FAR_MM = np.float32(50.0)


def _stamp(signed_mm: Array, frame: Frame, point_mm: NDArray[np.float64], radius_mm: float) -> None:
    """Lower `signed_mm` to the distance from a ball, within the ball's neighbourhood only."""
    spacing = np.asarray(frame.spacing_mm)
    centre = frame.voxel_of((float(point_mm[0]), float(point_mm[1]), float(point_mm[2])))
    # At least half a slice is reached, or thin vessels vanish between thick slices.
    reach = np.maximum((radius_mm + 1.5 * spacing[0]) / spacing, 0.6)
    low = np.maximum(np.ceil(centre - reach).astype(int), 0)
    high = np.minimum(np.floor(centre + reach).astype(int) + 1, frame.shape_ijk)
    if np.any(low >= high):
        return
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    offsets = np.ogrid[window]
    squared = sum(
        ((offset - c) * step) ** 2 for offset, c, step in zip(offsets, centre, spacing, strict=True)
    )
    distance = (np.sqrt(squared) - radius_mm).astype(np.float32)
    np.minimum(signed_mm[window], distance, out=signed_mm[window])


def vessel_tree(
    rng: np.random.Generator,
    frame: Frame,
    *,
    root_mm: tuple[float, float, float],
    direction: tuple[float, float, float],
    radius_mm: float,
    length_mm: float,
    generations: int,
) -> Array:
    """Return the signed distance (i, j, k) in mm to a vessel that forks `generations` times."""
    signed_mm = np.full(frame.shape_ijk, FAR_MM, dtype=np.float32)
    heading = np.asarray(direction, dtype=np.float64)
    front = [(np.asarray(root_mm, dtype=np.float64), heading / np.linalg.norm(heading), radius_mm)]
    for generation in range(generations):
        length = length_mm * 0.75**generation
        following = []
        for start, heading, radius in front:
            point = start.copy()
            steps = max(int(length / 2.0), 1)
            for step in range(steps):
                heading = heading + rng.normal(0.0, 0.09, 3)
                heading /= np.linalg.norm(heading)
                point = point + 2.0 * heading
                _stamp(signed_mm, frame, point, radius * (1.0 - 0.25 * step / steps))
            spread = rng.normal(0.0, 0.55, 3)
            following.append((point, heading + spread, radius * 0.72))
            following.append((point, heading - spread, radius * 0.62))
        front = [(start, heading / np.linalg.norm(heading), radius) for start, heading, radius in following]
    return signed_mm
