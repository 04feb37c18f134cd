from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from coreseg_core.errors import InputError
from coreseg_core.evaluation import metrics

MASKS = arrays(np.bool_, (9, 11))


def square(*, x: int, y: int, side: int, height: int = 40, width: int = 60) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


@given(MASKS, MASKS)
def test_dice_and_iou_are_symmetric_bounded_and_tied_to_each_other(
    a: NDArray[np.bool_], b: NDArray[np.bool_]
) -> None:
    dice, iou = metrics.dice(a, b), metrics.iou(a, b)
    assert dice == metrics.dice(b, a)
    assert iou == metrics.iou(b, a)
    assert 0 <= iou <= dice <= 1
    assert dice == pytest.approx(2 * iou / (1 + iou))


@given(MASKS)
def test_a_mask_agrees_with_itself_by_every_measure(mask: NDArray[np.bool_]) -> None:
    assert metrics.dice(mask, mask) == 1
    assert metrics.surface_dice(mask, mask, tolerance=0) == 1
    assert metrics.instance_f1(mask, mask) == 1


@pytest.mark.parametrize("measure", ["dice", "iou", "instance_f1"])
def test_two_empty_masks_agree_and_one_empty_mask_does_not(measure: str) -> None:
    empty, full = np.zeros((8, 8), dtype=bool), np.ones((8, 8), dtype=bool)
    score = getattr(metrics, measure)
    assert score(empty, empty) == 1
    assert score(empty, full) == score(full, empty) == 0


def test_half_overlap_has_the_dice_written_on_paper() -> None:
    a, b = square(x=0, y=0, side=10), square(x=5, y=0, side=10)
    assert metrics.dice(a, b) == pytest.approx(0.5)
    assert metrics.iou(a, b) == pytest.approx(1 / 3)


def test_masks_of_two_sizes_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(3, 4\)"):
        metrics.dice(np.zeros((3, 4), dtype=bool), np.zeros((4, 3), dtype=bool))


def test_failure_is_no_overlap_or_an_unreadable_answer() -> None:
    assert metrics.is_failure(0.0, readable=True)
    assert metrics.is_failure(0.9, readable=False)
    assert not metrics.is_failure(1e-6, readable=True)


