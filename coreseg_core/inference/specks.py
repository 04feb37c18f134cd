"""Specks: the stray pixels that the threshold leaves beside what was outlined. A reader would count them as lesions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST_SHARE = 0.01
"""Parts below this share of the largest one's area, a tenth of its diameter, are specks ..."""
SURE_DIAMETER_MM = 5.0
"""... unless they are known to be so wide: a small second lesion beside a large one is none."""
LEAST_DIAMETER_MM = 3.0
"""What is known to be narrower is a speck beside anything larger."""

_ANY_TOUCH = np.ones((3, 3))


def without_specks(mask: NDArray[np.bool_], *, pixel_mm: tuple[float, float] | None) -> NDArray[np.bool_]:
    """Return the mask (h, w) bool without 8-connected parts that are small beside the largest, and small as such.

    Args:
        mask: (h, w) bool.
        pixel_mm: Size of a pixel as (row, column); None where it is not known, as in most photographs.
    """
    parts, count = ndimage.label(mask, structure=_ANY_TOUCH)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = sizes.max()
    kept: NDArray[np.bool_] = sizes >= max(1.0, LEAST_SHARE * largest)
    if pixel_mm is not None:
        kept &= sizes >= _area_px(LEAST_DIAMETER_MM, pixel_mm)
        kept |= sizes >= _area_px(SURE_DIAMETER_MM, pixel_mm)
        kept |= sizes == largest
    cleaned: NDArray[np.bool_] = kept[parts]
    return cleaned


def _area_px(diameter_mm: float, pixel_mm: tuple[float, float]) -> float:
    """Return how many pixels a circle covers."""
    return math.pi / 4 * diameter_mm**2 / math.prod(pixel_mm)
