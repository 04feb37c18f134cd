"""Fields and shapes keep what their docstrings promise: zero mean, unit variance, distances in mm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreseg_core.phantoms.fields import blend, capsule, coverage, ellipsoid, join, smooth_field, stream
from coreseg_core.phantoms.frame import Frame
from coreseg_core.phantoms.vessels import vessel_tree


@pytest.mark.parametrize("step", [1.0, 3.0, 7.5])
def test_smooth_field_has_zero_mean_and_unit_variance_for_any_structure_size(step: float) -> None:
    fields = np.stack([smooth_field(stream(seed), (48, 40, 12), (step, step, step)) for seed in range(12)])
    assert abs(float(fields.mean())) < 0.15
    assert 0.85 < float(fields.std()) < 1.15


def test_smooth_field_varies_less_between_neighbours_where_structures_are_larger() -> None:
    fine = smooth_field(stream(1), (80, 80), (2.0, 2.0))
    coarse = smooth_field(stream(1), (80, 80), (12.0, 12.0))
    assert np.abs(np.diff(coarse, axis=0)).mean() < 0.4 * np.abs(np.diff(fine, axis=0)).mean()


def test_streams_of_different_keys_are_independent() -> None:
    first, second = stream(7, 1).standard_normal(4000), stream(7, 2).standard_normal(4000)
    assert abs(float(np.corrcoef(first, second)[0, 1])) < 0.06


def _lattice() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axis = np.linspace(-20, 20, 41, dtype=np.float32)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    return x, y, z


def test_ellipsoid_with_equal_radii_gives_the_distance_to_a_sphere() -> None:
    place = _lattice()
    signed = ellipsoid(place, (1.0, -2.0, 3.0), (9.0, 9.0, 9.0))
    exact = np.sqrt((place[0] - 1) ** 2 + (place[1] + 2) ** 2 + (place[2] - 3) ** 2) - 9.0
    near = np.abs(exact) < 3.0
    assert np.abs(signed - exact)[near].max() < 0.01
    assert np.array_equal(signed < 0, exact < 0)


def test_capsule_gives_the_distance_to_a_rod_with_round_ends() -> None:
    x, y, z = _lattice()
    signed = capsule((x, y, z), (0.0, 0.0, -5.0), (0.0, 0.0, 5.0), (2.0, 2.0))
    exact = np.sqrt(x**2 + y**2 + np.clip(np.abs(z) - 5.0, 0.0, None) ** 2) - 2.0
    assert np.abs(signed - exact).max() < 1e-3


def test_blend_holds_the_union_and_differs_from_it_only_near_the_seam() -> None:
    place = _lattice()
    first = ellipsoid(place, (-6.0, 0.0, 0.0), (7.0, 7.0, 7.0))
    second = ellipsoid(place, (6.0, 0.0, 0.0), (7.0, 7.0, 7.0))
    union, soft = join(first, second), blend(first, second, 4.0)
    assert (soft <= union).all()
    assert np.array_equal(soft[np.abs(first - second) > 4.0], union[np.abs(first - second) > 4.0])


def test_coverage_is_one_inside_zero_outside_and_half_on_the_edge() -> None:
    signed = np.array([-3.0, 0.0, 3.0], dtype=np.float32)
    assert coverage(signed, 2.0).tolist() == [1.0, 0.5, 0.0]


@settings(max_examples=40, deadline=None)
@given(
    pitch=st.floats(-30, 30),
    roll=st.floats(-30, 30),
    low=st.tuples(*[st.floats(-40, 0)] * 3),
    size=st.tuples(*[st.floats(1, 40)] * 3),
)
def test_window_holds_every_voxel_of_a_patient_box_in_oblique_frames(
    pitch: float, roll: float, low: tuple[float, ...], size: tuple[float, ...]
) -> None:
    frame = Frame(shape_ijk=(20, 24, 10), spacing_mm=(3.0, 2.5, 6.0), tilt_deg=(pitch, roll))
    high = np.add(low, size)
    place = np.stack(frame.coordinates_mm(), axis=-1)
    inside = ((place > np.asarray(low)) & (place < high)).all(axis=-1)
    window = frame.window(low, high)
    assert inside[window].sum() == inside.sum()


def test_coordinates_agree_with_the_affine() -> None:
    frame = Frame(
        shape_ijk=(5, 6, 7), spacing_mm=(1.0, 2.0, 3.0), centre_ras_mm=(4.0, 5.0, 6.0), tilt_deg=(9.0, -4.0)
    )
    place = np.stack(frame.coordinates_mm(), axis=-1)
    expected = frame.affine_ras @ [4, 1, 6, 1]
    assert np.allclose(place[4, 1, 6], expected[:3], atol=1e-4)
    assert np.allclose(frame.voxel_of(tuple(expected[:3])), [4, 1, 6])
    assert np.allclose(np.linalg.norm(frame.affine_ras[:3, :3], axis=0), (1.0, 2.0, 3.0))


def test_vessel_tree_starts_at_its_root_and_forks() -> None:
    frame = Frame(shape_ijk=(48, 48, 24), spacing_mm=(2.0, 2.0, 3.0))
    signed = vessel_tree(
        stream(3),
        frame,
        root_mm=(0.0, 0.0, 0.0),
        direction=(1.0, 0.0, 0.0),
        radius_mm=5.0,
        length_mm=20.0,
        generations=3,
    )
    i, j, k = np.round(frame.voxel_of((2.0, 0.0, 0.0))).astype(int)
    assert signed[i, j, k] < 0
    assert 20 < int((signed < 0).sum()) < 6000
