"""Polygons filled on a grid of pixel centres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fill_polygon(points: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask of `shape` (a, b), true where a pixel's centre lies inside the polygon.

    Args:
        points: (n, 2) corners in pixel coordinates (first axis, second axis), whole numbers being centres; the last
            corner is joined to the first. Where the outline crosses itself the even-odd rule holds.
        shape: Sides of the mask; what lies beyond is cut off.
    """
    filled = np.zeros(shape, dtype=bool)
    a0, b0 = points[:, 0], points[:, 1]
    a1, b1 = np.roll(a0, -1), np.roll(b0, -1)
    low, high = np.minimum(a0, a1), np.maximum(a0, a1)
    first, last = max(0, int(np.ceil(a0.min()))), min(shape[0] - 1, int(np.floor(a0.max())))
    columns = np.arange(shape[1])
    for line in range(first, last + 1):
        # Half-open edges: a corner on the line is met by one of its two edges.
        met = (low <= line) & (line < high)
        share = (line - a0[met]) / (a1[met] - a0[met])
        crossings = np.sort(b0[met] + share * (b1[met] - b0[met]))
        filled[line] = np.searchsorted(crossings, columns, side="right") % 2 == 1
    return filled
