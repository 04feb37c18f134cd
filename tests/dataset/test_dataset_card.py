"""The card counts what is there, and copies hold what may be passed on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from raw_sets import FREE, LESIONS, lines

from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from training.dataset.card import CardPlan, write_card
from training.dataset.cli import main
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
