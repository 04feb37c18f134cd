"""The card counts what is there, and copies hold what may be passed on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from raw_sets import FREE, LESIONS, lines, speckle, square, tree_digest, write_picture

from coreseg_core.errors import InputError
from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from training.dataset.card import CardPlan, write_card
from training.dataset.cli import main
from training.dataset.exports import ExportName
from training.dataset.reasoning import ReasonPlan, reason
from training.dataset.writers import OfflineWriter


@pytest.fixture
def reasoned(imported: Path) -> Path:
    out = imported.with_name("reasoned.jsonl")
    reason(imported, out, OfflineWriter(), plan=ReasonPlan(), server=None, progress=lambda *_: None)
    rows = read_manifest(out)
    changed = [replace(rows[0], redistributable="nc", licence="CC BY-NC 4.0", split="test"), *rows[1:]]
    write_manifest(out, changed)
    return out


def test_every_row_is_counted_by_modality_anatomy_disease_and_split(reasoned: Path) -> None:
    out = reasoned.with_name("card")
    done = write_card(reasoned, out, plan=CardPlan(), progress=lambda *_: None)
    report = json.loads((out / "report.json").read_text())
    assert done.rows == report["rows"] == LESIONS + FREE
    assert report["lesion_free"] == FREE and report["with_reasoning"] == LESIONS + FREE
    for name in ("modality", "anatomy", "disease", "licence"):
        assert sum(sum(found.values()) for found in report[f"by_{name}"].values()) == LESIONS + FREE
    assert report["by_disease"]["none"] and len(list((out / "pictures").glob("*.png"))) == LESIONS + FREE
    text = (out / "report.md").read_text()
    assert "CC BY-NC 4.0" in text and "not a medical device" in text


def test_tuples_hold_what_the_paper_names_and_only_what_may_be_passed_on(reasoned: Path) -> None:
    out = reasoned.with_name("card")
    done = write_card(reasoned, out, plan=CardPlan(exports=("tuples",)), progress=lambda *_: None)
    tuples = lines(out / "tuples/tuples.jsonl")
    assert len(tuples) == done.exported["tuples"] == LESIONS + FREE - 1 and done.held_back == 1
    for item in tuples:
        picture = np.asarray(Image.open(out / "tuples" / item["image"]))
        mask = np.asarray(Image.open(out / "tuples" / item["mask"]))
        assert picture.shape[:2] == mask.shape[:2]
        assert bool(mask.any()) == (item["disease"] != "none")
        assert item["query"] and item["reasoning"] and item["answer"]
    every = write_card(
        reasoned, out, plan=CardPlan(exports=("tuples",), all_licences=True), progress=lambda *_: None
    )
    assert every.exported["tuples"] == LESIONS + FREE


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("export", ["tuples", "huggingface"])
def test_nothing_of_an_earlier_copy_stays(reasoned: Path, export: ExportName) -> None:
    out = reasoned.with_name("card")

    def exported(**plan: bool) -> set[str]:
        write_card(reasoned, out, plan=CardPlan(exports=(export,), **plan), progress=lambda *_: None)
        return files_of(out / export)

    fewer = exported()
    every = exported(all_licences=True)
    assert len(every) >= len(fewer) + 2
    # The one row that may not be passed on is the only one of its split: picture and mask go with it.
    assert exported() == fewer
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_when_nothing_may_be_passed_on_no_picture_is_left(reasoned: Path) -> None:
    out = reasoned.with_name("card")
    write_manifest(reasoned, [replace(row, redistributable="nc") for row in read_manifest(reasoned)])
    for all_licences in (True, False):
        plan = CardPlan(exports=("tuples",), all_licences=all_licences)
        done = write_card(reasoned, out, plan=plan, progress=lambda *_: None)
    assert done.held_back == LESIONS + FREE and files_of(out / "tuples") == {"tuples.jsonl"}


def test_a_copy_holds_the_masks_as_they_are_now(reasoned: Path) -> None:
    out, row = reasoned.with_name("card"), read_manifest(reasoned)[1]
    assert row.mask_path is not None
    for mask in (square(3, 3), square(20, 20, 6)):
        write_picture(row.mask_path, mask)
        write_card(reasoned, out, plan=CardPlan(exports=("tuples",)), progress=lambda *_: None)
        (item,) = [item for item in lines(out / "tuples/tuples.jsonl") if item["id"] == row.id]
        assert np.array_equal(np.asarray(Image.open(out / "tuples" / item["mask"])), mask)


def test_files_of_one_name_in_two_folders_are_both_copied_and_their_names_do_not_show(reasoned: Path) -> None:
    rows = read_manifest(reasoned)[:2]
    for number, folder in enumerate(("Jane_Roe", "John_Doe")):
        write_picture(reasoned.parent / f"{folder}/scan.Doe.PNG", speckle(50 + number))
        write_picture(reasoned.parent / f"{folder}/outline.png", square(5 + number, 5))
    named = [
        replace(row, redistributable="yes", image=f"{folder}/scan.Doe.PNG", mask=f"{folder}/outline.png")
        for row, folder in zip(rows, ("Jane_Roe", "John_Doe"), strict=True)
    ]
    write_manifest(reasoned, named)
    out = reasoned.with_name("card")
    write_card(reasoned, out, plan=CardPlan(exports=("tuples",)), progress=lambda *_: None)
    for number, item in enumerate(lines(out / "tuples/tuples.jsonl")):
        assert np.array_equal(np.asarray(Image.open(out / "tuples" / item["image"])), speckle(50 + number))
        assert np.array_equal(np.asarray(Image.open(out / "tuples" / item["mask"])), square(5 + number, 5))
        assert not [word for word in ("doe", "roe", "scan", "outline") if word in str(item).lower()]
    assert len(files_of(out / "tuples")) == 5


def test_a_copy_that_fails_leaves_the_earlier_one_as_it_was(reasoned: Path) -> None:
    out = reasoned.with_name("card")
    plan = CardPlan(exports=("tuples",))
    write_card(reasoned, out, plan=plan, progress=lambda *_: None)
    before = tree_digest(out / "tuples")

    def stop(done: int, _: int | None) -> None:
        if done == LESIONS + FREE + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_card(reasoned, out, plan=plan, progress=stop)
    assert tree_digest(out / "tuples") == before
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("export", ["tuples", "huggingface"])
def test_a_folder_with_other_things_in_it_is_not_replaced(reasoned: Path, export: ExportName) -> None:
    out = reasoned.with_name("card")
    (out / export).mkdir(parents=True)
    (out / export / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="none of a copy's") as refused:
        write_card(reasoned, out, plan=CardPlan(exports=(export,)), progress=lambda *_: None)
    assert "another --out" in refused.value.remedy
    assert files_of(out / export) == {"thesis.txt"}


def test_a_hugging_face_folder_has_a_head_and_metadata_for_each_split(reasoned: Path) -> None:
    out = reasoned.with_name("card")
    words = ["card", str(reasoned), "--out", str(out), "--export", "huggingface", "--all-licences"]
    assert main(words) == 0
    folder = out / "huggingface"
    head = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    splits = {entry["split"] for entry in head["configs"][0]["data_files"]}
    assert "test" in splits
    found = 0
    for split in splits:
        for item in lines(folder / "data" / split / "metadata.jsonl"):
            assert (folder / "data" / split / item["file_name"]).exists()
            assert (folder / "data" / split / item["mask_file_name"]).exists()
            found += 1
    assert found == LESIONS + FREE
