"""What is saved stays: through crashes, other processes and hostile names."""

from __future__ import annotations

import gzip
import json
import os
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreseg_core.errors import InputError, NotFoundError
from coreseg_core.imaging import Volume, VolumeGeometry, write_dicom_series, write_label
from coreseg_core.limits import Limits
from lib.dicom_folders import import_folders
from lib.names import image_id, label_tag
from lib.store import SafeStore

ENDINGS = ["*.nii.gz", "*.nii", "*.nrrd", "*.png"]
RECORD = {"schema": "coreseg.record/1", "id": "a1", "query": "Größe?"}


def open_store(folder: Path) -> SafeStore:
    return SafeStore(str(folder), extensions=ENDINGS, auto_reload=False)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "sent" / "image.nii.gz"
    path.parent.mkdir()
    write_label(path, np.ones((2, 3, 4), np.uint8), VolumeGeometry((2, 3, 4), np.eye(4)))
    return path


@pytest.fixture
def folder(tmp_path: Path, picture: Path) -> Path:
    place = tmp_path / "studies"
    place.mkdir()
    for name in ("one", "two.with.dots"):
        (place / f"{name}.nii.gz").write_bytes(picture.read_bytes())
    return place


@pytest.fixture
def store(folder: Path) -> SafeStore:
    return open_store(folder)


def files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != ".lock"
    }


def test_images_that_lie_in_the_folder_are_there_under_their_names(store: SafeStore) -> None:
    assert set(store.list_images()) == {"one", "two.with.dots"}
    assert store.get_image_uri("two.with.dots").endswith("two.with.dots.nii.gz")


def test_a_label_and_its_record_lie_side_by_side_and_come_back(
    store: SafeStore, folder: Path, picture: Path
) -> None:
    info = {"model": "coreseg", "params": {"label_names": {"lesion 1": 1}, "record": RECORD}}
    store.save_label("one", str(picture), "coreseg-a1", info)
    assert {"labels/coreseg-a1/one.nii.gz", "labels/coreseg-a1/one.json"} <= files(folder)
    told = open_store(folder).get_label_info("one", "coreseg-a1")
    assert told["params"] == {"label_names": {"lesion 1": 1}, "record": RECORD}
    assert "Größe" not in (folder / "datastore_v2.json").read_text()


def test_what_one_process_saves_another_sees_and_does_not_undo(folder: Path, picture: Path) -> None:
    first, second = open_store(folder), open_store(folder)
    first.save_label("one", str(picture), "final", {"by": "first"})
    second.update_image_info("one", {"seen": 1})
    second.save_label("two.with.dots", str(picture), "final", {"by": "second"})
    first.update_image_info("one", {"again": 2})
    for store in (first, second, open_store(folder)):
        assert store.get_label_info("one", "final")["by"] == "first"
        assert store.get_label_info("two.with.dots", "final")["by"] == "second"
        assert {"seen", "again"} <= store.get_image_info("one").keys()


def save_many(folder: Path, picture: Path, name: str, count: int) -> None:
    store = open_store(folder)
    for number in range(count):
        info = {"params": {"record": {"id": f"{name}{number}"}}}
        store.save_label("one", str(picture), f"coreseg-{name}{number}", info)
        store.update_image_info("one", {f"{name}{number}": 1})


def test_two_processes_that_save_at_once_lose_nothing(folder: Path, picture: Path) -> None:
    count, fork = 12, get_context("fork")
    running = [fork.Process(target=save_many, args=(folder, picture, name, count)) for name in "ab"]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
    assert [process.exitcode for process in running] == [0, 0]
    store = open_store(folder)
    names = {f"{process}{number}" for process in "ab" for number in range(count)}
    assert names <= store.get_image_info("one").keys()
    assert {f"coreseg-{name}" for name in names} <= store.get_labels_by_image_id("one").keys()
    assert {
        store.get_label_info("one", f"coreseg-{name}")["params"]["record"]["id"] for name in names
    } == names


