"""An import into the folder of an earlier one takes from it only what is still right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from raw_sets import (
    FOLDERS,
    folder_set,
    lines,
    speckle,
    square,
    volume_with_lesion,
    write_picture,
    write_source,
)

from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.pictures import load_row
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import Volume, VolumeGeometry, write_dicom_series
from training.dataset.importing import Given, Imported, import_sources
from training.dataset.sources import Source
from training.dataset.splits import SplitPlan


def run(source: Source, root: Path, out: Path, *, long_side_px: int = 512) -> Imported:
    given = [Given(source, root)]
    return import_sources(given, out, plan=SplitPlan(), long_side_px=long_side_px, progress=lambda *_: None)


def own_row(**values: Any) -> dict[str, Any]:
    """Return a row of a manifest as a hospital may write one."""
    base = {
        "id": "one",
        "image": "p.png",
        "mask": "m.png",
        "split": "train",
        "subset": "own",
        "modality": "ultrasound",
        "anatomy": "breast",
        "disease": "cyst",
        "target": "cyst",
        "patient": "a",
    }
    return {**base, **values}


def write_rows(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_going_back_to_an_earlier_size_gives_pictures_and_masks_of_that_size(tmp_path: Path) -> None:
    folder_set(tmp_path / "raw", 2)
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    first = run(source, tmp_path / "raw", tmp_path / "out", long_side_px=40).manifest.read_bytes()
    run(source, tmp_path / "raw", tmp_path / "out", long_side_px=24)
    done = run(source, tmp_path / "raw", tmp_path / "out", long_side_px=40)
    assert done.manifest.read_bytes() == first
    for row in read_manifest(done.manifest):
        rgb, mask = load_row(row)
        assert rgb.shape[:2] == mask.shape == (row.height, row.width) == (40, 40)


def test_a_mask_that_was_changed_in_the_output_is_made_anew(tmp_path: Path) -> None:
    folder_set(tmp_path / "raw", 1)
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    (row,) = run(source, tmp_path / "raw", tmp_path / "out").rows
    assert row.mask_path is not None
    right = row.mask_path.read_bytes()
    write_picture(row.mask_path, square(0, 0, 1))
    run(source, tmp_path / "raw", tmp_path / "out")
    assert row.mask_path.read_bytes() == right


@pytest.mark.parametrize(
    ("corrected", "expected"),
    [
        ({"target": "tumor"}, {"target": "tumor"}),
        ({"disease": "simple cyst"}, {"disease": "simple cyst"}),
        ({"licence": "CC BY 4.0"}, {"licence": "CC BY 4.0"}),
        ({"modality": "CT"}, {"modality": "CT"}),
        ({"area_frac": 0}, {"disease": "none", "mask": None}),
    ],
)
def test_a_manifest_that_was_corrected_brings_its_new_words(
    tmp_path: Path, corrected: dict[str, Any], expected: dict[str, Any]
) -> None:
    raw = tmp_path / "raw"
    write_picture(raw / "p.png", speckle(1))
    write_picture(raw / "m.png", square(4, 4))
    source = write_source(tmp_path / "own.yaml", layout="manifest")
    write_rows(raw / "manifest.jsonl", own_row())
    run(source, raw, tmp_path / "out")
    write_rows(raw / "manifest.jsonl", own_row(**corrected))
    (row,) = run(source, raw, tmp_path / "out").rows
    assert {name: getattr(row, name) for name in expected} == expected


def test_a_corrected_patient_and_slice_of_a_manifest_are_taken(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_picture(raw / "p.png", speckle(1))
    write_picture(raw / "m.png", square(4, 4))
    source = write_source(tmp_path / "own.yaml", layout="manifest")

    def first(**values: Any) -> Row:
        write_rows(raw / "manifest.jsonl", own_row(**values))
        return run(source, raw, tmp_path / "out").rows[0]

    assert first().patient != first(patient="b").patient
    with pytest.raises(InputError, match="1 unreadable entry"):
        first(slice={"axis": "k", "index": 7})


def test_a_dicom_file_that_was_overwritten_is_read_again(tmp_path: Path) -> None:
    import pydicom
    from dicom_outlines import write_seg

    voxels, labels = volume_with_lesion(4)
    geometry = VolumeGeometry(voxels.shape, np.diag([-1.5, -1.5, 3.0, 1.0]))
    volume = Volume(voxels=voxels, geometry=geometry, modality="CT")
    patient = tmp_path / "raw/one"
    uid = write_dicom_series(patient / "image", volume, modality="CT", description="one", seed=1)
    write_seg(patient / "outline.dcm", labels == 2, geometry, name="GTV", series_uid=uid)
    source = write_source(
        tmp_path / "dcm.yaml", layout="dicom", modality="CT", labels=[{"value": "gtv", "target": "tumor"}]
    )
    before = {row.image: row.sha256 for row in run(source, tmp_path / "raw", tmp_path / "out").rows}
    for file in (patient / "image").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.PixelData = dataset.pixel_array[::-1].tobytes()
        dataset.save_as(file)
    after = {row.image: row.sha256 for row in run(source, tmp_path / "raw", tmp_path / "out").rows}
    assert before.keys() == after.keys()
    assert all(before[image] != after[image] for image in before)


def test_only_the_list_of_what_was_left_out_names_places_in_the_source(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    folder_set(raw, 3)
    write_picture(raw / "masks/p001.png", np.zeros((48, 48), np.uint8))
    (raw / "images/p002.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    for _ in range(2):
        run(source, raw, out)
        listed = {item["what"] for item in lines(out / "imported/left_out.jsonl")}
        assert listed == {"images/p001.png", "images/p002.png"}
    others = [path for path in out.rglob("*") if path.is_file() and path.name != "left_out.jsonl"]
    assert others and not [path for path in others if b"p00" in path.read_bytes()]


def test_an_import_of_nothing_names_each_case_in_the_file_that_the_error_speaks_of(tmp_path: Path) -> None:
    folder_set(tmp_path / "raw", 2)
    for mask in (tmp_path / "raw/masks").iterdir():
        Image.fromarray(np.zeros((48, 48), np.uint8)).save(mask)
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    with pytest.raises(InputError, match="2 empty mask") as raised:
        run(source, tmp_path / "raw", tmp_path / "out")
    named = next(word for word in raised.value.remedy.split() if word.endswith(".jsonl"))
    assert [item["reason"] for item in lines(tmp_path / "out" / named)] == ["empty mask"] * 2
