"""The SFT losses as pure functions (CORE-Seg, stage 1: text cross-entropy and DiceCE on the mask)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def token_loss(token_losses: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over replies of their mean token cross-entropy.

    Args:
        token_losses: (n, L), zero where nothing was to be written.
        weights: (n,) weight of each reply.
    """
    written = (token_losses > 0).sum(dim=1).clamp_min(1)
    return (token_losses.sum(dim=1) / written * weights).sum() / weights.sum()


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return 1 - soft Dice, (n,), of logits and masks (n, h, w)."""
    probabilities = logits.float().sigmoid()
    overlap = (probabilities * masks).sum(dim=(1, 2))
    total = probabilities.sum(dim=(1, 2)) + masks.sum(dim=(1, 2))
    return 1 - (2 * overlap + 1) / (total + 1)


def cross_entropy_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean pixel cross-entropy, (n,), of logits and masks (n, h, w)."""
    return F.binary_cross_entropy_with_logits(logits.float(), masks, reduction="none").mean(dim=(1, 2))


def iou_loss(predicted_iou: Tensor, logits: Tensor, masks: Tensor) -> Tensor:
    """Return the squared error, (n,), of the decoder's own IoU estimate against the IoU of its mask."""
    found = logits.detach() > 0
    truth = masks > 0.5
    overlap = (found & truth).sum(dim=(1, 2))
    union = (found | truth).sum(dim=(1, 2)).clamp_min(1)
    return (predicted_iou.float() - overlap / union) ** 2


def patch_loss(patch_logits: Tensor, masks: Tensor, grid_hw: int | tuple[int, int]) -> Tensor:
    """Return the cross-entropy of lesion share per visual token.

    An auxiliary of training alone: it teaches the visual tokens where lesions are, long before the text does.

    Args:
        patch_logits: (n, rows * columns).
        masks: (n, h, w) over what the tokens cover.
        grid_hw: Rows and columns of tokens, one number where they are equal.
    """
    share = F.adaptive_avg_pool2d(masks[:, None], grid_hw).flatten(1)
    return F.binary_cross_entropy_with_logits(patch_logits.float(), share)


def presence_loss(presence_logits: Tensor, masks: Tensor) -> Tensor:
    """Return the cross-entropy of "there is a lesion", logits (n,), masks (n, side, side)."""
    present = (masks.flatten(1).amax(dim=1) > 0.5).float()
    return F.binary_cross_entropy_with_logits(presence_logits.float(), present)


def mean_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Return Dice, (n,), of thresholded logits and masks (n, h, w)."""
    found = logits > 0
    truth = masks > 0.5
    overlap = (found & truth).sum(dim=(1, 2))
    return 2 * overlap / (found.sum(dim=(1, 2)) + truth.sum(dim=(1, 2))).clamp_min(1)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of values (n,), connected to the graph and exactly zero for n = 0."""
    if not len(values):
        return torch.zeros((), device=values.device) + values.sum()
    return (values * weights).sum() / weights.sum()
