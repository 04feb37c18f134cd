"""How sure a finding is: the segmenter's own IoU estimate, whether the written boxes and the mask agree, and what a
second look without reasoning says (`inference.second_look`).

The published model lets box and mask disagree without noticing (the authors' own figure shows it); that disagreement
is a free warning here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from coreseg_core.record import Box

MASK_KIND = "predicted IoU x agreement of boxes and mask"
LOOK_KIND = "chance of the answer at a second look"


def box_mask_iou(boxes_xyxy_px: Sequence[Box], mask: NDArray[np.bool_]) -> float | None:
    """Return the IoU of the written boxes' union with that of the boxes round the mask, None without both.

    Args:
        boxes_xyxy_px: In the pixels of the mask.
        mask: (h, w) bool.
    """
    if not boxes_xyxy_px or not mask.any():
        return None
    written = np.zeros(mask.shape, dtype=bool)
    for x0, y0, x1, y1 in boxes_xyxy_px:
        written[y0:y1, x0:x1] = True
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    measured = np.zeros(mask.shape, dtype=bool)
    measured[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    if len(boxes_xyxy_px) > 1:
        # Several boxes say several lesions: compare with the lit pixels' neighbourhoods, not with one hull.
        measured = _component_boxes(mask)
    union = np.count_nonzero(written | measured)
    return float(np.count_nonzero(written & measured) / union) if union else None


def mask_confidence(predicted_iou: float, agreement: float | None) -> float:
    """Return 0..1 for a mask; a mask without a readable box is trusted half as much."""
    estimate = 0.0 if math.isnan(predicted_iou) else min(max(predicted_iou, 0.0), 1.0)
    return estimate * (0.5 + 0.5 * (agreement or 0.0))


def _component_boxes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    lit = np.zeros(mask.shape, dtype=bool)
    for window in ndimage.find_objects(labels):
        lit[window] = True
    return lit