@given(MASKS, MASKS, st.floats(0, 4))
def test_surface_dice_is_what_counting_every_pair_of_outline_pixels_gives(
    a: NDArray[np.bool_], b: NDArray[np.bool_], tolerance: float
) -> None:
    def outline(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
        padded = np.pad(mask, 1)
        return [
            (y, x)
            for y, x in np.argwhere(mask).tolist()
            if not (padded[y, x + 1] and padded[y + 2, x + 1] and padded[y + 1, x] and padded[y + 1, x + 2])
        ]

    one, other = outline(a), outline(b)
    if one and other:
        near = sum(min(math.dist(p, q) for q in other) <= tolerance for p in one)
        near += sum(min(math.dist(p, q) for q in one) <= tolerance for p in other)
        expected = near / (len(one) + len(other))
    else:
        expected = float(one == other)
    assert metrics.surface_dice(a, b, tolerance=tolerance) == pytest.approx(expected)


def test_surface_dice_counts_millimetres_where_the_spacing_is_given() -> None:
    a, b = square(x=10, y=10, side=10), square(x=12, y=10, side=10)
    assert metrics.surface_dice(a, b, tolerance=2) == 1
    assert metrics.surface_dice(a, b, tolerance=2, pixel_size=(1.0, 3.0)) < 1


def test_instance_f1_counts_lesions_not_pixels() -> None:
    truth = square(x=0, y=0, side=20) | square(x=40, y=5, side=4)
    only_large = square(x=0, y=0, side=20)
    only_small = square(x=40, y=5, side=4)
    assert metrics.instance_f1(only_large, truth) == pytest.approx(2 / 3)
    assert metrics.instance_f1(only_small, truth) == pytest.approx(2 / 3)
    assert metrics.instance_f1(truth | square(x=25, y=25, side=5), truth) == pytest.approx(4 / 5)


def test_one_blob_over_two_lesions_finds_only_one_of_them() -> None:
    truth = square(x=0, y=0, side=6) | square(x=8, y=0, side=6)
    blob = np.zeros_like(truth)
    blob[:6, :14] = True
    assert metrics.instance_f1(blob, truth) == pytest.approx(2 / 3)


def test_a_pair_counts_from_dice_two_tenths_on() -> None:
    truth = square(x=0, y=0, side=10)
    below, above = square(x=8, y=1, side=10), square(x=7, y=1, side=10)
    assert metrics.dice(below, truth) < 0.2 < metrics.dice(above, truth)
    assert metrics.instance_f1(below, truth) == 0
    assert metrics.instance_f1(above, truth) == 1


def test_specks_are_no_lesions_unless_there_is_nothing_else() -> None:
    truth = square(x=0, y=0, side=10)
    assert metrics.instance_f1(truth | square(x=30, y=30, side=2), truth) == 1
    tiny = square(x=30, y=30, side=2)
    assert metrics.instance_f1(tiny, tiny) == 1
    assert metrics.instance_f1(np.zeros_like(tiny), tiny) == 0


def test_many_lesions_are_paired_without_a_picture_for_each() -> None:
    truth = np.zeros((640, 640), dtype=bool)
    truth[::8, ::8] = truth[1::8, ::8] = truth[::8, 1::8] = True
    assert metrics.instance_f1(truth, truth) == 1


def test_boxes_are_half_open_and_cut_at_the_border() -> None:
    mask = metrics.boxes_mask([(2, 1, 5, 3), (-4, -4, 1, 1), (8, 8, 99, 99)], height=10, width=10)
    assert mask.sum() == 3 * 2 + 1 + 2 * 2
    assert metrics.bounding_box(mask) == (0, 0, 10, 10)
    assert metrics.bounding_box(np.zeros((3, 3), dtype=bool)) is None


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    confidence = np.array([0.9] * 10 + [0.3] * 10)
    perfect = np.array([True] * 9 + [False] + [True] * 3 + [False] * 7)
    assert metrics.expected_calibration_error(confidence, perfect) == pytest.approx(0)
    always_wrong = np.zeros(20, dtype=bool)
    assert metrics.expected_calibration_error(confidence, always_wrong) == pytest.approx(0.6)


def test_full_confidence_falls_into_the_last_bin() -> None:
    assert metrics.expected_calibration_error(np.ones(4), np.zeros(4, dtype=bool)) == pytest.approx(1)


def test_risk_coverage_is_low_where_the_doubtful_answers_are_the_wrong_ones() -> None:
    risk = np.array([0.0, 0.0, 1.0, 1.0])
    wise = metrics.area_under_risk_coverage(np.array([0.9, 0.8, 0.2, 0.1]), risk)
    rash = metrics.area_under_risk_coverage(np.array([0.1, 0.2, 0.8, 0.9]), risk)
    assert wise == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert rash == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)


@given(st.permutations(range(6)))
def test_risk_coverage_does_not_depend_on_the_order_of_equal_confidences(order: list[int]) -> None:
    confidence = np.array([0.5, 0.5, 0.5, 0.9, 0.9, 0.1])
    risk = np.array([0.1, 0.9, 0.3, 0.0, 1.0, 0.6])
    assert metrics.area_under_risk_coverage(confidence[order], risk[order]) == pytest.approx(
        metrics.area_under_risk_coverage(confidence, risk)
    )


def test_calibration_without_answers_is_not_a_number() -> None:
    nothing = np.array([])
    assert math.isnan(metrics.expected_calibration_error(nothing, nothing.astype(bool)))
    assert math.isnan(metrics.area_under_risk_coverage(nothing, nothing))
