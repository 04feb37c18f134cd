"""The losses mean what they say, and a batch without masks still trains."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.losses import dice_loss, iou_loss, mean_dice, patch_loss, token_loss, weighted_mean


def test_perfect_mask_has_no_dice_loss_and_the_opposite_has_all_of_it() -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, 4:12, 4:12] = 1
    sure = (mask * 2 - 1) * 40
    assert float(dice_loss(sure, mask)) < 1e-4
    assert float(dice_loss(-sure, mask)) > 0.98


def test_no_mask_in_the_batch_gives_exactly_zero_and_stays_in_the_graph() -> None:
    values = torch.zeros(0, requires_grad=True)
    mean = weighted_mean(values, torch.zeros(0))
    assert mean.item() == 0.0
    mean.backward()


def test_long_replies_do_not_outweigh_short_ones() -> None:
    losses = torch.zeros(2, 10)
    losses[0, :2], losses[1, :] = 1.0, 3.0
    assert float(token_loss(losses, torch.ones(2))) == 2.0


def test_iou_loss_compares_with_the_iou_of_the_thresholded_mask() -> None:
    mask = torch.zeros(1, 4, 4)
    mask[0, :2] = 1
    logits = torch.full((1, 4, 4), -5.0)
    logits[0, :1] = 5.0
    assert torch.allclose(iou_loss(torch.tensor([0.5]), logits, mask), torch.zeros(1))


def test_patch_loss_falls_when_the_lit_patches_are_right() -> None:
    mask = torch.zeros(1, 32, 32)
    mask[0, :8, :8] = 1
    right = torch.full((1, 16), -8.0)
    right[0, 0] = 8.0
    assert float(patch_loss(right, mask, 4)) < float(patch_loss(-right, mask, 4)) / 10


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_dice_is_symmetric_and_within_bounds(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(1, 8, 8, generator=generator) > 0.5
    second = torch.rand(1, 8, 8, generator=generator) > 0.5
    one = mean_dice(first.float() - 0.5, second.float())
    other = mean_dice(second.float() - 0.5, first.float())
    assert torch.allclose(one, other)
    assert 0 <= float(one) <= 1
