"""The promise of the way back: whatever way an image lies in its file, a mask lands on the voxels it was drawn on."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from made_up_volumes import ALL_ORIENTATIONS, affine_of, asymmetric_volume, rotation

from coreseg_core.imaging import (
    Volume,
    VolumeGeometry,
    extract_slice,
    read_label,
    read_volume,
    write_dicom_series,
    write_label,
    write_volume,
)

PICKED = 40


def world_of(label: np.ndarray, geometry: VolumeGeometry) -> np.ndarray:
    """Return the world positions (n, 3) of a label, in a fixed order, to a hundredth of a millimetre."""
    points = geometry.to_world(np.argwhere(label)).round(2) + 0.0
    return points[np.lexsort(points.T)]


def drawn_label(volume: Volume, values: np.ndarray) -> np.ndarray:
    """Return the label (i, j, k) that is drawn on displayed slices along all three axes, each on its own."""
    labels = []
    for axis in range(3):
        label = np.zeros(volume.geometry.shape_ijk, dtype=np.uint8)
        for index in range(label.shape[axis]):
            shown = extract_slice(volume, axis, index)
            plane = np.moveaxis(volume.voxels, axis, 0)[index]
            displayed = shown.voxels_to_mask(plane)
            mask = np.isin(displayed, values)
            points = np.argwhere(mask)[:, ::-1]
            ijk = shown.points_to_voxels(points).astype(int)
            np.testing.assert_array_equal(volume.voxels[tuple(ijk.T)], displayed[mask])
            np.testing.assert_array_equal(shown.voxels_to_points(ijk), points)
            np.moveaxis(label, axis, 0)[index] = shown.mask_to_voxels(mask)
        labels.append(label)
    np.testing.assert_array_equal(labels[0], labels[1])
    np.testing.assert_array_equal(labels[0], labels[2])
    return labels[0]


def check_way_back(truth: Volume, read: Volume, folder: Path) -> None:
    values = np.random.default_rng(3).choice(truth.voxels.ravel(), PICKED, replace=False)
    label = drawn_label(read, values)
    np.testing.assert_array_equal(label, np.isin(read.voxels, values))
    path = folder / "label.nii.gz"
    write_label(path, label, read.geometry)
    np.testing.assert_array_equal(read_label(path, read.geometry), label)
    wanted = world_of(np.isin(truth.voxels, values), truth.geometry)
    # Read again by two libraries that know nothing of ours.
    by_nibabel = nib.load(path)
    ijk = np.argwhere(np.asarray(by_nibabel.dataobj))
    points = nib.affines.apply_affine(by_nibabel.affine, ijk).round(2) + 0.0
    np.testing.assert_allclose(points[np.lexsort(points.T)], wanted, atol=0.011)
    by_itk = sitk.ReadImage(str(path))
    lps = [by_itk.TransformIndexToPhysicalPoint([int(n) for n in index]) for index in ijk]
    itk_points = (np.array(lps) * (-1, -1, 1)).round(2) + 0.0
    np.testing.assert_allclose(itk_points[np.lexsort(itk_points.T)], wanted, atol=0.011)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(by_itk).transpose(2, 1, 0), label)


@pytest.mark.parametrize("stored_as", ["nifti", "dicom"])
def test_label_maps_back_voxel_for_voxel_for_every_axis_permutation_and_flip(
    stored_as: str, tmp_path: Path
) -> None:
    passed = 0
    for number, (order, signs) in enumerate(ALL_ORIENTATIONS):
        truth = asymmetric_volume(affine_of(order, signs))
        folder = tmp_path / str(number)
        folder.mkdir()
        if stored_as == "nifti":
            write_volume(folder / "image.nii.gz", truth)
            read = read_volume(folder / "image.nii.gz")
            np.testing.assert_array_equal(read.voxels, truth.voxels)
            read.geometry.assert_same(truth.geometry)
        else:
            write_dicom_series(folder / "series", truth, modality="CT", description="test", seed=number)
            read = read_volume(folder / "series")
            # DICOM has no left-handed stacks: such a one comes back with k turned round, at the same place.
            k_turned = np.linalg.det(truth.geometry.affine_ras[:3, :3]) < 0
            np.testing.assert_array_equal(read.voxels, truth.voxels[:, :, :: -1 if k_turned else 1])
        check_way_back(truth, read, folder)
        passed += 1
    assert passed == 48


@pytest.mark.parametrize("seed", range(6))
def test_label_maps_back_for_oblique_anisotropic_volumes(seed: int, tmp_path: Path) -> None:
    affine = affine_of(*ALL_ORIENTATIONS[7 * seed])
    affine[:3, :3] = rotation(seed) @ affine[:3, :3]
    truth = asymmetric_volume(affine)
    write_volume(tmp_path / "image.nrrd", truth)
    check_way_back(truth, read_volume(tmp_path / "image.nrrd"), tmp_path)
    write_volume(tmp_path / "image.nii", truth)
    check_way_back(truth, read_volume(tmp_path / "image.nii"), tmp_path)
    write_dicom_series(tmp_path / "series", truth, modality="CT", description="test", seed=seed)
    check_way_back(truth, read_volume(tmp_path / "series"), tmp_path)


@pytest.mark.parametrize(("order", "signs"), ALL_ORIENTATIONS)
def test_every_orientation_is_displayed_alike(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    """The patient's right, front and head come out on the same side of the picture, however they are stored."""
    voxels = np.zeros((3, 3, 3), dtype=np.float32)
    geometry = VolumeGeometry((3, 3, 3), affine_of(order, signs))
    world = np.moveaxis(np.indices((3, 3, 3)), 0, -1).reshape(-1, 3)
    places = geometry.to_world(world) - geometry.to_world([1, 1, 1])
    # Right, front and head are large numbers: 1, 10 and 100 for each step.
    steps = np.rint(places / np.linalg.norm(geometry.affine_ras[:3, :3], axis=1))
    voxels.ravel()[:] = steps @ (1, 10, 100)
    volume = Volume(voxels, geometry, "CT")
    middle = {plane: geometry.array_axis(plane) for plane in ("axial", "coronal", "sagittal")}
    values = {
        plane: extract_slice(volume, axis, 1, display_range=(-111, 111)).rgb[..., 0].astype(int)
        for plane, axis in middle.items()
    }
    assert (np.diff(values["axial"], axis=1) < 0).all(), "the patient's right is on the left"
    assert (np.diff(values["axial"], axis=0) < 0).all(), "the front is up"
    assert (np.diff(values["coronal"], axis=1) < 0).all()
    assert (np.diff(values["coronal"], axis=0) < 0).all(), "the head is up"
    assert (np.diff(values["sagittal"], axis=1) < 0).all(), "the front is on the left"
    assert (np.diff(values["sagittal"], axis=0) < 0).all()
