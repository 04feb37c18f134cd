"""The adaptive dual-granularity mask reward: boxes guide while the mask misses, pixels once it hits (CORE-Seg)."""

from __future__ import annotations

from typing import Literal

from coreseg_core.evaluation.metrics import Mask, bounding_box, dice
from training.rewards.boxes import box_giou

DICE_SWITCH = 0.05
"""Dice below which the boxes of the masks are compared instead of their pixels."""

MaskKind = Literal["dual", "dice"]


def mask_reward(predicted: Mask, truth: Mask, *, kind: MaskKind = "dual") -> float:
    """Return the reward of a mask (h, w) against a true one that is not empty.

    `dual`: GIoU of the masks' boxes, above -1 and at most 1, where Dice is below 0.05; else 1 + 2 Dice, from 1.1 to 3.
    Hitting the lesion is always worth more than lying near it. An empty mask is -1. `dice` is 3 Dice, the ablation
    with the same top and nothing to follow while the mask misses.

    Raises:
        InputError: The masks differ in shape.
    """
    overlap = dice(predicted, truth)
    if kind == "dice":
        return 3.0 * overlap
    if overlap >= DICE_SWITCH:
        return 1.0 + 2.0 * overlap
    found, wanted = bounding_box(predicted), bounding_box(truth)
    if found is None or wanted is None:
        return -1.0
    return box_giou(found, wanted)
