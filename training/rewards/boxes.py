"""Boxes against boxes: IoU, GIoU, and the detection reward over a one-to-one matching (CORE-Seg, stage 2).

Boxes are half-open `[x0, y0, x1, y1)` in pixels, so areas and unions are exact and no pixel is counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from coreseg_core.record import Box

MAX_MATCHED_BOXES = 16
"""Predicted boxes that take part in the matching; further ones count as false, so listing many never pays."""

Boxes = Sequence[Box] | NDArray[np.float64]


def box_ious(predicted: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Return the IoU (P, T) of every predicted box with every true one; an empty box overlaps nothing."""
    first, second = _array(predicted)[:, None], _array(truth)[None]
    overlap = _area(np.maximum(first[..., :2], second[..., :2]), np.minimum(first[..., 2:], second[..., 2:]))
    union = _area(first[..., :2], first[..., 2:]) + _area(second[..., :2], second[..., 2:]) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def box_giou(predicted: Box, truth: Box) -> float:
    """Return the generalised IoU of two boxes, above -1 and up to 1: below 0 it tells how far they lie apart.

    GIoU = |A and B| / |A or B| - |C minus (A or B)| / |C| with C the smallest box round both. Two boxes of area 0
    give -1.
    """
    a, b = _array([predicted])[0], _array([truth])[0]
    overlap = float(_area(np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])))
    union = float(_area(a[:2], a[2:]) + _area(b[:2], b[2:])) - overlap
    hull = float(_area(np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])))
    if union <= 0 or hull <= 0:
        return -1.0
    return overlap / union - (hull - union) / hull


def detection_reward(predicted: Boxes, truth: Boxes) -> float:
    """Return mean IoU of the matched boxes x F1, from 0 to 1 (CORE-Seg, detection reward).

    Boxes are matched one to one so that the sum of their IoUs is largest; a pair that does not overlap is no match.
    With M matches of P predicted and T true boxes F1 is 2 M / (P + T). No box for no box is 1.
    """
    count, wanted = len(predicted), len(truth)
    if count == 0 and wanted == 0:
        return 1.0
    if count == 0 or wanted == 0:
        return 0.0
    ious = box_ious(predicted[:MAX_MATCHED_BOXES], truth)
    rows, columns = linear_sum_assignment(ious, maximize=True)
    matched = ious[rows, columns]
    matched = matched[matched > 0]
    if not matched.size:
        return 0.0
    return float(matched.mean()) * 2 * matched.size / (count + wanted)


def _array(boxes: Boxes) -> NDArray[np.float64]:
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)


def _area(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(high - low, 0.0, None).prod(axis=-1)
