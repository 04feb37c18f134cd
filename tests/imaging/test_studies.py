"""Images that belong together are found together: by StudyInstanceUID, else by folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coreseg_core.errors import InputError
from coreseg_core.imaging import Volume, VolumeGeometry, read_volume, write_dicom_series, write_volume
from coreseg_core.imaging.studies import find_studies

GRID = VolumeGeometry((6, 5, 4), np.diag([-1.0, -1.0, 2.0, 1.0]))


def image(path: Path, *, seed: int = 0, study_uid: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).integers(0, 900, GRID.shape_ijk).astype(np.int16)
    write_volume(path, Volume(voxels, GRID, "MR"))
    if study_uid is not None:
        path.with_name(f"{path.name.split('.')[0]}.json").write_text(json.dumps({"study_uid": study_uid}))
    return path


def series(folder: Path, *, seed: int) -> None:
    folder.mkdir(parents=True)
    voxels = np.random.default_rng(seed).integers(0, 900, GRID.shape_ijk).astype(np.int16)
    write_dicom_series(folder, Volume(voxels, GRID, "MR"), modality="MR", description="x", seed=seed)


def test_a_folder_with_images_is_one_study_and_masks_below_it_are_no_images_of_it(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.nrrd", "truth/b.nii.gz", "labels/final/a.nrrd"):
        image(tmp_path / "one" / name)
    (study,) = find_studies(tmp_path / "one")
    assert study.name == "one"
    assert [found.id for found in study.images] == ["a", "b"]


def test_folders_of_folders_are_as_many_studies(tmp_path: Path) -> None:
    for name in ("x/1/a.nii.gz", "x/2/a.nii.gz", "y/a.nii.gz", "out/z/mask.nii.gz", ".hidden/a.nii.gz"):
        image(tmp_path / name)
    found = find_studies(tmp_path, leave_out=tmp_path / "out")
    assert [study.name for study in found] == ["x_1", "x_2", "y"]


def test_images_of_one_study_uid_are_together_wherever_they_lie(tmp_path: Path) -> None:
    image(tmp_path / "ct-1.nii.gz", study_uid="1.2.3")
    image(tmp_path / "mr-1.nii.gz", study_uid="1.2.3")
    image(tmp_path / "other.nii.gz", study_uid="1.2.4")
    found = find_studies(tmp_path)
    assert sorted([item.id for item in study.images] for study in found) == [["ct-1", "mr-1"], ["other"]]
    assert not any("1.2" in study.name for study in found)


def test_a_series_is_read_from_its_own_folder(tmp_path: Path) -> None:
    series(tmp_path / "Doe^Jane" / "s1", seed=1)
    series(tmp_path / "Doe^Jane" / "s2", seed=2)
    found = find_studies(tmp_path)
    assert len(found) == 2
    assert not any("Doe" in study.name for study in found)
    for study in found:
        (item,) = study.images
        assert item.path.parent.name == "Doe^Jane"
        assert read_volume(item.path, series_uid=item.series_uid).series_uid == item.series_uid


def test_one_image_is_a_study_of_its_own(tmp_path: Path) -> None:
    (study,) = find_studies(image(tmp_path / "head.nii.gz"))
    assert (study.name, [found.id for found in study.images]) == ("head", ["head"])


def test_files_of_one_stem_keep_ids_of_their_own(tmp_path: Path) -> None:
    image(tmp_path / "a.nii.gz")
    image(tmp_path / "a.nrrd")
    (study,) = find_studies(tmp_path)
    assert [found.id for found in study.images] == ["a.nii.gz", "a.nrrd"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="no image"):
        find_studies(tmp_path)
