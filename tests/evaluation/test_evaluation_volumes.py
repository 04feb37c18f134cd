"""Whole volumes: lesions found by size, false parts, and slices by what they show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coreseg_core.cli import main
from coreseg_core.evaluation.volumes import VolumeScore, compare, outcomes_by_truth, volume_report
from coreseg_core.imaging import Volume, VolumeGeometry, write_label, write_volume
from coreseg_core.record import FindingRecord, Outcome, Scope, SliceFinding

SHAPE = (12, 10, 6)


def box(*corner_and_stop: int) -> np.ndarray:
    i0, j0, k0, i1, j1, k1 = corner_and_stop
    mask = np.zeros(SHAPE, dtype=bool)
    mask[i0:i1, j0:j1, k0:k1] = True
    return mask


def test_a_lesion_is_found_from_a_tenth_on_and_what_touches_none_is_false() -> None:
    large, small = box(0, 0, 0, 5, 4, 5), box(8, 6, 0, 10, 8, 1)
    touched = box(0, 0, 0, 1, 3, 3)
    lesions, false_parts = compare(touched | box(10, 0, 4, 12, 2, 6), large | small, voxel_ml=0.01)
    assert {(round(lesion.volume_ml, 2), lesion.found) for lesion in lesions} == {(1.0, False), (0.04, False)}
    assert false_parts == 1
    lesions, false_parts = compare(touched | box(0, 0, 0, 1, 4, 3), large | small, voxel_ml=0.01)
    assert [lesion.found for lesion in lesions if lesion.volume_ml > 0.5] == [True]
    assert false_parts == 0


@given(arrays(bool, SHAPE, elements=st.booleans()))
def test_an_answer_that_is_the_truth_finds_all_and_nothing_else(truth: np.ndarray) -> None:
    lesions, false_parts = compare(truth, truth, voxel_ml=1.0)
    assert all(lesion.found for lesion in lesions) and false_parts == 0
    assert sum(lesion.volume_ml for lesion in lesions) == truth.sum()
    missed, _ = compare(np.zeros_like(truth), truth, voxel_ml=1.0)
    assert not any(lesion.found for lesion in missed)
    _, all_false = compare(truth, np.zeros_like(truth), voxel_ml=1.0)
    assert all_false == len(lesions)


def test_slices_are_counted_by_what_they_show() -> None:
    told: tuple[Outcome, ...] = ("present", "absent", "absent", "uncertain", "absent", "present")
    blank = np.zeros((10, 12), dtype=bool)
    findings = tuple(SliceFinding(2, index, outcome, blank) for index, outcome in enumerate(told))
    made = FindingRecord("x", "y", "q", Scope(2, 0, 6), {}, "present", findings, (), "2026")
    assert outcomes_by_truth(made, box(0, 0, 0, 2, 2, 2)) == {
        "lesion": {"present": 1, "absent": 1},
        "none": {"present": 1, "absent": 2, "uncertain": 1},
    }


def test_a_report_puts_sizes_together() -> None:
    lesions, false_parts = compare(
        box(0, 0, 0, 5, 4, 5), box(0, 0, 0, 5, 4, 5) | box(8, 6, 0, 9, 7, 1), voxel_ml=0.1
    )
    score = VolumeScore(
        id="a", subset="s", modality="CT", query="q", dice=0.5, iou=0.4, lesions=lesions,
        false_parts=false_parts, outcomes={"lesion": {"present": 2}, "none": {}}, slices=6,
    )  # fmt: skip
    report = volume_report([score, score])
    assert report["sensitivity"] == {
        "under 0.5 mL": {"lesions": 2, "found": 0},
        "0.5 to 5 mL": {"lesions": 0, "found": 0},
        "5 mL and more": {"lesions": 2, "found": 2},
    }
    assert (report["mean_dice"], report["slices"]["lesion"]) == (0.5, {"present": 4})


def test_the_command_scores_a_manifest_of_volumes_and_refuses_slices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = VolumeGeometry((20, 18, 3), np.diag([-2.0, -2.0, 5.0, 1.0]))
    voxels = np.random.default_rng(0).normal(100, 10, grid.shape_ijk).astype(np.float32)
    write_volume(tmp_path / "a.nii.gz", Volume(voxels, grid, "MR"))
    write_label(tmp_path / "mask.nii.gz", (voxels > 120).astype(np.uint8), grid)
    row = {
        "id": "a", "split": "val", "subset": "made", "image": "a.nii.gz", "mask": "mask.nii.gz",
        "modality": "MRI", "anatomy": "brain", "disease": "brain tumor", "target": "brain tumor",
    }  # fmt: skip
    manifest = tmp_path / "volumes.jsonl"
    manifest.write_text(json.dumps(row) + "\n")
    words = [str(manifest), "--reasoning", "none", "--found", str(tmp_path / "found")]
    assert main(["evaluate-volumes", *words, "--out", str(tmp_path / "report.json")]) == 0
    assert "Dice 3D" in capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_bytes())
    (volume,) = report["volumes"]
    assert volume["slices"] == 3 and volume["lesions"] > 0
    assert sum(sum(counts.values()) for counts in report["slices"].values()) == 3
    assert len(list((tmp_path / "found").glob("*.jsonl"))) == 1
    manifest.write_text(json.dumps({**row, "slice": {"axis": "k", "index": 1}}) + "\n")
    assert main(["evaluate-volumes", *words]) == 2
    assert "slice" in capsys.readouterr().err
