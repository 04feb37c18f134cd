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

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.evaluation import Ask, Row, load_row, read_manifest
from coreseg_core.evaluation.pictures import CtDisplay, Picture, load_picture, moved
from coreseg_core.evaluation.rows import SliceRef
from coreseg_core.evaluation.run import shown_pictures
from coreseg_core.imaging import extract_slice, read_volume


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


def test_a_mask_on_another_grid_of_the_same_size_is_refused(tmp_path: Path) -> None:
    row = volume_row(tmp_path, slice_ref=SliceRef(axis=2, index=2))
    moved_grid = np.diag([1.0, 2.0, 3.0, 1.0])
    moved_grid[:3, 3] = 40
    nibabel.save(nibabel.Nifti1Image(np.ones((20, 24, 6), np.uint8), moved_grid), tmp_path / "mask.nii.gz")
    with pytest.raises(GeometryError):
        load_picture(row)


def test_mask_values_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    row = volume_row(tmp_path, slice_ref=SliceRef(axis=2, index=2))
    half = np.full((20, 24, 6), 0.5, np.float32)
    nibabel.save(nibabel.Nifti1Image(half, np.diag([1.0, 2.0, 3.0, 1.0])), tmp_path / "mask.nii.gz")
    with pytest.raises(InputError, match="whole numbers"):
        load_picture(row)


def ct_row(folder: Path) -> Row:
    row = replace(
        volume_row(folder, slice_ref=SliceRef(axis=2, index=2)),
        modality="CT",
        anatomy="head",
        target="intracranial hemorrhage",
    )
    hounsfield = np.linspace(-1000, 1000, 20 * 24 * 6).reshape(20, 24, 6).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(hounsfield, np.diag([1.0, 2.0, 3.0, 1.0])), folder / "image.nii.gz")
    (folder / "image.json").write_text('{"modality": "CT"}')
    return row


@pytest.mark.parametrize(
    ("question", "region"),
    [
        ("Is there a hemorrhage?", "head"),
        ("Segment the liver tumor.", "abdomen"),
        ("Segment the lung tumor.", None),
    ],
)
def test_ct_is_shown_as_the_model_is_served_it(tmp_path: Path, question: str, region: str | None) -> None:
    row = ct_row(tmp_path)
    volume = read_volume(row.image_path)
    for channels in ("single", "three"):
        ct = CtDisplay(channels=channels, regions=("head", "abdomen"))
        served = extract_slice(volume, 2, 2, region=region, channels=channels)
        assert np.array_equal(load_picture(row, ct=ct, question=question).rgb, served.rgb)
    plain = extract_slice(volume, 2, 2, region="head")
    assert np.array_equal(load_row(row)[0], plain.rgb)
    assert not np.array_equal(plain.rgb, extract_slice(volume, 2, 2, region="abdomen").rgb)


def test_questions_share_a_picture_unless_they_ask_for_another_ct_window(
    tmp_path: Path, make_manifest: Callable[..., tuple[Row, ...]]
) -> None:
    words = ("Is there a hemorrhage?", "Segment the liver tumor.", "a bleed in the brain?", "Any lesion?")
    ct = CtDisplay(regions=("head", "abdomen"))

    def places(row: Row) -> list[list[int]]:
        asks = [Ask(row=row, shown=row, question=question, kind="present") for question in words]
        return [numbers for _, numbers in shown_pictures(asks, ct=ct)]

    assert places(make_manifest(1)[0]) == [[0, 1, 2, 3]]
    # The window of the abdomen is that of soft tissue, in a single channel.
    assert places(ct_row(tmp_path)) == [[0, 2], [1, 3]]


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
