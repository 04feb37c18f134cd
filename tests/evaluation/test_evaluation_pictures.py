from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from coreseg_core.errors import InputError
from coreseg_core.evaluation import Row, load_row, read_manifest
from coreseg_core.evaluation.pictures import Picture, load_picture, moved
from coreseg_core.evaluation.rows import SliceRef


def test_a_picture_is_shown_as_it_is_with_its_mask_on_it(
    make_manifest: Callable[..., tuple[Row, ...]],
) -> None:
    row = make_manifest(1)[0]
    rgb, mask = load_row(row)
    with Image.open(row.image_path) as picture:
        assert np.array_equal(rgb, np.asarray(picture))
    assert rgb.shape == (60, 80, 3) and mask.shape == (60, 80)
    assert np.array_equal(mask, rgb[..., 0] > 128)


def test_a_row_without_a_mask_has_an_empty_one(make_manifest: Callable[..., tuple[Row, ...]]) -> None:
    row = replace(make_manifest(1)[0], mask=None)
    assert not load_row(row)[1].any()


def test_a_mask_of_another_size_is_refused(make_manifest: Callable[..., tuple[Row, ...]]) -> None:
    row = make_manifest(1)[0]
    assert row.mask_path is not None
    Image.fromarray(np.zeros((80, 60), dtype=np.uint8)).save(row.mask_path)
    with pytest.raises(InputError):
        load_row(row)


def test_a_missing_picture_is_an_input_error_without_its_name(
    make_manifest: Callable[..., tuple[Row, ...]],
) -> None:
    with pytest.raises(InputError) as caught:
        load_row(replace(make_manifest(1)[0], image="images/anna_smith.png"))
    assert "anna_smith" not in str(caught.value)


def volume_row(folder: Path, *, slice_ref: SliceRef | None) -> Row:
    voxels = np.zeros((20, 24, 6), dtype=np.float32)
    voxels[3:9, 4:8, 2] = 100
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / "image.nii.gz")
    nibabel.save(nibabel.Nifti1Image((voxels > 0).astype(np.uint8), affine), folder / "mask.nii.gz")
    return Row(
        id="v",
        image="image.nii.gz",
        mask="mask.nii.gz",
        split="val",
        subset="s",
        modality="MRI T1",
        anatomy="brain",
        disease="tumor",
        target="brain tumor",
        slice=slice_ref,
        folder=folder,
    )


def test_a_slice_of_a_volume_and_its_mask_are_turned_alike(tmp_path: Path) -> None:
    picture = load_picture(volume_row(tmp_path, slice_ref=SliceRef(axis=2, index=2)))
    assert picture.mask.sum() == 24
    assert np.array_equal(picture.mask, picture.rgb[..., 0] > 128)
    assert picture.pixel_mm == pytest.approx((2.0, 1.0))
    assert not load_picture(volume_row(tmp_path, slice_ref=SliceRef(axis=2, index=3))).mask.any()


def test_a_volume_without_a_slice_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which slice"):
        load_picture(volume_row(tmp_path, slice_ref=None))


def picture_with(mask: NDArray[np.bool_]) -> Picture:
    rgb = np.full((*mask.shape, 3), 7, dtype=np.uint8)
    rgb[mask] = 200
    return Picture(rgb=rgb, mask=mask, pixel_mm=(1.0, 1.0))


@given(x=st.integers(0, 30), y=st.integers(0, 20), side=st.integers(1, 25), seed=st.integers(0, 2**32 - 1))
def test_a_moved_copy_keeps_the_whole_lesion_and_its_grey_values(
    x: int, y: int, side: int, seed: int
) -> None:
    mask = np.zeros((41, 57), dtype=bool)
    mask[y : y + side, x : x + side] = True
    copy = moved(picture_with(mask), seed=seed)
    assert copy.mask.shape == mask.shape
    assert copy.mask.sum() == mask.sum()
    assert np.array_equal(copy.rgb[..., 0] == 200, copy.mask)
    assert set(np.unique(copy.rgb)) <= {7, 200}


def test_copies_are_really_moved_by_up_to_a_fifth() -> None:
    mask = np.zeros((100, 100), dtype=bool)
    mask[45:55, 45:55] = True
    starts = [np.argwhere(moved(picture_with(mask), seed=seed).mask)[0] - 45 for seed in range(200)]
    assert np.abs(starts).max() == 20
    assert np.abs(starts).mean() == pytest.approx(10, abs=1.5)


def test_the_real_pictures_fit_what_the_manifest_says_of_them(lesions: Path) -> None:
    for row in read_manifest(lesions)[::300]:
        rgb, mask = load_row(row)
        assert rgb.shape == (row.height, row.width, 3)
        assert mask.mean() == pytest.approx(row.area_frac, abs=1e-4)
