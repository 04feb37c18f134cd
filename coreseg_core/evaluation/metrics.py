"""Scores of one predicted mask against one true mask, as pure functions of arrays.

Conventions where something is empty (they decide more of a mean than any tolerance does):

* `dice`, `iou`, `surface_dice`, `instance_f1`: both empty -> 1.0, exactly one empty -> 0.0.
* `is_failure`: Dice 0 or no readable answer (CORE-Seg, arXiv 2603.05911), to be counted on true lesions only.
  A mask on a lesion-free picture is a false alarm and belongs to specificity.
* Means over pictures are means of per-picture scores; pixels are never pooled.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from coreseg_core.errors import InputError
from coreseg_core.record import Box

Mask = NDArray[np.bool_]

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
MIN_INSTANCE_DICE = 0.2
MIN_LESION_PX = 10


def dice(predicted: Mask, truth: Mask) -> float:
    """Return the Dice coefficient of two (h, w) masks, 1.0 when both are empty."""
    _assert_same_shape(predicted, truth)
    total = int(predicted.sum()) + int(truth.sum())
    if total == 0:
        return 1.0
    return 2.0 * int(np.logical_and(predicted, truth).sum()) / total


def iou(predicted: Mask, truth: Mask) -> float:
    """Return the intersection over union of two (h, w) masks, 1.0 when both are empty."""
    _assert_same_shape(predicted, truth)
    union = int(np.logical_or(predicted, truth).sum())
    if union == 0:
        return 1.0
    return int(np.logical_and(predicted, truth).sum()) / union


def is_failure(dice_score: float, *, readable: bool) -> bool:
    """Return whether an answer about a true lesion failed: its Dice is 0 or it could not be read."""
    return not readable or dice_score == 0.0


def surface_dice(
    predicted: Mask, truth: Mask, *, tolerance: float, pixel_size: tuple[float, float] = (1.0, 1.0)
) -> float:
    """Return the share of both outlines that lies within `tolerance` of the other one (NSD).

    Args:
        predicted: (h, w) mask.
        truth: (h, w) mask.
        tolerance: Distance in the unit of `pixel_size`: pixels by default, mm where the spacing is given.
        pixel_size: Size of a pixel as (row, column).
    """
    _assert_same_shape(predicted, truth)
    if not predicted.any() and not truth.any():
        return 1.0
    if not predicted.any() or not truth.any():
        return 0.0
    outline_predicted, outline_true = _outline(predicted), _outline(truth)
    to_true = ndimage.distance_transform_edt(~outline_true, sampling=pixel_size)[outline_predicted]
    to_predicted = ndimage.distance_transform_edt(~outline_predicted, sampling=pixel_size)[outline_true]
    near = int((to_true <= tolerance).sum()) + int((to_predicted <= tolerance).sum())
    return near / (to_true.size + to_predicted.size)


def lesion_labels(mask: Mask, *, min_lesion_px: int = MIN_LESION_PX) -> tuple[NDArray[np.int32], int]:
    """Return the 8-connected parts of a mask numbered from 1, and how many there are.

    Specks under `min_lesion_px` are left out unless there is nothing else: one stray pixel is not a lesion,
    but a truth that is made of tiny lesions must not vanish.
    """
    labels, count = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept = sizes >= min_lesion_px
    if not kept.any():
        return labels.astype(np.int32), int(count)
    renumbered = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.int32)
    return renumbered[labels], int(kept.sum())


def instance_f1(predicted: Mask, truth: Mask, *, min_dice: float = MIN_INSTANCE_DICE) -> float:
    """Return F1 over lesions, a pair counting as found where its Dice reaches `min_dice`.

    Lesions are paired one to one so that as many as possible count as found, then by the highest Dice.
    """
    _assert_same_shape(predicted, truth)
    found, found_count = lesion_labels(predicted)
    wanted, wanted_count = lesion_labels(truth)
    if found_count == 0 and wanted_count == 0:
        return 1.0
    if found_count == 0 or wanted_count == 0:
        return 0.0
    pairs = np.bincount(
        (found * np.int64(wanted_count + 1) + wanted).ravel(),
        minlength=(found_count + 1) * (wanted_count + 1),
    ).reshape(found_count + 1, wanted_count + 1)
    sizes = pairs.sum(axis=1)[1:, None] + pairs.sum(axis=0)[None, 1:]
    pair_dice = 2.0 * pairs[1:, 1:] / sizes
    hit = pair_dice >= min_dice
    rows, columns = linear_sum_assignment(hit + 1e-6 * pair_dice, maximize=True)
    return 2.0 * int(hit[rows, columns].sum()) / (found_count + wanted_count)


def boxes_mask(boxes_xyxy: Iterable[Box], *, height: int, width: int) -> Mask:
    """Return the (h, w) union of half-open boxes, cut at the border of the picture."""
    mask = np.zeros((height, width), dtype=bool)
    for x0, y0, x1, y1 in boxes_xyxy:
        mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return mask


def bounding_box(mask: Mask) -> Box | None:
    """Return the half-open box round everything in a mask, None for an empty one."""
    if not mask.any():
        return None
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def expected_calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], *, bins: int = 10
) -> float:
    """Return the mean gap between confidence and the share that was right, over equally wide bins.

    NaN without any answer: an unmeasured calibration must not look like a perfect one.
    """
    if confidence.size == 0:
        return float("nan")
    edges = np.linspace(0.0, 1.0, bins + 1)
    edges[-1] = np.inf
    gap = 0.0
    for low, high in pairwise(edges):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            gap += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return float(gap)


def area_under_risk_coverage(confidence: NDArray[np.float64], risk: NDArray[np.float64]) -> float:
    """Return the mean risk over all coverages when the least confident answers are left out first.

    Answers of equal confidence enter together: their order in the file must not change the score.
    """
    if confidence.size == 0:
        return float("nan")
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, cumulative = confidence[order], np.cumsum(risk[order])
    last_of_tie = np.append(np.diff(sorted_confidence) != 0, True)
    stops = np.flatnonzero(last_of_tie)
    risk_at_stop = cumulative[stops] / (stops + 1)
    answers_in_tie = np.diff(np.append(-1, stops))
    return float((risk_at_stop * answers_in_tie).sum() / confidence.size)


def _outline(mask: Mask) -> Mask:
    inside = ndimage.binary_erosion(mask, border_value=0)
    return np.asarray(mask & ~inside)


def _assert_same_shape(predicted: Mask, truth: Mask) -> None:
    if predicted.shape != truth.shape:
        raise InputError(
            f"A mask of {predicted.shape} cannot be compared with a truth of {truth.shape}.",
            remedy="Bring both to the same slice first.",
        )
