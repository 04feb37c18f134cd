"""Series of a DICOMweb server are images: listed at once, fetched when asked about, kept without a patient's name."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import requests
from full_disk import full_disk

from coreseg_core.errors import InputError, SourceError, StorageError
from coreseg_core.imaging import Volume, VolumeGeometry, read_volume, write_dicom_series
from coreseg_core.limits import Limits
from lib.dicomweb import FETCH_S, LOOK_S, REST_S, DicomWebStore

GRID = VolumeGeometry((9, 8, 4), np.diag([-1.5, -1.0, 3.0, 1.0]))


class Folder:
    """A DICOMweb server over a folder of DICOM files, without the web; it can be down, and counts what it sends."""

    def __init__(self, folder: Path) -> None:
        self.files = [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
        self.down, self.by_study_only = False, False
        self.searches, self.sent = 0, 0

    def search_for_studies(self, *, get_remaining: bool) -> list[dict[str, Any]]:
        found = {}
        for file in self.files:
            study = pydicom.Dataset()
            study.StudyInstanceUID = file.StudyInstanceUID
            found[file.StudyInstanceUID] = study.to_json_dict()
        return list(found.values())

    def search_for_series(
        self,
        study_instance_uid: str | None = None,
        *,
        search_filters: dict[str, Any],
        get_remaining: bool,
    ) -> list[dict[str, Any]]:
        self.searches += 1
        if self.down:
            raise requests.ConnectionError("no route to 10.0.0.7")
        if study_instance_uid is None and self.by_study_only:
            answer = requests.Response()
            answer.status_code = 404
            raise requests.HTTPError("404", response=answer)
        found = {}
        for file in self.files:
            of_study = study_instance_uid in (None, file.StudyInstanceUID)
            if of_study and file.Modality == search_filters["Modality"]:
                names = ("Modality", "StudyInstanceUID", "SeriesInstanceUID", "PatientName", "PatientID")
                series = pydicom.Dataset()
                for name in names:
                    setattr(series, name, getattr(file, name))
                found[file.SeriesInstanceUID] = series.to_json_dict()
        return list(found.values())

    def iter_series(self, study_instance_uid: str, series_instance_uid: str) -> Iterator[pydicom.Dataset]:
        if self.down:
            raise requests.ConnectionError("no route to 10.0.0.7")
        for file in self.files:
            if (file.StudyInstanceUID, file.SeriesInstanceUID) == (study_instance_uid, series_instance_uid):
                self.sent += 1
                yield file


@pytest.fixture
def archive(tmp_path: Path) -> Folder:
    for seed, modality in enumerate(("CT", "MR", "PT", "US")):
        place = tmp_path / "archive" / modality
        place.mkdir(parents=True)
        voxels = np.random.default_rng(seed).integers(0, 900, GRID.shape_ijk).astype(np.int16)
        volume = Volume(voxels, GRID, modality)
        write_dicom_series(place, volume, modality=modality, description="x", seed=seed)
    return Folder(tmp_path / "archive")


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def store(archive: Folder, tmp_path: Path, clock: list[float]) -> DicomWebStore:
    return open_store(archive, tmp_path, clock)


def open_store(archive: Folder, tmp_path: Path, clock: list[float]) -> DicomWebStore:
    return DicomWebStore(
        archive, tmp_path / "kept", limits=Limits(), clock=lambda: clock[0],
        extensions=["*.nii.gz", "*.nrrd"], auto_reload=False,
    )  # fmt: skip


def test_series_of_all_kinds_are_listed_before_any_is_fetched(store: DicomWebStore, archive: Folder) -> None:
    images = store.list_images()
    assert sorted(name.split("-")[0] for name in images) == ["ct", "mr", "pt", "us"]
    assert store.get_unlabeled_images() == images
    assert archive.sent == 0


def test_a_server_that_searches_within_studies_alone_is_searched_study_by_study(
    store: DicomWebStore, archive: Folder
) -> None:
    archive.by_study_only = True
    images = store.list_images()
    assert sorted(name.split("-")[0] for name in images) == ["ct", "mr", "pt", "us"]
    assert read_volume(store.get_image_uri(images[0])).study_uid


def test_an_image_is_fetched_when_it_is_asked_for_and_once(
    store: DicomWebStore, archive: Folder, tmp_path: Path
) -> None:
    for name in store.list_images():
        volume = read_volume(store.get_image_uri(name))
        source = read_volume(tmp_path / "archive" / volume.modality)  # type: ignore[operator]
        source.geometry.assert_same(volume.geometry)
        assert np.array_equal(source.voxels, volume.voxels)
        assert (volume.series_uid, volume.study_uid) == (source.series_uid, source.study_uid)
        assert store.get_image_uri(name).endswith(f"{name}.nii.gz")
    assert archive.sent == 4 * GRID.shape_ijk[2]


def test_after_a_start_what_is_known_and_kept_is_still_there_though_the_server_is_down(
    store: DicomWebStore, archive: Folder, tmp_path: Path, clock: list[float]
) -> None:
    first, *others = store.list_images()
    store.save_label(first, store.get_image_uri(first), "final", {})
    archive.down = True
    again = open_store(archive, tmp_path, clock)
    assert read_volume(again.get_image_uri(first)).voxels.any()
    assert again.get_labeled_images() == [first]
    with pytest.raises(SourceError) as fault:
        again.get_image_uri(others[0])
    assert "10.0.0.7" not in str(fault.value)
    with pytest.raises(SourceError):
        again.list_images()
    archive.down = False
    clock[0] += REST_S
    assert again.list_images() == [first, *others]
    again.refresh()
    assert again.list_images() == [first, *others]


def test_a_server_that_did_not_answer_is_not_asked_by_everybody_who_comes(
    store: DicomWebStore, archive: Folder, clock: list[float]
) -> None:
    archive.down = True
    for _ in range(3):
        with pytest.raises(SourceError, match="did not answer as it should"):
            store.list_images()
    assert archive.searches == 1
    archive.down = False
    clock[0] += REST_S
    assert len(store.list_images()) == 4


def test_a_series_that_takes_too_long_is_given_up(
    store: DicomWebStore, archive: Folder, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = store.list_images()[0]
    send = archive.iter_series

    def slowly(study_instance_uid: str, series_instance_uid: str) -> Iterator[pydicom.Dataset]:
        for file in send(study_instance_uid, series_instance_uid):
            clock[0] += FETCH_S * 0.6
            yield file

    monkeypatch.setattr(archive, "iter_series", slowly)
    with pytest.raises(SourceError, match=r"After 1800 s, the limit, .* 2 objects"):
        store.get_image_uri(name)
    monkeypatch.undo()
    assert read_volume(store.get_image_uri(name)).voxels.any()


def test_whatever_a_server_sends_in_place_of_dicom_is_a_fault_of_the_server(
    store: DicomWebStore, archive: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = store.list_images()[0]

    def rubbish(study_instance_uid: str, series_instance_uid: str) -> Iterator[pydicom.Dataset]:
        yield pydicom.dcmread(io.BytesIO(b"<html>Jane Doe</html>"))

    monkeypatch.setattr(archive, "iter_series", rubbish)
    with pytest.raises(SourceError) as fault:
        store.get_image_uri(name)
    assert "Jane" not in str(fault.value)


def test_a_full_disk_here_is_not_blamed_on_the_server(store: DicomWebStore, tmp_path: Path) -> None:
    name = store.list_images()[0]
    with full_disk(after_bytes=1000), pytest.raises(StorageError, match="cannot write") as told:
        store.get_image_uri(name)
    assert "DICOMweb" not in str(told.value) and str(tmp_path) not in str(told.value)
    assert read_volume(store.get_image_uri(name)).voxels.any()


def test_new_series_appear_and_the_server_is_not_asked_all_the_time(
    store: DicomWebStore, archive: Folder, tmp_path: Path, clock: list[float]
) -> None:
    store.list_images()
    asked = archive.searches
    place = tmp_path / "archive" / "late"
    place.mkdir()
    volume = Volume(np.ones(GRID.shape_ijk, np.int16), GRID, "MR")
    write_dicom_series(place, volume, modality="MR", description="x", seed=99)
    archive.files += [pydicom.dcmread(path) for path in place.glob("*.dcm")]
    assert len(store.list_images()) == 4 and archive.searches == asked
    clock[0] += LOOK_S
    assert len(store.list_images()) == 5


def test_nothing_of_a_patient_is_kept(store: DicomWebStore, archive: Folder, tmp_path: Path) -> None:
    patient = str(archive.files[0].PatientName)
    for name in store.list_images():
        store.get_image_uri(name)
    assert patient and patient not in json.dumps(store.json(), default=str)
    assert all(
        patient.encode() not in path.read_bytes() for path in (tmp_path / "kept").rglob("*") if path.is_file()
    )


def test_a_series_that_is_no_image_is_refused_with_its_reason(store: DicomWebStore, archive: Folder) -> None:
    for file in archive.files:
        file.Rows = 4000
    name = store.list_images()[0]
    with pytest.raises(InputError):
        store.get_image_uri(name)
    assert store.list_images()[0] == name
