"""Outlines of DICOM land on the voxels they were drawn on, whichever way the image is turned."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from dicom_outlines import write_rtstruct, write_seg
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.imaging import (
    VolumeGeometry,
    fill_polygon,
    list_mask_objects,
    read_dicom_masks,
    read_volume,
)

TURNED = [
    np.diag([-1.5, -1.5, 3.0, 1.0]),
    np.diag([1.0, -0.7, 2.0, 1.0]),
    np.array([[0.0, 0.0, 2.5, 7.0], [-0.9, 0.0, 0.0, -3.0], [0.0, -0.9, 0.0, 40.0], [0.0, 0.0, 0.0, 1.0]]),
]


def box_mask() -> np.ndarray:
    mask = np.zeros((20, 16, 8), dtype=bool)
    mask[4:11, 3:9, 2:6] = True
    return mask


@pytest.mark.parametrize("affine", TURNED)
@pytest.mark.parametrize("write", [write_seg, write_rtstruct])
def test_a_mask_comes_back_voxel_for_voxel(affine: np.ndarray, write: object, tmp_path: Path) -> None:
    geometry, mask = VolumeGeometry((20, 16, 8), affine), box_mask()
    write(tmp_path / "o.dcm", mask, geometry, name="Tumour", series_uid="1.2.3")  # type: ignore[operator]
    (found,) = list_mask_objects(tmp_path)
    assert found.series_uid == "1.2.3"
    parts = read_dicom_masks(found.path, geometry)
    assert list(parts) == ["Tumour"] and np.array_equal(parts["Tumour"], mask)


@pytest.mark.parametrize("write", [write_seg, write_rtstruct])
def test_a_mask_of_another_grid_is_refused(write: object, tmp_path: Path) -> None:
    geometry = VolumeGeometry((20, 16, 8), TURNED[0])
    write(tmp_path / "o.dcm", box_mask(), geometry, name="T", series_uid="1")  # type: ignore[operator]
    smaller = VolumeGeometry((20, 16, 3), TURNED[0])
    tilted = TURNED[0].copy()
    tilted[2, 0] = 0.4
    for other in (smaller, VolumeGeometry((20, 16, 8), tilted)):
        with pytest.raises(GeometryError):
            read_dicom_masks(tmp_path / "o.dcm", other)


def test_what_is_no_outline_or_damaged_is_refused(tmp_path: Path) -> None:
    geometry = VolumeGeometry((20, 16, 8), TURNED[0])
    write_seg(tmp_path / "o.dcm", box_mask(), geometry, name="T", series_uid="1")
    content = (tmp_path / "o.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError):
        read_dicom_masks(tmp_path / "cut.dcm", geometry)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-3, 18), st.floats(-3, 14)), min_size=3, max_size=9))
def test_a_filled_polygon_holds_the_centres_that_lie_inside(corners: list[tuple[float, float]]) -> None:
    points = np.array(corners)
    # Corners and edges on centres are a matter of convention; keep them off.
    points = np.round(points, 2) + np.array([0.0031415, 0.0027183])
    filled = fill_polygon(points, (16, 12))
    a, b = np.mgrid[:16, :12]
    centres = np.stack([a.ravel(), b.ravel()], axis=1)
    expected = _even_odd(points, centres).reshape(16, 12)
    assert np.array_equal(filled, expected)


def test_a_filled_convex_polygon_is_matplotlibs() -> None:
    points = np.array([(2.3, 1.2), (12.7, 2.4), (14.1, 8.6), (6.2, 10.3)])
    a, b = np.mgrid[:16, :12]
    inside = Outline(points).contains_points(np.stack([a.ravel(), b.ravel()], axis=1)).reshape(16, 12)
    assert np.array_equal(fill_polygon(points, (16, 12)), inside)


def _even_odd(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return by winding angles, another way than the one under test, which centres an odd winding encloses."""
    to_corner = points[None] - centres[:, None]
    angles = np.unwrap(np.arctan2(to_corner[..., 1], to_corner[..., 0]), axis=1)
    closing = np.arctan2(to_corner[:, 0, 1], to_corner[:, 0, 0])
    last = angles[:, -1]
    step = (closing - last + np.pi) % (2 * np.pi) - np.pi
    turns = np.rint((last + step - angles[:, 0]) / (2 * np.pi)).astype(int)
    return turns % 2 == 1


def test_contours_and_segmentation_of_real_studies_are_one_mask() -> None:
    folder = os.environ.get("CORESEG_DATA")
    if not folder:
        pytest.skip("CORESEG_DATA is not set: the real volumes are not part of the project")
    for study in ("STS_008_PET", "STS_010_MR_T1"):
        place = Path(folder) / "volumes/dicom" / study
        geometry = read_volume(place / "image").geometry
        masks = [
            next(iter(read_dicom_masks(one.path, geometry).values())) for one in list_mask_objects(place)
        ]
        assert len(masks) == 2 and masks[0].any() and np.array_equal(*masks)
