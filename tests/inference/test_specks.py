"""Specks beside an outline are left out, lesions of a size of their own are not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from coreseg_core.inference.specks import LEAST_SHARE, without_specks

MASKS = arrays(bool, (24, 31))


def _parts(mask: np.ndarray) -> list[np.ndarray]:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    return [labels == value for value in range(1, count + 1)]


@given(mask=MASKS, share=st.floats(0, 1))
def test_exactly_the_parts_below_the_share_of_the_largest_are_left_out(
    mask: np.ndarray, share: float
) -> None:
    cleaned = without_specks(mask, least_share=share)
    parts = _parts(mask)
    largest = max((part.sum() for part in parts), default=0)
    for part in parts:
        assert cleaned[part].all() == (part.sum() >= share * largest)
        assert cleaned[part].all() or not cleaned[part].any()
    assert not (cleaned & ~mask).any()


@given(mask=MASKS)
def test_what_is_cleaned_stays_clean_and_something_is_left_of_anything(mask: np.ndarray) -> None:
    cleaned = without_specks(mask)
    assert np.array_equal(without_specks(cleaned), cleaned)
    assert cleaned.any() == mask.any()


def test_beside_a_large_lesion_one_of_a_tenth_of_its_diameter_stays_and_a_pixel_goes() -> None:
    mask = np.zeros((120, 120), dtype=bool)
    mask[10:60, 10:60] = True
    mask[80:85, 80:85] = True
    mask[100, 100] = True
    cleaned = without_specks(mask)
    assert cleaned[82, 82]
    assert not cleaned[100, 100]
    assert LEAST_SHARE * 2500 == 25
