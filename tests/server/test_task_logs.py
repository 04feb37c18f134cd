"""MONAI Label's task processes, as the server starts them: what they did is told, about whom is not."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monailabel.utils.async_tasks import utils

from coreseg_core.imaging import VolumeGeometry, write_label
from lib.quiet import keep_names_out_of_logs, keep_results_out_of_logs
from lib.store import SafeStore

IMAGE = "Doe_Jane"
GRID = VolumeGeometry((4, 4, 3), np.eye(4))
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that the next task process works on: one image that is whole, labelled twice, one that is not."""
    folder = tmp_path / "studies"
    folder.mkdir()
    whole = folder / f"{IMAGE}_2.nii.gz"
    write_label(whole, np.ones(GRID.shape_ijk, np.uint8), GRID)
    (folder / f"{IMAGE}.nii.gz").write_bytes(whole.read_bytes()[:60])
    store = SafeStore(str(folder), extensions=["*.nii.gz"], auto_reload=False)
    for tag in ("original", "final"):
        store.save_label(whole.name.partition(".")[0], str(whole), tag, {})
    for name, value in {
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]),
        "MONAI_LABEL_APP_DIR": str(REPOSITORY / "apps" / "coreseg"),
        "MONAI_LABEL_STUDIES": str(folder),
        "MONAI_LABEL_APP_CONF": json.dumps(
            {"device": "cpu", "versions": str(tmp_path), "runs": str(tmp_path)}
        ),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("background_tasks", "background_processes", "background_executors"):
        monkeypatch.setattr(utils, name, {})
    return folder


def run_task(method: str, request: dict[str, Any]) -> str:
    """Return what the server shows of a task that has ended."""
    task = utils.run_background_task(request, method, debug=True)
    assert task["status"] == "DONE", task["details"]
    return "\n".join(task["details"])


@pytest.mark.timeout(300)
def test_a_batch_names_no_image_in_the_log_nor_in_what_the_server_shows_of_it(
    studies: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep_names_out_of_logs()
    request = {"model": "coreseg", "images": [IMAGE], "query": "liver tumor"}
    with caplog.at_level(logging.INFO):
        shown = run_task("batch_infer", request)
    assert "1 of 1: bad_input" in shown and "1 of 1: bad_input" in caplog.text
    (report,) = studies.rglob("report.json")
    assert IMAGE in report.read_text()
    assert IMAGE not in shown + caplog.text and "Result" not in shown + caplog.text


@pytest.mark.timeout(300)
def test_a_scoring_names_no_image_either(studies: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep_names_out_of_logs()
    with caplog.at_level(logging.INFO):
        shown = run_task("scoring", {"method": "dice"})
    store = SafeStore(str(studies), extensions=["*.nii.gz"], auto_reload=False)
    assert store.get_image_info(f"{IMAGE}_2")["dice"] == 1.0
    assert "task_scoring" in caplog.text
    assert IMAGE not in shown + caplog.text and "Result" not in shown + caplog.text


@pytest.mark.parametrize("task", ["task_batch_infer", "task_scoring"])
def test_a_result_is_left_out_though_the_process_tells_it(
    task: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        keep_names_out_of_logs()
    with caplog.at_level(logging.INFO):
        logging.getLogger(task).info(
            f"[2026] [7] [MainThread] [INFO] (__main__:60) - Result: {json.dumps({IMAGE: 1})}"
        )
        logging.getLogger(task).info("1 of 1: present")
    assert caplog.messages == ["1 of 1: present"]
    assert len(logging.getLogger(task).filters) == 1


def test_a_task_process_writes_no_result(caplog: pytest.LogCaptureFixture) -> None:
    from monailabel.interfaces.utils.app import save_result

    keep_results_out_of_logs()
    with caplog.at_level(logging.INFO):
        save_result({IMAGE: {"liver tumor": {"outcome": "present"}}}, None)
    assert not caplog.messages
