"""`coreseg evaluate`: which questions the options choose, and the report they end in."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from coreseg_core.cli import main
from coreseg_core.cli.evaluate import chosen_asks
from coreseg_core.errors import InputError

ROWS = (
    {"id": "a", "split": "val", "subset": "brisc", "modality": "MRI T1 contrast", "disease": "glioma"},
    {"id": "b", "split": "val", "subset": "ms_flair", "modality": "MRI FLAIR", "disease": "none"},
    {"id": "c", "split": "train", "subset": "brisc", "modality": "MRI T1 contrast", "disease": "glioma"},
)


@pytest.fixture
def manifest(tmp_path: Path, head: Path) -> Path:
    """Three slices of one volume; what is outlined is its brightest part."""
    import numpy as np

    from coreseg_core.imaging import read_volume, write_label

    volume = read_volume(head)
    (tmp_path / "head.nii.gz").write_bytes(head.read_bytes())
    write_label(tmp_path / "truth.nii.gz", (volume.voxels > 250).astype(np.uint8), volume.geometry)
    lines = []
    for number, values in enumerate(ROWS):
        where = {"image": "head.nii.gz", "slice": {"axis": "k", "index": number + 2}}
        mask = {} if values["disease"] == "none" else {"mask": "truth.nii.gz"}
        lines.append(json.dumps({**values, **where, **mask, "anatomy": "brain", "target": "tumor"}))
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def _chosen(manifest: Path, **changes: Any) -> argparse.Namespace:
    values: dict[str, Any] = {
        "manifest": manifest,
        "questions": None,
        "split": None,
        "subset": None,
        "limit": None,
        "no_negatives": False,
        "seed": 0,
    }
    return argparse.Namespace(**{**values, **changes})


def test_split_and_subset_choose_rows(manifest: Path) -> None:
    assert {ask.row.id for ask in chosen_asks(_chosen(manifest))} == {"a", "b", "c"}
    assert {ask.row.id for ask in chosen_asks(_chosen(manifest, split="val"))} == {"a", "b"}
    both = chosen_asks(_chosen(manifest, split="val", subset=["brisc"]))
    assert {ask.row.id for ask in both} == {"a"}


def test_limit_counts_pictures_not_questions(manifest: Path) -> None:
    asks = chosen_asks(_chosen(manifest, limit=2))
    assert len({ask.picture for ask in asks}) == 2
    assert len(asks) > 2


def test_no_negatives_leaves_the_targets_and_the_lesion_free_rows(manifest: Path) -> None:
    kinds = [ask.kind for ask in chosen_asks(_chosen(manifest, no_negatives=True))]
    assert sorted(kinds) == ["lesion_free", "present", "present"]


@pytest.mark.parametrize(
    "changes", [{"split": "test"}, {"subset": ["kvasir"]}, {"split": "train", "subset": ["ms_flair"]}]
)
def test_a_choice_that_leaves_nothing_is_refused(manifest: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        chosen_asks(_chosen(manifest, **changes))


def test_questions_of_another_file_are_asked_of_the_pictures_of_the_manifest_and_nothing_else(
    manifest: Path, tmp_path: Path
) -> None:
    row = json.loads(manifest.read_text().splitlines()[0])
    row |= {"query": "any tumour?", "probe": {"kind": "present", "wording": "handwritten"}}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "questions.jsonl").write_text(json.dumps(row) + "\n")
    asks = chosen_asks(_chosen(manifest, questions=elsewhere / "questions.jsonl"))
    assert [(ask.question, ask.wording) for ask in asks] == [("any tumour?", "handwritten")]
    assert asks[0].row.image_path.is_file()


def test_the_report_has_the_headline_at_the_top_and_what_it_rests_on(
    manifest: Path, random_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    words = ["evaluate", manifest, "--split", "val", "--weights", random_weights, "--out", out]
    words += ["--no-negatives", "--reasoning", "none"]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr()
    assert "| brisc" in said.out
    assert "2/2" in said.err
    report = json.loads(out.read_text())
    assert list(report)[1:5] == ["mdice", "miou", "failure_rate", "specificity"]
    assert report["questions"] == 2
    assert 0 <= report["mdice"] <= 1
    assert report["run"]["model"]["version"] == "random"
    assert report["run"]["word_list"] is False
    assert len(report["run"]["manifest_sha256"]) == 64


def test_the_manifest_is_never_replaced_by_the_report(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = manifest.rename(tmp_path / "manifest.json")
    content = renamed.read_bytes()
    assert main(["evaluate", str(renamed), "--out", str(renamed)]) == 2
    assert renamed.read_bytes() == content
    assert "input of this command" in capsys.readouterr().err
