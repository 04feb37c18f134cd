"""Confidence is a number from 0 to 1 that falls when boxes and mask disagree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coreseg_core.claims import boxes
from coreseg_core.inference.confidence import box_mask_iou, mask_confidence

SIDE = 24
SPAN = st.tuples(
    st.integers(0, SIDE - 1), st.integers(0, SIDE - 1), st.integers(1, SIDE), st.integers(1, SIDE)
)
BOX = SPAN.map(lambda span: (span[0], span[1], min(SIDE, span[0] + span[2]), min(SIDE, span[1] + span[3])))


@given(estimate=st.floats(), agreement=st.none() | st.floats(0, 1))
def test_confidence_of_a_mask_is_a_probability_whatever_the_estimate(
    estimate: float, agreement: float | None
) -> None:
    assert 0.0 <= mask_confidence(estimate, agreement) <= 1.0


@given(estimate=st.floats(0.01, 1), low=st.floats(0, 1), high=st.floats(0, 1))
def test_more_agreement_never_means_less_confidence(estimate: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert mask_confidence(estimate, low) <= mask_confidence(estimate, high)
    assert mask_confidence(estimate, None) == pytest.approx(estimate / 2)


@given(box=BOX)
def test_a_mask_that_fills_its_box_agrees_wholly(box: tuple[int, int, int, int]) -> None:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    assert box_mask_iou([box], mask) == 1.0


@given(mask=arrays(bool, (SIDE, SIDE)), written=st.lists(BOX, max_size=4))
def test_agreement_is_a_share_and_missing_without_box_or_mask(
    mask: np.ndarray, written: list[tuple[int, int, int, int]]
) -> None:
    agreement = box_mask_iou(written, mask)
    if not written or not mask.any():
        assert agreement is None
    else:
        assert agreement is not None and 0.0 <= agreement <= 1.0


def test_boxes_measured_from_two_lesions_agree_with_their_mask() -> None:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[2:8, 3:9] = True
    mask[14:20, 12:22] = True
    measured = boxes(mask)
    assert len(measured) == 2
    assert box_mask_iou(measured, mask) == 1.0
    assert box_mask_iou(measured[:1], mask) < 0.5


def test_a_box_elsewhere_does_not_agree() -> None:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[:4, :4] = True
    assert box_mask_iou([(10, 10, 20, 20)], mask) == 0.0
