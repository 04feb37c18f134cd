"""What the demonstration folder holds, read back by the reader that serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coreseg_core.imaging import VolumeGeometry, extract_slice, read_label, read_volume
from coreseg_core.phantoms import Study, demo_studies, write_demo
from coreseg_core.phantoms.__main__ import main


@pytest.fixture(scope="module")
def studies() -> tuple[Study, ...]:
    return demo_studies()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("studies") / "demo").parent


@pytest.fixture(scope="module")
def index(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "demo.json").read_text())
    return loaded


def test_the_demo_shows_ct_mr_and_ultrasound_with_a_lesion_and_one_brain_without(
    studies: tuple[Study, ...],
) -> None:
    assert [(s.modality, s.anatomy, s.has_lesion) for s in studies] == [
        ("CT", "liver", True),
        ("MR", "brain", True),
        ("US", "breast", True),
        ("MR", "brain", False),
    ]


def test_every_lesion_of_the_demo_is_large_enough_to_be_seen(studies: tuple[Study, ...]) -> None:
    for study in studies:
        if study.has_lesion:
            shown = study.label[:, :, study.largest_lesion_slice] > 0
            assert shown.sum() >= 120, study.name


def test_one_demo_study_is_oblique(studies: tuple[Study, ...]) -> None:
    tilted = [s for s in studies if np.count_nonzero(np.abs(s.affine_ras[:3, :3]) > 1e-6) > 3]
    assert tilted


def test_the_top_folder_holds_only_studies_with_their_sidecars(folder: Path, index: dict[str, Any]) -> None:
    images = {entry["image"] for entry in index["studies"]}
    assert {path.name for path in folder.glob("*.nii.gz")} == images
    assert {path.name for path in folder.glob("*.json")} == {
        *(name.replace(".nii.gz", ".json") for name in images),
        "demo.json",
    }
    assert not [path for path in folder.rglob("*") if ".part" in path.name]


def test_images_and_truth_come_back_voxel_for_voxel(
    folder: Path, index: dict[str, Any], studies: tuple[Study, ...]
) -> None:
    for entry, study in zip(index["studies"], studies, strict=True):
        volume = read_volume(folder / entry["image"])
        assert volume.modality == study.modality
        assert np.array_equal(volume.voxels, study.voxels)
        volume.geometry.assert_same(VolumeGeometry(shape_ijk=study.shape_ijk, affine_ras=study.affine_ras))
        assert np.array_equal(read_label(folder / entry["truth"], volume.geometry), study.label)


def test_the_index_names_the_slice_with_most_lesion(folder: Path, index: dict[str, Any]) -> None:
    for entry in index["studies"]:
        volume = read_volume(folder / entry["image"])
        label = read_label(folder / entry["truth"], volume.geometry)
        areas = np.count_nonzero(label, axis=(0, 1))
        assert entry["slice"]["axis"] == "k"
        assert areas[entry["slice"]["index"]] == areas.max()
        assert entry["expected"] == ("present" if label.any() else "absent")
        assert entry["query"]


def test_the_dicom_series_holds_the_same_image_as_its_nifti(folder: Path, index: dict[str, Any]) -> None:
    entry = next(entry for entry in index["studies"] if "dicom" in entry)
    series, image = read_volume(folder / entry["dicom"]), read_volume(folder / entry["image"])
    shown = extract_slice(series, series.geometry.array_axis("axial"), entry["slice"]["index"])
    expected = extract_slice(image, image.geometry.array_axis("axial"), entry["slice"]["index"])
    assert np.array_equal(shown.rgb, expected.rgb)


def test_the_demo_reaches_the_display_upright(folder: Path, index: dict[str, Any]) -> None:
    """CT: the liver is on the image's left and the spine below; ultrasound: skin on top."""
    ct = read_volume(folder / index["studies"][0]["image"])
    middle = extract_slice(ct, 2, ct.voxels.shape[2] // 2).rgb[..., 0].astype(float)
    bone = np.argwhere(ct.voxels[:, :, ct.voxels.shape[2] // 2] > 300)
    assert middle.shape == ct.voxels.shape[1::-1]
    assert bone[:, 1].mean() > ct.voxels.shape[1] / 2
    us = read_volume(folder / index["studies"][2]["image"])
    top = extract_slice(us, 2, 0).rgb[..., 0].astype(float)
    assert top[2:8].mean() > top[-30:].mean()


def test_writing_again_over_an_earlier_run_changes_nothing(folder: Path, index: dict[str, Any]) -> None:
    before = read_volume(folder / index["studies"][3]["image"]).content_hash
    assert main([str(folder)]) == 0
    assert json.loads((folder / "demo.json").read_text()) == index
    assert read_volume(folder / index["studies"][3]["image"]).content_hash == before


def test_a_folder_that_cannot_be_made_is_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main([str(tmp_path / "file")]) == 2
    assert "error:" in capsys.readouterr().err
