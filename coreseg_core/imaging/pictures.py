"""A picture that is already in memory, as a slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coreseg_core.imaging.slicing import Placement, SliceImage


def picture_slice(rgb: NDArray[np.uint8], *, pixel_mm: tuple[float, float]) -> SliceImage:
    """Return a picture (h, w, 3) uint8 as a slice that lies nowhere in a patient."""
    return SliceImage(
        rgb=np.ascontiguousarray(rgb),
        pixel_mm=pixel_mm,
        axis=2,
        index=0,
        plane="axial",
        placement=Placement(transposed=True, flip_rows=False, flip_columns=False),
        modality=None,
        display_ranges=((0.0, 255.0),) * 3,
        located=False,
    )