def test_a_lost_index_is_made_anew_with_every_label_and_record(
    store: SafeStore, folder: Path, picture: Path
) -> None:
    store.save_label("one", str(picture), "coreseg-a1", {"params": {"record": RECORD}})
    (folder / "datastore_v2.json").unlink()
    again = open_store(folder)
    assert again.get_label_info("one", "coreseg-a1")["params"]["record"] == RECORD


def test_a_copy_that_was_never_finished_is_no_label_and_goes_in_time(
    store: SafeStore, folder: Path, picture: Path
) -> None:
    store.save_label("one", str(picture), "final", {})
    fresh, old = folder / "labels" / "final" / ".incoming-fresh", folder / ".incoming-old"
    hidden = folder / "labels" / "final" / ".partial-1-2.nii.gz"
    for path in (fresh, old, hidden):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    again = open_store(folder)
    assert fresh.exists() and not old.exists()
    assert set(again.list_images()) == {"one", "two.with.dots"}
    assert set(again.get_labels_by_image_id("one")) == {"final"}


def test_a_failed_save_changes_nothing(store: SafeStore, folder: Path, picture: Path) -> None:
    before = files(folder)
    with pytest.raises(FileNotFoundError):
        store.save_label("one", str(picture.with_name("gone.nii.gz")), "final", {})
    with pytest.raises(ValueError, match="JSON"):
        store.save_label("one", str(picture), "other", {"params": {"record": {"score": float("nan")}}})
    with pytest.raises(NotFoundError):
        store.save_label("nobody", str(picture), "final", {})
    assert files(folder) == before
    assert store.get_labels_by_image_id("one") == {}


def test_a_label_in_another_format_takes_the_place_of_the_earlier_one(
    store: SafeStore, folder: Path, picture: Path
) -> None:
    store.save_label("one", str(picture), "final", {"params": {"record": RECORD}})
    other = picture.with_name("label.nrrd")
    write_label(other, np.ones((2, 3, 4), np.uint8), VolumeGeometry((2, 3, 4), np.eye(4)))
    store.save_label("one", str(other), "final", {})
    assert {name for name in files(folder) if "final" in name} == {"labels/final/one.nrrd"}
    assert "record" not in store.get_label_info("one", "final").get("params", {})


def test_a_removed_image_leaves_nothing_behind(store: SafeStore, folder: Path, picture: Path) -> None:
    (folder / "one.json").write_text('{"modality": "MR"}')
    store.save_label("one", str(picture), "coreseg-a1", {"params": {"record": RECORD}})
    store.remove_image("one")
    assert not [name for name in files(folder) if "one" in name]
    assert store.list_images() == ["two.with.dots"]
    for call in (lambda: store.remove_image("one"), lambda: store.remove_label("two.with.dots", "final")):
        with pytest.raises(NotFoundError):
            call()


def test_an_image_that_is_sent_again_keeps_its_labels_and_its_kind(store: SafeStore, picture: Path) -> None:
    store.save_label("one", str(picture), "final", {})
    store.add_image("one", str(picture), {"site": "A"})
    assert set(store.get_labels_by_image_id("one")) == {"final"}
    assert store.get_image_info("one")["site"] == "A"
    other = picture.with_name("image.png")
    other.write_bytes(b"x")
    with pytest.raises(InputError):
        store.add_image("one", str(other), {})


def test_an_image_that_is_sent_again_keeps_its_labels_however_it_was_compressed(
    store: SafeStore, picture: Path
) -> None:
    store.save_label("one", str(picture), "final", {})
    picture.write_bytes(gzip.compress(gzip.decompress(picture.read_bytes()), 1, mtime=7))
    store.add_image("one", str(picture), {})
    assert set(store.get_labels_by_image_id("one")) == {"final"}


