"""Lesions as instances: every voxel of the mask belongs to exactly one lesion, whose size and place are measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coreseg_core.imaging import VolumeGeometry
from coreseg_core.inference.lesions import MAX_LESIONS, separate_lesions

SPACING_MM = (0.5, 2.0, 3.0)
GEOMETRY = VolumeGeometry((6, 5, 4), np.diag([*SPACING_MM, 1.0]))
MASKS = arrays(bool, GEOMETRY.shape_ijk)


@given(mask=MASKS, axis=st.integers(0, 2))
@settings(deadline=None)
def test_lesions_share_out_the_mask_and_are_measured_from_their_own_voxels(
    mask: np.ndarray, axis: int
) -> None:
    confidence = {index: index / 10 for index in range(mask.shape[axis])}
    labels, lesions = separate_lesions(mask, GEOMETRY, axis=axis, confidence=confidence)
    assert np.array_equal(labels > 0, mask)
    assert [lesion.label_value for lesion in lesions] == list(range(1, len(lesions) + 1))
    sizes = []
    for lesion in lesions:
        here = labels == lesion.label_value
        sizes.append(np.count_nonzero(here))
        assert lesion.volume_mm3 == pytest.approx(sizes[-1] * np.prod(SPACING_MM))
        places = np.argwhere(here)
        assert lesion.box_ijk == (*places.min(axis=0), *(places.max(axis=0) + 1))
        assert lesion.slices == tuple(np.unique(places[:, axis]))
        assert lesion.confidence == pytest.approx(np.mean(places[:, axis] / 10))
    assert sizes == sorted(sizes, reverse=True)


@given(mask=MASKS)
@settings(deadline=None)
def test_voxels_that_touch_even_at_a_corner_are_one_lesion(mask: np.ndarray) -> None:
    labels, _ = separate_lesions(mask, GEOMETRY, axis=2, confidence={})
    places = np.argwhere(mask)
    for place in places:
        near = np.abs(places - place).max(axis=1) <= 1
        assert len({labels[tuple(other)] for other in places[near]}) == 1


def test_an_empty_mask_has_no_lesions_and_an_empty_label() -> None:
    labels, lesions = separate_lesions(np.zeros((6, 5, 4), dtype=bool), GEOMETRY, axis=0, confidence={})
    assert lesions == ()
    assert labels.dtype == np.uint8
    assert not labels.any()


def test_more_lesions_than_a_label_has_values_leave_out_the_smallest() -> None:
    shape = (64, 64, 1)
    mask = np.zeros(shape, dtype=bool)
    mask[::2, ::2] = True
    mask[1, 0] = True
    geometry = VolumeGeometry(shape, np.eye(4))
    labels, lesions = separate_lesions(mask, geometry, axis=2, confidence={0: 1.0})
    assert len(lesions) == labels.max() == MAX_LESIONS
    assert np.count_nonzero(labels == 1) == 3
    assert not labels[~mask].any()
