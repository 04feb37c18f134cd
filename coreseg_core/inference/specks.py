"""Specks: the stray pixels that the threshold leaves beside what was outlined. A reader would count them as lesions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST_SHARE = 0.01
"""Parts below this share of the largest one's area, a tenth of its diameter, are specks."""

_ANY_TOUCH = np.ones((3, 3))


def without_specks(mask: NDArray[np.bool_], *, least_share: float = LEAST_SHARE) -> NDArray[np.bool_]:
    """Return the mask (h, w) bool with those 8-connected parts that are large enough beside the largest."""
    parts, count = ndimage.label(mask, structure=_ANY_TOUCH)
    if count < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept: NDArray[np.bool_] = (sizes > 0) & (sizes >= least_share * sizes.max())
    cleaned: NDArray[np.bool_] = kept[parts]
    return cleaned
