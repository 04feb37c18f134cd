"""Smooth random fields and soft shapes, the material every phantom is made of.

Shapes are signed distances in millimetres (negative inside), fields have zero mean and about unit variance.
Everything is elementwise float32 arithmetic on a seeded PCG64 stream and ends rounded to integers, so that a
seed gives the same study on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# Mean over a knot interval of the sum of squared cubic B-spline weights: the variance that smoothing keeps.
_BSPLINE_POWER = 151.0 / 315.0


def stream(*key: int) -> np.random.Generator:
    """Return the random stream of a key; different keys give independent streams."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))


def _spline_weights(length: int, knot_step: float) -> Array:
    """Cubic B-spline weights, (length, knots), for knots `knot_step` samples apart."""
    knots = int(np.ceil(length / knot_step)) + 3
    position = np.arange(length, dtype=np.float64)[:, None] / knot_step + 1.0
    distance = np.abs(position - np.arange(knots)[None, :])
    near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
    far = (2.0 - distance).clip(0.0) ** 3 / 6.0
    return np.where(distance < 1.0, near, far).astype(np.float32)


def smooth_field(rng: np.random.Generator, shape: Sequence[int], knot_steps: Sequence[float]) -> Array:
    """Return a smooth random field of unit variance.

    Args:
        shape: Shape of the field, any number of axes.
        knot_steps: Distance in samples between independent values along each axis (structure size).
    """
    weights = [_spline_weights(n, max(step, 1.0)) for n, step in zip(shape, knot_steps, strict=True)]
    field = rng.standard_normal([w.shape[1] for w in weights], dtype=np.float32)
    field *= np.float32(_BSPLINE_POWER ** (-len(weights) / 2))
    # The last axis first: most of the widening then happens in one product of contiguous matrices.
    for axis in reversed(range(len(weights))):
        before, after = field.shape[:axis], field.shape[axis + 1 :]
        flat = field.reshape(int(np.prod(before)), field.shape[axis], int(np.prod(after)))
        field = np.matmul(weights[axis], flat).reshape(*before, weights[axis].shape[0], *after)
    return field


def ellipsoid(
    coordinates_mm: Sequence[Array], centre_mm: Sequence[float], radii_mm: Sequence[float]
) -> Array:
    """Return the signed distance to an ellipsoid, in mm, exact to first order near its surface."""
    shape = np.broadcast_shapes(*(axis.shape for axis in coordinates_mm))
    scaled = np.zeros(shape, dtype=np.float32)
    steepness = np.full(shape, 1e-9, dtype=np.float32)
    for axis, centre, radius in zip(coordinates_mm, centre_mm, radii_mm, strict=True):
        offset = axis - np.float32(centre)
        offset *= np.float32(1.0 / radius)
        offset *= offset
        scaled += offset
        offset *= np.float32(1.0 / radius**2)
        steepness += offset
    rho = np.sqrt(scaled)
    np.sqrt(steepness, out=steepness)
    # rho (rho - 1) / |gradient|; towards the centre, where that tends to 0, the depth is the least radius.
    scaled -= rho
    scaled /= steepness
    deep = rho < 0.5
    scaled[deep] = (rho[deep] - np.float32(1.0)) * np.float32(min(radii_mm))
    return scaled


def capsule(
    coordinates_mm: Sequence[Array],
    start_mm: Sequence[float],
    stop_mm: Sequence[float],
    radii_mm: tuple[float, float],
) -> Array:
    """Return the signed distance to a tapered rod between two points, in mm."""
    direction = np.asarray(stop_mm, dtype=np.float32) - np.asarray(start_mm, dtype=np.float32)
    offsets = [axis - np.float32(origin) for axis, origin in zip(coordinates_mm, start_mm, strict=True)]
    along = sum(offset * step for offset, step in zip(offsets, direction, strict=True))
    along = np.clip(along / np.float32((direction**2).sum() + 1e-9), 0.0, 1.0)
    squared = sum((offset - along * step) ** 2 for offset, step in zip(offsets, direction, strict=True))
    radius = np.float32(radii_mm[0]) + along * np.float32(radii_mm[1] - radii_mm[0])
    result: Array = np.sqrt(squared) - radius
    return result


def tube(
    coordinates_mm: Sequence[Array], points_mm: Sequence[Sequence[float]], radii_mm: Sequence[float]
) -> Array:
    """Return the signed distance to a chain of tapered rods through `points_mm`, in mm."""
    pieces = [
        capsule(coordinates_mm, points_mm[n], points_mm[n + 1], (radii_mm[n], radii_mm[n + 1]))
        for n in range(len(points_mm) - 1)
    ]
    return join(*pieces)


def join(*signed_mm: Array) -> Array:
    """Return the union of shapes."""
    return np.minimum.reduce(signed_mm)


def meet(*signed_mm: Array) -> Array:
    """Return the intersection of shapes."""
    return np.maximum.reduce(signed_mm)


def blend(first_mm: Array, second_mm: Array, radius_mm: float) -> Array:
    """Return the union of two shapes with a fillet of about `radius_mm` where they touch."""
    radius = np.float32(radius_mm)
    overlap = np.clip(radius - np.abs(first_mm - second_mm), 0.0, None)
    result: Array = np.minimum(first_mm, second_mm) - overlap * overlap / (4 * radius)
    return result


def coverage(signed_mm: Array, edge_mm: float) -> Array:
    """Return how much of a voxel a shape covers, 0..1, with an edge `edge_mm` wide."""
    return np.clip(np.float32(0.5) - signed_mm / np.float32(edge_mm), 0.0, 1.0)


def paint(image: Array, level: Array | float, weight: Array) -> None:
    """Mix `level` into `image` in place by `weight`."""
    image += weight * (np.asarray(level, dtype=np.float32) - image)
