from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_volumes import affine_of, rotation

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.imaging import VolumeGeometry


def grid(affine: object, shape: tuple[int, int, int] = (5, 7, 4)) -> VolumeGeometry:
    return VolumeGeometry(shape, affine)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("affine", "codes", "axial", "sagittal"),
    [
        (np.diag([-1.0, -1.0, 2.0, 1.0]), "LPS", 2, 0),
        (np.diag([1.0, 1.0, 2.0, 1.0]), "RAS", 2, 0),
        (affine_of((1, 2, 0), (-1, -1, 1)), "PIR", 1, 2),
        (affine_of((2, 0, 1), (1, 1, -1)), "SRP", 0, 1),
    ],
)
def test_names_axes_by_the_anatomy_they_run_along(
    affine: np.ndarray, codes: str, axial: int, sagittal: int
) -> None:
    geometry = grid(affine)
    assert geometry.axis_codes == codes
    assert geometry.array_axis("axial") == axial
    assert geometry.array_axis("sagittal") == sagittal
    assert geometry.plane(axial) == "axial"
    assert geometry.array_axis("k") == 2


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000))
def test_every_rotation_uses_each_anatomical_axis_once(seed: int) -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation(seed) * (0.5, 0.5, 6.0)
    geometry = grid(affine)
    assert sorted(geometry.anatomical_axes) == [0, 1, 2]
    assert geometry.spacing_mm == pytest.approx((0.5, 0.5, 6.0))
    points = np.random.default_rng(seed).uniform(-50, 50, (6, 3))
    np.testing.assert_allclose(geometry.to_voxels(geometry.to_world(points)), points, atol=1e-9)


@pytest.mark.parametrize(
    "affine",
    [
        np.zeros((4, 4)),
        np.full((4, 4), np.nan),
        np.diag([1.0, np.inf, 1.0, 1.0]),
        np.diag([1.0, 0.0, 1.0, 1.0]),
        np.array([[1, 2, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1.0]]),
        np.eye(3),
    ],
)
def test_refuses_an_affine_that_places_nothing(affine: np.ndarray) -> None:
    with pytest.raises(GeometryError):
        grid(affine)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda a: a + np.pad([[0.0, 0.0, 0.0]], ((0, 3), (0, 1))), None),
        (lambda a: a @ np.diag([1.0, 1.0, 1.002, 1.0]), "spacing"),
        (lambda a: a + np.outer([1, 0, 0, 0], [0, 0, 0, 0.01]), "origin"),
        (lambda a: a @ np.diag([-1.0, 1.0, 1.0, 1.0]), "direction"),
    ],
)
def test_names_what_differs_between_two_grids(change: object, word: str | None) -> None:
    affine = affine_of((0, 1, 2), (-1, -1, 1))
    other = grid(change(affine))  # type: ignore[operator]
    if word is None:
        grid(affine).assert_same(other)
        return
    with pytest.raises(GeometryError, match=word):
        grid(affine).assert_same(other)


def test_names_shapes_that_differ_by_one() -> None:
    with pytest.raises(GeometryError, match="shape"):
        grid(np.eye(4)).assert_same(grid(np.eye(4), (5, 7, 5)))


def test_refuses_a_plane_nobody_knows() -> None:
    with pytest.raises(InputError, match="unknown"):
        grid(np.eye(4)).array_axis("diagonal")