def test_another_image_inherits_nothing_of_one_that_has_its_id(
    store: SafeStore, folder: Path, picture: Path
) -> None:
    (folder / "one.json").write_text('{"modality": "MR"}')
    store.save_label("one", str(picture), "coreseg-a1", {"params": {"record": RECORD}})
    before, first = files(folder), (folder / "one.nii.gz").read_bytes()
    write_label(picture, np.zeros((2, 3, 4), np.uint8), VolumeGeometry((2, 3, 4), np.eye(4)))
    cut = gzip.compress(gzip.decompress(first)[:-1])
    for content in (picture.read_bytes(), cut, b"\x1f\x8b half", b""):
        picture.write_bytes(content)
        with pytest.raises(InputError, match="another image of this id"):
            store.add_image("one", str(picture), {})
    assert files(folder) == before and (folder / "one.nii.gz").read_bytes() == first
    store.remove_image("one")
    write_label(picture, np.zeros((2, 3, 4), np.uint8), VolumeGeometry((2, 3, 4), np.eye(4)))
    store.add_image("one", str(picture), {})
    assert store.get_labels_by_image_id("one") == {}
    assert not (folder / "one.json").exists()


def test_an_index_that_cannot_be_read_stops_the_start_and_is_not_overwritten(folder: Path) -> None:
    index = folder / "datastore_v2.json"
    index.write_text('{"name": "x", "descr')
    with pytest.raises(InputError) as refused:
        open_store(folder)
    assert "datastore_v2.json" in refused.value.remedy
    assert index.read_text() == '{"name": "x", "descr'


TRAVERSALS = [
    "..",
    ".",
    "../x",
    "..\\x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a\x00b",
    ".hidden",
    " x",
    "x ",
    "",
    "a\nb",
    "x" * 201,
]


@pytest.mark.parametrize("name", [*TRAVERSALS, "é" * 101, "a\u202eb"])
def test_no_image_is_put_under_a_name_that_leads_elsewhere(
    store: SafeStore, folder: Path, picture: Path, name: str
) -> None:
    if name:
        before = files(folder.parent)
        with pytest.raises(InputError) as refused:
            store.add_image(name, str(picture), {})
        assert files(folder.parent) == before
        assert name.strip(". ") not in str(refused.value) or len(name) < 4
    with pytest.raises(InputError):
        image_id(name)


@pytest.mark.parametrize("tag", [*TRAVERSALS, "é", "a b", "-x", "x" * 65])
def test_no_label_is_put_under_a_tag_that_leads_elsewhere(
    store: SafeStore, folder: Path, picture: Path, tag: str
) -> None:
    before = files(folder.parent)
    with pytest.raises(InputError):
        store.save_label("one", str(picture), tag, {})
    assert files(folder.parent) == before


@settings(max_examples=200)
@given(st.text(max_size=12))
def test_whatever_is_let_through_as_a_name_stays_in_its_folder(text: str) -> None:
    for check in (image_id, label_tag):
        try:
            name = check(text)
        except InputError:
            continue
        path = os.path.normpath(os.path.join("/store", f"{name}.json"))
        assert os.path.dirname(path) == "/store"


def test_the_index_is_the_one_that_monai_label_reads(store: SafeStore, folder: Path, picture: Path) -> None:
    from monailabel.datastore.local import LocalDatastore

    store.save_label("one", str(picture), "final", {"label_info": [{"name": "lesion", "idx": 1}]})
    stock: Any = LocalDatastore(str(folder), extensions=ENDINGS, auto_reload=False)
    assert stock.get_label_info("one", "final")["label_info"] == [{"name": "lesion", "idx": 1}]
    assert json.loads((folder / "datastore_v2.json").read_text())["objects"].keys() == {
        "one",
        "two.with.dots",
    }
    assert stock.get_label_uri("one", "final") == store.get_label_uri("one", "final")
    assert [Path(row["label"]).name for row in store.datalist()] == ["one.nii.gz"]


def test_dicom_folders_below_the_studies_become_images_of_the_store(store: SafeStore, folder: Path) -> None:
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    volume = Volume(voxels, VolumeGeometry((3, 4, 5), np.diag([-1.0, -1.0, 2.0, 1.0])), "MR")
    (folder / "exports").mkdir()
    write_dicom_series(folder / "exports" / "a", volume, modality="MR", description="x", seed=1)
    (folder / "labels" / "b").mkdir()
    (folder / "notes").mkdir()
    assert import_folders(store, folder, limits=Limits()) == 1
    (image,) = set(store.list_images()) - {"one", "two.with.dots"}
    assert image.startswith("mr-")
    assert import_folders(store, folder, limits=Limits()) == 0
