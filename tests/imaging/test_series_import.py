"""DICOM series become images once, with what leads back to them, and without a patient's name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from coreseg_core.cli import main
from coreseg_core.errors import InputError
from coreseg_core.imaging import Volume, VolumeGeometry, read_volume, write_dicom_series
from coreseg_core.imaging.series_import import import_series

SHAPE = (12, 10, 5)


def series(folder: Path, *, seed: int, modality: str = "MR", slices: int = 5) -> Volume:
    voxels = np.random.default_rng(seed).integers(0, 900, (*SHAPE[:2], slices)).astype(np.int16)
    volume = Volume(voxels, VolumeGeometry(voxels.shape, np.diag([-1.5, -1.0, 3.0, 1.0])), modality)  # type: ignore[arg-type]
    write_dicom_series(folder, volume, modality=modality, description="x", seed=seed)
    return volume


@pytest.fixture
def export(tmp_path: Path) -> Path:
    source = tmp_path / "export"
    source.mkdir()
    for seed, modality in ((1, "MR"), (2, "US"), (3, "PT")):
        series(source / f"Doe^Jane {seed}", seed=seed, modality=modality)
    return source


def test_every_series_is_a_volume_on_its_own_grid_with_its_uids(export: Path, tmp_path: Path) -> None:
    done = import_series(export, tmp_path / "studies")
    assert (len(done.new), done.known, done.failed) == (3, (), ())
    for name in done.new:
        path = tmp_path / "studies" / f"{name}.nii.gz"
        told = json.loads(path.with_name(f"{name}.json").read_bytes())
        source = read_volume(export, series_uid=told["series_uid"])
        brought = read_volume(path)
        source.geometry.assert_same(brought.geometry)
        assert np.array_equal(source.voxels, brought.voxels)
        assert (brought.modality, brought.series_uid, brought.study_uid) == (
            source.modality,
            source.series_uid,
            source.study_uid,
        )
        assert told["affine_ras"] == source.geometry.affine_ras.tolist()


def test_nothing_of_a_patient_is_taken_over(export: Path, tmp_path: Path) -> None:
    import_series(export, tmp_path / "studies")
    for path in (tmp_path / "studies").iterdir():
        assert b"PHANTOM" not in path.read_bytes() and "Doe" not in path.name


def test_a_second_import_reads_only_what_is_new_or_has_grown(export: Path, tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    first = import_series(export, studies)
    before = {path.name: path.stat().st_mtime_ns for path in studies.iterdir()}
    series(export / "more", seed=4, modality="CT")
    second = import_series(export, studies)
    assert set(second.known) == set(first.new) and len(second.new) == 1
    assert all((studies / name).stat().st_mtime_ns == time for name, time in before.items())
    sidecar = studies / f"{first.new[0]}.json"
    sidecar.write_text(sidecar.read_text().replace('"images": 5', '"images": 4'))
    assert import_series(export, studies).new == (first.new[0],)


def test_one_series_that_cannot_be_read_does_not_keep_the_others_out(export: Path, tmp_path: Path) -> None:
    gap = export / "gap"
    series(gap, seed=5, slices=7)
    sorted(gap.iterdir())[3].unlink()
    done = import_series(export, tmp_path / "studies")
    assert len(done.new) == 3 and len(done.failed) == 1
    assert "Doe" not in done.failed[0].reason
    assert main(["import", str(export), "--to", str(tmp_path / "studies")]) == 2


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        import_series(tmp_path, tmp_path / "studies")


def test_the_command_names_what_it_brought(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(export), "--to", str(tmp_path / "studies")]) == 0
    printed = capsys.readouterr().out.split("\n")
    assert {f"{name}.nii.gz" for name in printed[:3]} <= {
        path.name for path in (tmp_path / "studies").iterdir()
    }
    assert "3 new, 0 there already, 0 failed" in printed[3]
