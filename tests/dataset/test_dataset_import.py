"""Raw data sets become one manifest: every layout, every fault named, nothing of the source touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from raw_sets import (
    FOLDERS,
    SIDE,
    folder_set,
    lines,
    speckle,
    square,
    tree_digest,
    volume_with_lesion,
    write_nifti,
    write_picture,
    write_source,
)

from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest
from coreseg_core.evaluation.pictures import load_row
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import Volume, VolumeGeometry, write_dicom_series
from training.dataset.importing import Given, Imported, import_sources
from training.dataset.sources import read_source
from training.dataset.splits import SplitPlan


def run(*given: Given, out: Path, **plan: Any) -> Imported:
    return import_sources(given, out, plan=SplitPlan(**plan), long_side_px=512, progress=lambda *_: None)


def test_pictures_and_masks_come_through_pixel_for_pixel(tmp_path: Path) -> None:
    folder_set(tmp_path / "raw", 6)
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    done = run(Given(source, tmp_path / "raw"), out=tmp_path / "out")
    rows = read_manifest(done.manifest)
    assert len(rows) == 6 and done.left_out == {}
    masks = {square(5 + number % 20, 8 + number % 15).tobytes() for number in range(6)}
    pictures = {speckle(number).tobytes() for number in range(6)}
    for row in rows:
        rgb, mask = load_row(row)
        assert rgb[..., 0].tobytes() in pictures
        assert (mask.astype(np.uint8) * np.uint8(255)).tobytes() in masks
        assert row.boxes_xyxy is not None and len(row.boxes_xyxy) == row.n_components == 1
        assert (row.licence, row.weights, row.target) == ("CC0-1.0", "yes", "tumor")


def test_no_name_of_a_patient_or_file_gets_into_the_manifest(tmp_path: Path) -> None:
    folder_set(tmp_path / "raw", 2)
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    done = run(Given(source, tmp_path / "raw"), out=tmp_path / "out")
    assert "p000" not in done.manifest.read_text()
    assert not [path for path in (tmp_path / "out").rglob("*p00*")]


def test_every_fault_is_named_counted_and_left_out_and_the_source_stays_as_it_was(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    folder_set(raw, 12)
    (raw / "images/p000.png").write_bytes(b"\x89PNG\r\n\x1a\nnot a picture")
    write_picture(raw / "masks/p001.png", np.zeros((SIDE, SIDE + 8), np.uint8))
    write_picture(raw / "masks/p002.png", np.zeros((SIDE, SIDE), np.uint8))
    odd = square(5, 5)
    odd[odd > 0] = 7
    write_picture(raw / "masks/p003.png", odd)
    (raw / "masks/p004.png").unlink()
    (raw / "masks/p005.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    outside = write_picture(tmp_path / "elsewhere.png", speckle(99))
    (raw / "images/p006.png").unlink()
    (raw / "images/p006.png").symlink_to(outside)
    shutil.copy(raw / "images/p007.png", raw / "images/p007b.png")
    write_picture(raw / "images/p008b.png", speckle(500))
    source = write_source(
        tmp_path / "us.yaml",
        **FOLDERS,
        labels=[{"value": 255, "target": "tumor"}],
        splits={"test": r"p\d+b\.png", "train": r"p008\.png"},
    )
    before = tree_digest(raw)
    done = run(Given(source, raw), out=tmp_path / "out")
    assert done.left_out == {
        "broken image": 1,
        "broken mask": 1,
        "mask of another size": 1,
        "missing mask": 1,
        "empty mask": 1,
        "surprising label values": 1,
        "file outside the root": 1,
        "exact duplicate": 1,
        "patient in two splits": 1,
    }
    assert tree_digest(raw) == before
    listed = {item["reason"]: item for item in lines(tmp_path / "out/imported/left_out.jsonl")}
    assert listed["surprising label values"]["what"] == "images/p003.png"
    assert "7" in listed["surprising label values"]["detail"]
    report = json.loads((tmp_path / "out/imported/report.json").read_text())
    assert report["left_out"] == done.left_out
    assert "p003" not in (tmp_path / "out/imported/report.md").read_text()


def test_a_patient_never_lies_in_two_parts_and_neither_do_look_alikes(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    folder_set(raw, 24)
    for number in range(8):
        write_picture(raw / f"images/p{number:03d}b.png", speckle(1000 + number))
    first = write_source(tmp_path / "a.yaml", **FOLDERS)
    second = write_source(tmp_path / "b.yaml", **FOLDERS)
    other = tmp_path / "other"
    folder_set(other, 12, first_seed=2000)
    for number in range(6):
        alike = Image.open(raw / f"images/p{number:03d}.png").resize((40, 40))
        write_picture(other / f"images/p{number:03d}.png", np.asarray(alike))
        write_picture(other / f"masks/p{number:03d}.png", square(3, 3)[:40, :40])
    done = run(Given(first, raw), Given(second, other), out=tmp_path / "out", test=0.3, val=0.2)
    parts: dict[str, set[str]] = {}
    for row in done.rows:
        parts.setdefault(row.patient_key, set()).add(row.split)
    assert all(len(part) == 1 for part in parts.values())
    assert {row.split for row in done.rows} == {"train", "val", "test"}
    report = json.loads((tmp_path / "out/imported/report.json").read_text())
    assert report["near_pairs_of_different_patients"] == 6
    dropped = run(Given(first, raw), Given(second, other), out=tmp_path / "out2", drop_near=True)
    assert dropped.left_out["near duplicate"] == 6


def test_a_copy_in_train_of_a_test_picture_of_another_set_is_left_out(tmp_path: Path) -> None:
    folder_set(tmp_path / "a", 3)
    folder_set(tmp_path / "b", 3)
    write_picture(tmp_path / "b/masks/p001.png", square(2, 2))
    train = write_source(tmp_path / "atrain.yaml", **FOLDERS, split="train")
    test = write_source(tmp_path / "btest.yaml", **FOLDERS, split="test")
    done = run(Given(train, tmp_path / "a"), Given(test, tmp_path / "b"), out=tmp_path / "out")
    assert {row.subset for row in done.rows} == {"btest"}
    assert done.left_out == {"exact duplicate": 3}


@pytest.mark.parametrize("strict", ["a", "b"])
def test_of_two_look_alikes_the_one_that_is_only_measured_on_stays_and_the_pair_is_reported(
    tmp_path: Path, strict: str
) -> None:
    for name in ("a", "b"):
        folder_set(tmp_path / name, 1)
    write_picture(tmp_path / "b/images/p000.png", np.asarray(Image.fromarray(speckle(0)).resize((40, 40))))
    write_picture(tmp_path / "b/masks/p000.png", square(5, 8)[:40, :40])
    given = [
        Given(
            write_source(tmp_path / f"{name}.yaml", **FOLDERS, split="test" if name == strict else "train"),
            tmp_path / name,
        )
        for name in ("a", "b")
    ]
    done = run(*given, out=tmp_path / "out", drop_near=True)
    assert [(row.subset, row.split) for row in done.rows] == [(strict, "test")]
    assert done.left_out == {"near duplicate": 1}
    report = json.loads((tmp_path / "out/imported/report.json").read_text())
    assert report["near_pairs_of_different_patients"] == 1


def test_a_stopped_import_goes_on_and_ends_with_the_same_manifest(tmp_path: Path) -> None:
    folder_set(tmp_path / "raw", 8)
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    whole = run(Given(source, tmp_path / "raw"), out=tmp_path / "whole").manifest.read_bytes()

    def stop(done: int, _: int | None) -> None:
        if done == 5:
            raise KeyboardInterrupt

    given = [Given(source, tmp_path / "raw")]
    with pytest.raises(KeyboardInterrupt):
        import_sources(given, tmp_path / "out", plan=SplitPlan(), long_side_px=512, progress=stop)
    journal = tmp_path / "out/imported/cases.jsonl"
    assert len(lines(journal)) == 5
    journal.write_bytes(journal.read_bytes()[:-7])
    assert run(Given(source, tmp_path / "raw"), out=tmp_path / "out").manifest.read_bytes() == whole
    kept = journal.read_bytes()
    assert run(Given(source, tmp_path / "raw"), out=tmp_path / "out").manifest.read_bytes() == whole
    assert journal.read_bytes() == kept


def test_the_output_may_not_lie_in_a_source_nor_a_source_in_the_output(tmp_path: Path) -> None:
    folder_set(tmp_path / "raw", 1)
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    for out in (tmp_path / "raw/out", tmp_path):
        with pytest.raises(InputError, match="never written"):
            run(Given(source, tmp_path / "raw"), out=out)


def lesion_rows(done: Imported) -> list[Row]:
    return [row for row in done.rows if not row.lesion_free]


@pytest.mark.parametrize("layout", ["msd", "nnunet"])
def test_decathlon_and_nnunet_folders_give_lesion_slices_and_negatives(tmp_path: Path, layout: str) -> None:
    raw, channel = tmp_path / "raw", "" if layout == "msd" else "_0000"
    for number in range(3):
        voxels, labels = volume_with_lesion(number)
        write_nifti(raw / f"imagesTr/liver_{number}{channel}.nii.gz", voxels)
        write_nifti(raw / f"labelsTr/liver_{number}.nii.gz", labels)
    pairs = [
        {"image": f"./imagesTr/liver_{number}.nii.gz", "label": f"./labelsTr/liver_{number}.nii.gz"}
        for number in range(3)
    ]
    pairs.append({"image": "../elsewhere.nii.gz", "label": "./labelsTr/liver_0.nii.gz"})
    content = {"training": pairs} if layout == "msd" else {"channel_names": {"0": "CT"}}
    (raw / "dataset.json").write_text(json.dumps(content))
    source = write_source(
        tmp_path / "liver.yaml",
        layout="decathlon",
        modality="CT",
        anatomy="liver",
        labels=[{"value": 2, "target": "liver tumor"}],
        ignore=[1],
        slices={"per_volume": 3, "negatives": 2, "gap": 2},
    )
    done = run(Given(source, raw), out=tmp_path / "out")
    assert done.left_out == ({"file outside the root": 1} if layout == "msd" else {})
    assert len(lesion_rows(done)) == 9 and len(done.rows) == 15
    largest = max(row.area_frac or 0.0 for row in done.rows)
    assert largest == pytest.approx(100 / 32**2, abs=1e-6), "the fullest slice is always among those shown"
    free = [row for row in done.rows if row.lesion_free]
    assert all(row.mask is None and row.target == "liver tumor" for row in free)
    assert {row.image[-6:-4] for row in free} <= {"00", "01", "02", "12", "13", "14", "15"}


def test_bids_masks_are_found_by_their_entities(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    lesion = (volume_with_lesion(0)[1] == 2).astype(np.uint8)
    for subject, session in (("01", "a"), ("01", "b"), ("02", "a")):
        stem = f"sub-{subject}_ses-{session}"
        voxels = volume_with_lesion(int(subject))[0]
        write_nifti(raw / f"rawdata/sub-{subject}/ses-{session}/dwi/{stem}_dwi.nii.gz", voxels)
        write_nifti(raw / f"derivatives/x/sub-{subject}/ses-{session}/{stem}_desc-lesion_msk.nii.gz", lesion)
    write_nifti(raw / "rawdata/sub-03/ses-a/dwi/sub-03_ses-a_dwi.nii.gz", voxels)
    source = write_source(
        tmp_path / "stroke.yaml",
        layout="bids",
        image=r"rawdata/.*_dwi\.nii\.gz",
        mask="*_msk.nii.gz",
        modality="MRI",
        anatomy="brain",
        labels=[{"value": 1, "target": "ischemic stroke"}],
        slices={"per_volume": 1, "negatives": 0},
    )
    done = run(Given(source, raw), out=tmp_path / "out")
    assert done.left_out == {"missing mask": 1, "exact duplicate": 1}
    assert len({row.patient for row in done.rows}) == 2


def test_dicom_series_with_seg_or_contours_are_read(tmp_path: Path) -> None:
    from dicom_outlines import write_rtstruct, write_seg

    from coreseg_core.imaging import list_mask_objects

    voxels, labels = volume_with_lesion(4)
    geometry = VolumeGeometry(voxels.shape, np.diag([-1.5, -1.5, 3.0, 1.0]))
    volume = Volume(voxels=voxels, geometry=geometry, modality="CT")
    for patient, write in (("one", write_seg), ("two", write_rtstruct)):
        folder = tmp_path / "raw" / patient
        uid = write_dicom_series(folder / "image", volume, modality="CT", description=patient, seed=1)
        write(folder / "outline.dcm", labels == 2, geometry, name="GTV", series_uid=uid)
        assert list_mask_objects(folder)[0].series_uid == uid
    source = write_source(
        tmp_path / "dcm.yaml",
        layout="dicom",
        modality="CT",
        anatomy="liver",
        labels=[{"value": "gtv", "target": "tumor"}],
        slices={"per_volume": 9, "negatives": 0},
    )
    done = run(Given(source, tmp_path / "raw"), out=tmp_path / "out")
    assert done.left_out == {"exact duplicate": 5}
    areas = sorted(round((row.area_frac or 0) * 32 * 32) for row in done.rows)
    assert areas == [16, 16, 36, 36, 100]


def test_coco_polygons_and_both_kinds_of_run_lengths_agree(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    runs = [10 * SIDE + 12, 10, *([SIDE - 10, 10] * 9), SIDE * SIDE - 10 * SIDE - 12 - 10 - 9 * SIDE]
    polygon = [[10, 12, 20, 12, 20, 22, 10, 22]]
    kinds: list[Any] = [polygon, {"size": [SIDE, SIDE], "counts": runs}]
    kinds.append({"size": [SIDE, SIDE], "counts": packed(runs)})
    kinds.append({"size": [SIDE, SIDE + 1], "counts": runs})
    images = []
    for number in range(len(kinds)):
        write_picture(raw / f"pictures/{number}.png", speckle(number))
        images.append({"id": number, "file_name": f"{number}.png", "patient_id": f"c{number}"})
    images.append({"id": 77, "file_name": "../../other.png"})
    annotations = [
        {"id": number, "image_id": number, "category_id": 3, "segmentation": kind}
        for number, kind in enumerate(kinds)
    ]
    annotations.append({"id": 9, "image_id": 77, "category_id": 3, "segmentation": polygon})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "Polyp"}]}
    (raw / "labels.json").write_text(json.dumps(content))
    source = write_source(
        tmp_path / "coco.yaml",
        layout="coco",
        image="pictures/{file_name}",
        patient="{patient_id}",
        labels=[{"value": "polyp", "target": "polyp"}],
    )
    done = run(Given(source, raw), out=tmp_path / "out")
    assert done.left_out == {"mask of another size": 1, "file outside the root": 1}
    expected = square(10, 12) > 0
    assert len(done.rows) == 3
    assert all(np.array_equal(load_row(row)[1], expected) for row in done.rows)


def packed(runs: list[int]) -> str:
    """Return run lengths as COCO packs them (written from its description: five bits a letter)."""
    text = ""
    for k, run_length in enumerate(runs):
        value = run_length - (runs[k - 2] if k > 2 else 0)
        more = True
        while more:
            letter = value & 0x1F
            value >>= 5
            more = value != (-1 if letter & 0x10 else 0)
            text += chr((letter | 0x20 if more else letter) + 48)
    return text


def test_a_manifest_is_a_source_too_and_keeps_words_split_and_licence(tmp_path: Path) -> None:
    folder_set(tmp_path / "raw", 5)
    first = write_source(tmp_path / "us.yaml", **FOLDERS)
    done = run(Given(first, tmp_path / "raw"), out=tmp_path / "out", test=0.5)
    again = write_source(tmp_path / "again.yaml", layout="manifest", annotations="imported.jsonl")
    rows = run(Given(again, tmp_path / "out"), out=tmp_path / "second").rows
    assert sorted((row.subset, row.split, row.licence, row.sha256) for row in rows) == sorted(
        (row.subset, row.split, row.licence, row.sha256) for row in done.rows
    )


def test_large_pictures_are_made_smaller_with_their_masks(tmp_path: Path) -> None:
    write_picture(tmp_path / "raw/images/p000.png", speckle(0, (960, 640)))
    mask = np.zeros((960, 640), np.uint8)
    mask[300:420, 100:220] = 255
    mask[5:7, 5:7] = 255
    write_picture(tmp_path / "raw/masks/p000.png", mask)
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    (row,) = run(Given(source, tmp_path / "raw"), out=tmp_path / "out").rows
    assert (row.width, row.height) == (341, 512)
    assert row.area_frac == pytest.approx(120 * 120 / (960 * 640), rel=0.05)


def test_an_empty_folder_and_a_wrong_description_are_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    with pytest.raises(InputError, match="layout"):
        run(Given(source, tmp_path / "raw"), out=tmp_path / "out")
    with pytest.raises(InputError, match="wrong at layout"):
        write_source(tmp_path / "bad.yaml", layout="zip")
    with pytest.raises(InputError, match="pattern that cannot be read"):
        write_source(tmp_path / "worse.yaml", image="(", mask="x")
    with pytest.raises(InputError, match="cannot be read") as refused:
        read_source(tmp_path / "none.yaml")
    assert "training/dataset/sources" in refused.value.remedy
