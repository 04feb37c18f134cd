"""Specks beside an outline are left out, lesions of a size of their own are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from coreseg_core.inference.specks import LEAST_DIAMETER_MM, LEAST_SHARE, SURE_DIAMETER_MM, without_specks

MASKS = arrays(bool, (24, 31))


def _parts(mask: np.ndarray) -> list[np.ndarray]:
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    return [labels == value for value in range(1, count + 1)]


def _diameter_mm(part: np.ndarray, pixel_mm: tuple[float, float]) -> float:
    return 2 * math.sqrt(part.sum() * math.prod(pixel_mm) / math.pi)


@given(mask=MASKS, enlarged=st.integers(1, 8))
def test_of_unknown_size_exactly_the_parts_below_the_share_of_the_largest_go(
    mask: np.ndarray, enlarged: int
) -> None:
    mask = np.kron(mask, np.ones((enlarged, enlarged))) > 0
    cleaned = without_specks(mask, pixel_mm=None)
    parts = _parts(mask)
    largest = max((part.sum() for part in parts), default=0)
    for part in parts:
        assert cleaned[part].all() == cleaned[part].any() == (part.sum() >= LEAST_SHARE * largest)
    assert not (cleaned & ~mask).any()


@given(mask=MASKS, pixel_mm=st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)))
def test_of_known_size_what_is_wide_stays_and_what_is_narrow_goes_but_for_the_largest(
    mask: np.ndarray, pixel_mm: tuple[float, float]
) -> None:
    cleaned = without_specks(mask, pixel_mm=pixel_mm)
    parts = _parts(mask)
    largest = max((part.sum() for part in parts), default=0)
    for part in parts:
        diameter_mm = _diameter_mm(part, pixel_mm)
        assert cleaned[part].all() == cleaned[part].any()
        if diameter_mm > SURE_DIAMETER_MM or part.sum() == largest:
            assert cleaned[part].all()
        elif diameter_mm < LEAST_DIAMETER_MM:
            assert not cleaned[part].any()
    assert not (cleaned & ~mask).any()


@given(mask=MASKS)
def test_what_is_cleaned_stays_clean_and_something_is_left_of_anything(mask: np.ndarray) -> None:
    for pixel_mm in (None, (0.7, 0.7), (2.0, 1.0)):
        cleaned = without_specks(mask, pixel_mm=pixel_mm)
        assert np.array_equal(without_specks(cleaned, pixel_mm=pixel_mm), cleaned)
        assert cleaned.any() == mask.any()


@pytest.mark.parametrize("side_px, kept", [(1, False), (3, False), (5, False), (6, True), (11, True)])
def test_beside_a_mass_of_a_hand_s_width_stray_pixels_go_and_a_lesion_of_five_millimetres_stays(
    side_px: int, kept: bool
) -> None:
    mask = np.zeros((256, 256), dtype=bool)
    mask[10:130, 10:130] = True
    mask[200 : 200 + side_px, 200 : 200 + side_px] = True
    assert without_specks(mask, pixel_mm=(0.8, 0.8))[200, 200] == kept
    assert without_specks(mask, pixel_mm=None)[200, 200] == (side_px >= 12)
