"""What is outlined in the source is outlined in the data set: whole, never lost, never taken for nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_sets import FOLDERS, SIDE, lines, speckle, square, write_nifti, write_picture, write_source

from coreseg_core.errors import InputError
from coreseg_core.evaluation.pictures import load_row
from coreseg_core.imaging import Volume, VolumeGeometry, write_dicom_series
from training.dataset.importing import Given, Imported, import_sources
from training.dataset.sources import Source
from training.dataset.splits import SplitPlan

LEFT, RIGHT = [[4, 4, 14, 4, 14, 14, 4, 14]], [[30, 30, 40, 30, 40, 40, 30, 40]]
BOTH = [{"value": "cyst", "target": "cyst"}, {"value": "tumor", "target": "tumor"}]
GRADES = [
    {"value": 1, "target": "tumor", "disease": "benign tumor"},
    {"value": 2, "target": "tumor", "disease": "malignant tumor"},
]


def run(source: Source, root: Path, out: Path, *, long_side_px: int = 512) -> Imported:
    given = [Given(source, root)]
    return import_sources(given, out, plan=SplitPlan(), long_side_px=long_side_px, progress=lambda *_: None)


def write_coco(path: Path, images: list[Any], annotations: list[Any], categories: list[Any]) -> None:
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def coco_source(folder: Path, **values: Any) -> Source:
    return write_source(folder / "coco.yaml", layout="coco", labels=BOTH, **values)


def test_one_coco_file_for_each_class_gives_each_class_its_own_mask(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_picture(raw / "a.png", speckle(0))
    for name, drawn in (("cyst", LEFT), ("tumor", RIGHT)):
        images = [{"id": 1, "file_name": "a.png"}]
        annotations = [{"image_id": 1, "category_id": 7, "segmentation": drawn}]
        write_coco(raw / f"{name}.json", images, annotations, [{"id": 7, "name": name}])
    rows = run(coco_source(tmp_path), raw, tmp_path / "out").rows
    masks = {row.target: load_row(row)[1] for row in rows}
    assert np.array_equal(masks["cyst"], square(4, 4) > 0)
    assert np.array_equal(masks["tumor"], square(30, 30) > 0)


def test_a_picture_that_a_coco_file_lists_twice_keeps_the_outlines_of_both_entries(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_picture(raw / "a.png", speckle(0))
    images = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "./a.png"}]
    annotations = [
        {"image_id": number, "category_id": 7, "segmentation": drawn}
        for number, drawn in ((1, LEFT), (2, RIGHT))
    ]
    write_coco(raw / "all.json", images, annotations, [{"id": 7, "name": "cyst"}])
    (row,) = run(coco_source(tmp_path), raw, tmp_path / "out").rows
    assert np.array_equal(load_row(row)[1], (square(4, 4) > 0) | (square(30, 30) > 0))


def test_broken_coco_entries_are_named_counted_and_left_out(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(7):
        write_picture(raw / f"{number}.png", speckle(number))
    size = [SIDE, SIDE]
    drawn: list[Any] = [
        LEFT,
        {"size": size, "counts": [10**13, 5]},
        {"size": size, "counts": [-5, SIDE * SIDE + 5]},
        {"size": size, "counts": "o" * 4000},
        [[1e400, 1, 2, 2, 3, 3]],
        None,
    ]
    annotations: list[Any] = [
        {"image_id": number, "category_id": 7, "segmentation": segmentation}
        for number, segmentation in enumerate(drawn)
    ]
    annotations += [{"image_id": 6, "category_id": 8, "segmentation": LEFT}, "nothing", {"image_id": [1]}]
    images: list[Any] = [{"id": number, "file_name": f"{number}.png"} for number in range(7)]
    images += [7, {"id": 9}, {"file_name": "0.png"}]
    write_coco(raw / "all.json", images, annotations, [{"id": 7, "name": "cyst"}, {"name": "tumor"}])
    done = run(coco_source(tmp_path), raw, tmp_path / "out")
    assert len(done.rows) == 1
    assert done.left_out == {"broken mask": 5, "mask of another size": 1, "unreadable entry": 6}
    listed = {item["what"] for item in lines(tmp_path / "out/imported/left_out.jsonl")}
    assert {"all.json#annotations/7", "all.json#categories/1", "all.json#images/7", "1.png"} <= listed


def own_slice(raw: Path, voxels: np.ndarray, labels: np.ndarray, index: int) -> None:
    """Write a manifest with one row that shows slice `index` along k."""
    write_nifti(raw / "v.nii.gz", voxels)
    write_nifti(raw / "m.nii.gz", labels)
    row = {
        "id": "one", "image": "v.nii.gz", "mask": "m.nii.gz", "slice": {"axis": "k", "index": index},
        "split": "train", "subset": "own", "modality": "MRI", "anatomy": "brain", "disease": "tumor",
        "target": "tumor", "patient": "a",
    }  # fmt: skip
    (raw / "manifest.jsonl").write_text(json.dumps(row) + "\n")


def test_a_small_lesion_on_a_slice_that_a_manifest_names_is_never_shown_as_lesion_free(
    tmp_path: Path,
) -> None:
    labels = np.zeros((32, 32, 8), np.uint8)
    labels[10:13, 10:13, 4] = 1
    voxels = np.random.default_rng(0).normal(60, 20, labels.shape).astype(np.int16)
    own_slice(tmp_path / "raw", voxels, labels, 4)
    source = write_source(tmp_path / "own.yaml", layout="manifest")
    (row,) = run(source, tmp_path / "raw", tmp_path / "out").rows
    assert not row.lesion_free
    assert load_row(row)[1].sum() == 9


@pytest.mark.parametrize("outlined", [None, 2], ids=["nowhere", "on another slice"])
def test_a_row_that_names_a_lesion_and_outlines_none_is_left_out_and_never_shown_as_lesion_free(
    tmp_path: Path, outlined: int | None
) -> None:
    labels = np.zeros((32, 32, 8), np.uint8)
    if outlined is not None:
        labels[4:14, 4:14, outlined] = 1
    own_slice(tmp_path / "raw", np.ones(labels.shape, np.int16), labels, 4)
    source = write_source(tmp_path / "own.yaml", layout="manifest")
    with pytest.raises(InputError, match="1 empty mask"):
        run(source, tmp_path / "raw", tmp_path / "out")


def test_a_slice_that_the_image_does_not_have_is_left_out_and_named(tmp_path: Path) -> None:
    labels = np.ones((32, 32, 8), np.uint8)
    own_slice(tmp_path / "raw", labels.astype(np.int16), labels, 50)
    source = write_source(tmp_path / "own.yaml", layout="manifest")
    with pytest.raises(InputError, match="1 unreadable entry"):
        run(source, tmp_path / "raw", tmp_path / "out")
    (item,) = lines(tmp_path / "out/imported/left_out.jsonl")
    assert item["what"] == "one" and "slice 50 of an image with 8" in item["detail"]


@pytest.mark.parametrize("shape", [(960, 640), (2000, 2000)])
def test_a_lesion_of_one_pixel_is_still_there_when_its_picture_is_made_smaller(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    mask = np.zeros(shape, np.uint8)
    mask[shape[0] // 2, shape[1] // 4] = 255
    write_picture(tmp_path / "raw/images/p000.png", speckle(0, shape))
    write_picture(tmp_path / "raw/masks/p000.png", mask)
    source = write_source(tmp_path / "us.yaml", **FOLDERS)
    (row,) = run(source, tmp_path / "raw", tmp_path / "out", long_side_px=40).rows
    small = load_row(row)[1]
    height, width = small.shape
    assert not row.lesion_free and small.sum() == 1 and small[height // 2, width // 4]


def test_all_that_one_target_names_in_a_picture_is_one_outline(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    one, two = square(4, 4) > 0, square(30, 30) > 0
    for number, mask in enumerate([one + two * np.uint8(2), two * np.uint8(2)]):
        write_picture(raw / f"images/p{number:03d}.png", speckle(number))
        write_picture(raw / f"masks/p{number:03d}.png", mask.astype(np.uint8))
    source = write_source(tmp_path / "us.yaml", **FOLDERS, labels=GRADES)
    done = run(source, raw, tmp_path / "out")
    assert done.left_out == {}
    rows = {row.disease: row for row in done.rows}
    assert rows.keys() == {"tumor", "malignant tumor"}, (
        "the finer word stands only where it holds for all of it"
    )
    assert np.array_equal(load_row(rows["tumor"])[1], one | two)


def test_small_parts_of_one_target_count_together_on_a_slice(tmp_path: Path) -> None:
    labels = np.zeros((32, 32, 6), np.uint8)
    labels[4:7, 4:7, 3] = 1
    labels[20:23, 20:23, 3] = 2
    voxels = np.random.default_rng(0).normal(60, 20, labels.shape).astype(np.int16)
    write_nifti(tmp_path / "raw/images/p000.nii.gz", voxels)
    write_nifti(tmp_path / "raw/masks/p000.nii.gz", labels)
    source = write_source(
        tmp_path / "us.yaml", image=r"images/(?P<stem>.*)", mask="masks/{stem}", labels=GRADES,
        slices={"negatives": 0, "min_px": 16},
    )  # fmt: skip
    (row,) = run(source, tmp_path / "raw", tmp_path / "out").rows
    assert load_row(row)[1].sum() == 18


def test_rows_of_a_manifest_that_outline_one_target_in_one_picture_are_joined(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_picture(raw / "p.png", speckle(0))
    rows = []
    for number, mask in enumerate([square(4, 4), square(30, 30)]):
        write_picture(raw / f"m{number}.png", mask)
        rows.append({
            "id": str(number), "image": "p.png", "mask": f"m{number}.png", "split": "train", "subset": "own",
            "modality": "ultrasound", "anatomy": "breast", "disease": "tumor", "target": "tumor",
        })  # fmt: skip
    (raw / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = write_source(tmp_path / "own.yaml", layout="manifest")
    done = run(source, raw, tmp_path / "out")
    (row,) = done.rows
    assert done.left_out == {} and load_row(row)[1].sum() == 200


@pytest.mark.parametrize("which", ["slice", "outline"])
def test_a_dicom_folder_with_a_link_out_of_the_root_is_left_out(tmp_path: Path, which: str) -> None:
    from dicom_outlines import write_seg

    labels = np.zeros((32, 32, 6), np.uint8)
    labels[10:20, 10:20, 2] = 1
    voxels = np.random.default_rng(0).normal(60, 20, labels.shape).astype(np.int16)
    geometry = VolumeGeometry(voxels.shape, np.diag([-1.5, -1.5, 3.0, 1.0]))
    volume = Volume(voxels=voxels, geometry=geometry, modality="CT")
    for patient in ("one", "two"):
        folder = tmp_path / "raw" / patient
        uid = write_dicom_series(folder / "image", volume, modality="CT", description=patient, seed=1)
        write_seg(folder / "outline.dcm", labels == 1, geometry, name="GTV", series_uid=uid)
    linked = min((folder / "image").iterdir()) if which == "slice" else folder / "outline.dcm"
    outside = linked.rename(tmp_path / "outside.dcm")
    linked.symlink_to(outside)
    source = write_source(
        tmp_path / "dcm.yaml", layout="dicom", modality="CT", labels=[{"value": "gtv", "target": "tumor"}],
        slices={"negatives": 0},
    )  # fmt: skip
    done = run(source, tmp_path / "raw", tmp_path / "out")
    assert len(done.rows) == 1 and done.left_out == {"file outside the root": 1}
    (item,) = lines(tmp_path / "out/imported/left_out.jsonl")
    assert item["what"] == "two"
