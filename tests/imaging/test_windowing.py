from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coreseg_core.errors import InputError
from coreseg_core.imaging import Volume, VolumeGeometry, ct_windows, extract_slice

LPS = np.diag([-1.0, -1.0, 2.0, 1.0])


def volume_of(voxels: np.ndarray, modality: str | None) -> Volume:
    return Volume(voxels, VolumeGeometry(voxels.shape[:3], LPS), modality)


@pytest.mark.parametrize(
    ("region", "black_hu", "white_hu"),
    [
        (None, -160, 240),
        ("limb soft tissue", -160, 240),
        ("abdomen", -160, 240),
        ("something else", -160, 240),
        ("head", 0, 80),
        ("brain", 0, 80),
        ("Lungs", -1350, 150),
        ("bone", -500, 1300),
    ],
)
def test_ct_is_shown_through_the_window_of_its_region(
    region: str | None, black_hu: int, white_hu: int
) -> None:
    ramp = np.array([-2000, black_hu, (black_hu + white_hu) // 2, white_hu, 2000], np.int16).reshape(5, 1, 1)
    shown = extract_slice(volume_of(ramp, "CT"), 2, 0, region=region)
    assert shown.rgb[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert shown.display_ranges == ((black_hu, white_hu),) * 3
    assert (shown.rgb == shown.rgb[..., :1]).all()


def test_three_channels_are_the_three_windows_of_the_region() -> None:
    voxels = np.linspace(-1500, 1500, 60).astype(np.int16).reshape(5, 4, 3)
    three = extract_slice(volume_of(voxels, "CT"), 0, 2, region="head", channels="three")
    for channel, window in enumerate(ct_windows("head")):
        alone = extract_slice(volume_of(voxels, "CT"), 0, 2, display_range=window.display_range)
        np.testing.assert_array_equal(three.rgb[..., channel], alone.rgb[..., 0])
    assert (three.rgb[..., 0] != three.rgb[..., 2]).any()
    assert not (
        extract_slice(volume_of(voxels.astype(np.float32), "MR"), 0, 2, channels="three").rgb.ptp(-1)
    ).any()


@pytest.mark.parametrize("modality", ["MR", "PT", "XR", None])
def test_equal_values_look_equal_on_every_slice(modality: str | None) -> None:
    """A bright lesion on one slice must not darken the same tissue there."""
    voxels = np.random.default_rng(0).normal(500, 60, (24, 20, 9)).astype(np.float32)
    voxels[2, 3, :] = 520.0
    voxels[10:15, 5:9, 4] = 3000.0
    volume = volume_of(voxels, modality)
    greys = {int(extract_slice(volume, 2, index).rgb[3, 2, 0]) for index in range(9)}
    assert len(greys) == 1
    assert 10 < greys.pop() < 245


def test_uptake_is_dark_on_pet() -> None:
    voxels = np.ones((8, 8, 5), np.float32)
    voxels[4, 4, :] = 9.0
    rgb = extract_slice(volume_of(voxels, "PT"), 2, 2).rgb[..., 0].astype(int)
    assert rgb[4, 4] < 5
    assert rgb[0, 0] > 200


def test_colour_and_8_bit_pictures_are_shown_as_stored() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (6, 5, 1, 3), dtype=np.uint8)
    shown = extract_slice(volume_of(rgb, "DERM"), 2, 0)
    np.testing.assert_array_equal(shown.rgb, rgb[:, :, 0].transpose(1, 0, 2))
    grey = rng.integers(20, 200, (6, 5, 1), dtype=np.uint8)
    for modality in ("US", "CT", None):
        np.testing.assert_array_equal(
            extract_slice(volume_of(grey, modality), 2, 0).rgb[..., 1], grey[..., 0].T
        )


def test_a_faint_8_bit_mr_is_stretched() -> None:
    faint = np.random.default_rng(0).integers(0, 60, (20, 20, 4), dtype=np.uint8)
    assert extract_slice(volume_of(faint, "MR"), 2, 0).rgb.max() == 255


@settings(deadline=None, max_examples=120)
@given(
    voxels=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=5),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True)
        | st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0]),
    ),
    modality=st.sampled_from(["CT", "MR", "PT", "US", "XR", None]),
    axis=st.integers(0, 2),
)
def test_any_values_give_a_picture_or_a_named_refusal(
    voxels: np.ndarray, modality: str | None, axis: int
) -> None:
    if not np.isfinite(voxels).any():
        with pytest.raises(InputError, match="no finite value"):
            volume_of(voxels, modality)
        return
    volume = volume_of(voxels, modality)
    with np.errstate(all="raise", under="ignore"):
        low, high = volume.display_range
    assert np.isfinite([low, high]).all()
    assert low < high
    shown = extract_slice(volume, axis, voxels.shape[axis] - 1)
    assert shown.rgb.dtype == np.uint8
    assert shown.rgb.shape[2] == 3


def test_what_is_not_finite_is_shown_like_the_lowest_value() -> None:
    voxels = np.random.default_rng(0).normal(100, 20, (9, 8, 3)).astype(np.float32)
    voxels[0, 0, 0], voxels[1, 0, 0], voxels[2, 0, 0] = np.nan, np.inf, -np.inf
    assert extract_slice(volume_of(voxels, "MR"), 2, 0).rgb[0, :3, 0].tolist() == [0, 0, 0]
    assert extract_slice(volume_of(voxels, "PT"), 2, 0).rgb[0, :3, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("axis", "index", "words"),
    [(3, 0, "axis 3"), (-1, 0, "axis -1"), (2, 3, "axis k has 3 slices"), (0, -1, "slice -1")],
)
def test_refuses_a_slice_that_does_not_exist(axis: int, index: int, words: str) -> None:
    volume = volume_of(np.zeros((5, 4, 3), np.int16), "CT")
    with pytest.raises(InputError, match=words):
        extract_slice(volume, axis, index)


def test_refuses_a_mask_of_another_size_and_a_falling_range() -> None:
    volume = volume_of(np.zeros((5, 4, 3), np.int16), "CT")
    shown = extract_slice(volume, 2, 0)
    assert shown.rgb.shape == (4, 5, 3)
    with pytest.raises(InputError, match="mask of"):
        shown.mask_to_voxels(np.zeros((5, 4), bool))
    with pytest.raises(InputError, match="mask of"):
        shown.voxels_to_mask(np.zeros((4, 5), bool))
    with pytest.raises(InputError, match="rising"):
        extract_slice(volume, 2, 0, display_range=(5.0, 5.0))


def test_a_volume_cannot_be_changed_behind_its_hash() -> None:
    voxels = np.zeros((5, 4, 3), np.int16)
    volume = volume_of(voxels, "CT")
    with pytest.raises(ValueError, match="read-only"):
        volume.voxels[0, 0, 0] = 1
    other = volume_of(np.ones((5, 4, 3), np.int16), "CT")
    assert volume.content_hash != other.content_hash
    assert volume.content_hash == volume_of(np.asfortranarray(voxels), "CT").content_hash
    assert volume.content_hash != volume_of(voxels, "MR").content_hash
    first, second = extract_slice(volume, 2, 0), extract_slice(volume, 2, 1)
    assert first.content_hash == second.content_hash
    assert first.content_hash != extract_slice(other, 2, 1, region="head").content_hash
