"""Training pictures of phantoms carry true masks and manifest fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.imaging import extract_slice, read_volume
from training.phantom_pictures import KIND_SHARES, Picture, training_pictures, write_pictures


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return list(training_pictures(9, 4))


def test_pictures_are_rgb_with_a_mask_of_their_size(pictures: list[Picture]) -> None:
    assert len(pictures) == 9
    for rgb, mask, _ in pictures:
        assert rgb.dtype == np.uint8
        assert mask.dtype == np.bool_
        assert rgb.shape == (*mask.shape, 3)
        assert rgb.std() > 10


def test_disease_is_none_exactly_where_the_mask_is_empty(pictures: list[Picture]) -> None:
    for _, mask, meta in pictures:
        assert (meta["disease"] == "none") == (not mask.any())
        assert meta["area_frac"] == pytest.approx(mask.mean(), abs=1e-6)


def test_ids_are_unique_and_name_kind_seed_and_slice(pictures: list[Picture]) -> None:
    ids = [meta["id"] for _, _, meta in pictures]
    assert len(set(ids)) == len(ids)
    assert all(name.startswith(tuple(f"phantom_{kind}_" for kind in KIND_SHARES)) for name in ids)


def test_both_lesion_and_lesion_free_pictures_come(pictures: list[Picture]) -> None:
    found = [bool(mask.any()) for _, mask, _ in pictures]
    assert any(found)
    assert not all(found)


def test_written_pictures_are_a_manifest_whose_files_hold_the_same_pixels(
    tmp_path: Path, pictures: list[Picture]
) -> None:
    manifest = write_pictures(tmp_path / "pictures", count=2, seed=4)
    rows = read_manifest(manifest)
    assert [row.id for row in rows] == [meta["id"] for _, _, meta in pictures[:2]]
    for row, (rgb, mask, _) in zip(rows, pictures, strict=False):
        image = read_volume(manifest.parent / row.image)
        truth = read_volume(manifest.parent / str(row.mask))
        assert np.array_equal(extract_slice(image, 2, 0).rgb, rgb)
        assert np.array_equal(extract_slice(truth, 2, 0).rgb[..., 0] > 0, mask)


def test_the_same_seed_gives_the_same_pictures(pictures: list[Picture]) -> None:
    rgb, mask, meta = next(training_pictures(1, 4))
    assert np.array_equal(rgb, pictures[0][0])
    assert np.array_equal(mask, pictures[0][1])
    assert meta == pictures[0][2]
