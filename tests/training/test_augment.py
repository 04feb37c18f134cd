"""Views keep picture and mask together, and take the place of a lesion out of the picture."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from training.augment import MIN_LESION_KEPT, plain_view, random_view

SIDE = 256


def _disc(height: int = 120, width: int = 160, radius: int = 18) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:height, :width]
    mask = (y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2
    rgb = np.repeat((mask * 200 + 30).astype(np.uint8)[..., None], 3, axis=2)
    return rgb, mask


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from(["CT", "dermoscopy", "ultrasound"]))
def test_mask_stays_on_the_bright_disc(seed: int, modality: str) -> None:
    rgb, mask = _disc()
    view = random_view(rgb, mask, np.random.default_rng(seed), modality=modality, side_px=SIDE)
    assert max(view.mask.shape) == SIDE
    assert view.rgb.shape[1:] == view.mask.shape
    assert 0 <= float(view.rgb.min()) <= float(view.rgb.max()) <= 255
    assert view.mask.any()
    grey = view.rgb.mean(0)
    assert float(grey[view.mask].mean()) > float(grey[~view.mask].mean())


def test_most_of_the_lesion_stays_in_view() -> None:
    rgb, mask = _disc()
    kept = []
    for seed in range(30):
        view = random_view(rgb, mask, np.random.default_rng(seed), modality="CT", side_px=SIDE)
        kept.append(bool(view.mask.any()))
    assert all(kept)
    assert 0.5 < MIN_LESION_KEPT < 1


def test_place_of_a_centred_lesion_is_spread_over_the_picture() -> None:
    rgb, mask = _disc()
    centres = []
    for seed in range(80):
        view = random_view(rgb, mask, np.random.default_rng(seed), modality="CT", side_px=SIDE)
        ys, xs = np.nonzero(view.mask.numpy())
        centres.append((xs.mean() / view.mask.shape[1], ys.mean() / view.mask.shape[0]))
    spread = np.std(np.array(centres), axis=0)
    assert (spread > 0.12).all(), f"centres spread by {spread} of the picture only"


def test_same_seed_gives_the_same_view() -> None:
    rgb, mask = _disc()
    first, second = (
        random_view(rgb, mask, np.random.default_rng(5), modality="dermoscopy", side_px=SIDE)
        for _ in range(2)
    )
    assert bool((first.rgb == second.rgb).all())


def test_plain_view_is_the_picture_itself() -> None:
    rgb, mask = _disc(128, 256)
    view = plain_view(rgb, mask, side_px=SIDE)
    assert view.mask.shape == (128, 256)
    assert np.array_equal(view.mask.numpy(), mask)
