"""Of a pair of views, one shows a lesion and one nothing of it, and only what is seen tells them apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.pairs import view_pair

SIDE = 256


def _disc(height: int = 120, width: int = 160, radius: int = 18, row: int = 60, column: int = 50):  # type: ignore[no-untyped-def]
    y, x = np.mgrid[:height, :width]
    mask = (y - row) ** 2 + (x - column) ** 2 < radius**2
    rgb = np.repeat((mask * 120 + 80).astype(np.uint8)[..., None], 3, axis=2)
    return rgb, mask


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    modality=st.sampled_from(["CT", "dermoscopy", "ultrasound"]),
    row=st.integers(20, 100),
    column=st.integers(20, 140),
)
def test_one_view_of_a_pair_shows_the_lesion_and_the_other_nothing_of_it(
    seed: int, modality: str, row: int, column: int
) -> None:
    rgb, mask = _disc(row=row, column=column)
    pair = view_pair(rgb, mask, np.random.default_rng(seed), modality=modality, side_px=SIDE)
    assert pair is not None
    over, beside = pair
    assert over.mask.any() and not beside.mask.any()
    assert over.rgb.shape == beside.rgb.shape and max(over.mask.shape) == SIDE
    # Not by the mask alone: the bright disc is seen in the one and not in the other.
    assert float(over.rgb.mean(0)[over.mask].mean()) > float(beside.rgb.mean()) + 5


def test_a_lesion_that_leaves_no_room_beside_it_has_no_pair() -> None:
    rgb = np.full((100, 100, 3), 120, np.uint8)
    rng = np.random.default_rng(0)
    assert view_pair(rgb, np.ones((100, 100), bool), rng, modality="CT", side_px=SIDE) is None


def test_a_picture_without_a_lesion_has_no_pair() -> None:
    rgb, mask = _disc()
    assert view_pair(rgb, mask & False, np.random.default_rng(0), modality="CT", side_px=SIDE) is None


@pytest.mark.parametrize("tone", [0, 255])
def test_bare_background_is_no_lesion_free_view(tone: int) -> None:
    rgb, mask = _disc()
    rgb[~mask] = tone
    rng = np.random.default_rng(3)
    assert view_pair(rgb, mask, rng, modality="endoscopy", side_px=SIDE) is None


def test_the_same_seed_gives_the_same_pair() -> None:
    rgb, mask = _disc()
    first, second = (
        view_pair(rgb, mask, np.random.default_rng(5), modality="dermoscopy", side_px=SIDE) for _ in range(2)
    )
    assert first is not None and second is not None
    assert all(bool((one.rgb == other.rgb).all()) for one, other in zip(first, second, strict=True))
