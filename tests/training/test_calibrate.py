"""Confidences of published weights are scaled by a report about these very weights, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from coreseg_core.checkpoint import WEIGHTS_NAME, read_manifest, save_weights, verify_folder
from coreseg_core.scaling import Scaling, read_scalings
from training.calibrate import main

SCALINGS = {"present": {"temperature": 0.6, "shift": 1.5}, "absent": {"temperature": 1.3, "shift": 0.4}}
TOGETHER = {"n": 610, "ece": {"mean": 0.04}, "aurc": 0.1, "failures": 116, "failures_caught": 0.3}


def published(tmp_path: Path) -> Path:
    save_weights(tmp_path / "weights", {"x": torch.ones(2)}, {"preset": "lite", "version": "v0"})
    return tmp_path / "weights"


def report_about(folder: Path, **changes: Any) -> dict[str, Any]:
    sha256 = read_manifest(folder)["files"][WEIGHTS_NAME]["sha256"]
    values = {"calibration": {"scaled": {"scalings": SCALINGS, "together": {**TOGETHER, "other": 1}}}}
    return {**values, "run": {"model": {"preset": "lite", "sha256": sha256}}, **changes}


def run(folder: Path, report: object, tmp_path: Path) -> int:
    path = tmp_path / "report.json"
    path.write_text(report if isinstance(report, str) else json.dumps(report))
    return main(["--weights", str(folder), "--report", str(path)])


def test_the_scalings_of_a_report_stand_in_the_manifest_and_the_tensors_stay(tmp_path: Path) -> None:
    folder = published(tmp_path)
    before = read_manifest(folder)
    assert run(folder, report_about(folder), tmp_path) == 0
    after = verify_folder(folder)
    assert after["files"] == before["files"]
    assert read_scalings(after)["absent"] == Scaling(temperature=1.3, shift=0.4)
    assert after["confidence"]["measured"] == TOGETHER


def test_a_table_of_several_columns_will_do(tmp_path: Path) -> None:
    folder = published(tmp_path)
    values = report_about(folder)
    table = {"model": values["run"]["model"], "reports": {"lite": values, "unet": {}}}
    assert run(folder, table, tmp_path) == 0
    assert read_scalings(read_manifest(folder))["present"].shift == 1.5


def test_what_cannot_be_used_is_refused_in_words_and_nothing_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = published(tmp_path)
    before = (folder / "manifest.json").read_bytes()
    unfitted = {"scalings": {**SCALINGS, "absent": {"temperature": 1.0, "shift": 0.0}}, "together": TOGETHER}
    for report, said in (
        ("{", "cannot be read"),
        ("[]", "no report"),
        ({}, "which weights"),
        (report_about(folder, run={"model": {"sha256": "f" * 64}}), "ffffffffffff"),
        (report_about(folder, calibration={"scaled": unfitted}), "too few answers"),
    ):
        assert run(folder, report, tmp_path) == 2
        assert said in capsys.readouterr().err
        assert (folder / "manifest.json").read_bytes() == before


def test_what_is_calibrated_is_not_calibrated_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = published(tmp_path)
    assert run(folder, report_about(folder), tmp_path) == 0
    assert run(folder, report_about(folder), tmp_path) == 2
    assert "calibrated already" in capsys.readouterr().err
