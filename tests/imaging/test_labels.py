from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up_volumes import affine_of, asymmetric_volume

from coreseg_core.errors import GeometryError, InputError, StorageError
from coreseg_core.imaging import VolumeGeometry, read_label, write_dicom_series, write_label

GEOMETRY = VolumeGeometry((5, 7, 4), affine_of((0, 1, 2), (-1, -1, 1)))


def some_label() -> np.ndarray:
    return (np.arange(140).reshape(5, 7, 4) % 5 == 0).astype(np.uint8) * 3


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd"])
def test_a_label_comes_back_and_leaves_nothing_beside_it(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"label{ending}"
    path.write_bytes(b"older")
    write_label(path, some_label(), GEOMETRY)
    np.testing.assert_array_equal(read_label(path, GEOMETRY), some_label())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "shift",
    [np.diag([1, 1, 1.001, 1.0]), np.array([[1, 0, 0, 0.01], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])],
)
def test_a_label_of_another_place_is_refused(shift: np.ndarray, tmp_path: Path) -> None:
    write_label(tmp_path / "a.nrrd", some_label(), GEOMETRY)
    with pytest.raises(GeometryError, match="differ"):
        read_label(tmp_path / "a.nrrd", VolumeGeometry((5, 7, 4), shift @ GEOMETRY.affine_ras))


@pytest.mark.parametrize(
    ("label", "error"),
    [
        (np.zeros((5, 7, 3), np.uint8), GeometryError),
        (np.zeros((7, 5, 4), bool), GeometryError),
        (np.full((5, 7, 4), 300), InputError),
        (np.full((5, 7, 4), -1), InputError),
        (np.full((5, 7, 4), 0.5), InputError),
    ],
)
def test_refuses_what_is_no_label_of_the_image(
    label: np.ndarray, error: type[InputError], tmp_path: Path
) -> None:
    with pytest.raises(error):
        write_label(tmp_path / "a.nii.gz", label, GEOMETRY)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named_without_its_path(tmp_path: Path) -> None:
    for ending in (".nii.gz", ".nrrd"):
        with pytest.raises(StorageError, match="cannot be written") as caught:
            write_label(tmp_path / "missing" / f"a{ending}", some_label(), GEOMETRY)
        assert "missing" not in str(caught.value)
    with pytest.raises(InputError, match="ending"):
        write_label(tmp_path / "a.png", some_label(), GEOMETRY)


def test_the_same_label_and_series_give_the_same_bytes(tmp_path: Path) -> None:
    volume = asymmetric_volume(GEOMETRY.affine_ras)
    for name in ("one", "two"):
        write_label(tmp_path / f"{name}.nii.gz", some_label(), GEOMETRY)
        write_dicom_series(tmp_path / name, volume, modality="CT", description="test", seed=1)
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_series_never_overwrites_another(tmp_path: Path) -> None:
    volume = asymmetric_volume(GEOMETRY.affine_ras)
    write_dicom_series(tmp_path / "a", volume, modality="CT", description="test", seed=1)
    with pytest.raises(InputError, match="not empty"):
        write_dicom_series(tmp_path / "a", volume, modality="CT", description="test", seed=2)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
