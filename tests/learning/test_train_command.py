"""`coreseg train` learns from corrections as the server does, and says what came of it or why nothing did."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_runs import make_place, order_in, tools, write_corrections, write_rows

from coreseg_core.cli.program import main
from coreseg_core.runs import RunFolder, runs_in
from training.tuning import course, ordering


def test_corrections_need_a_place_for_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_rows(tmp_path, patients=2)
    assert main(["train", "--corrections", str(manifest)]) == 2
    assert "--versions" in capsys.readouterr().err


def test_corrections_are_copied_into_a_run_and_what_it_came_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = make_place(tmp_path)
    monkeypatch.setattr(ordering, "perform", lambda run: course.perform(run, tools(place / "runs")))
    manifest = write_rows(tmp_path / "corrections", patients=10)
    options = ["--versions", str(place / "versions"), "--weights", str(place / "parent")]
    options += ["--guard", str(place / "base" / "manifest.jsonl"), "--device", "cpu"]
    assert main(["train", "--corrections", str(manifest), *options]) == 0
    (run,) = runs_in(place / "runs")
    assert f"Version {run.state.version} answers now." in capsys.readouterr().out
    assert len(list((run.path / "corrections" / "images").iterdir())) == 10


def test_a_run_that_was_stopped_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = make_place(tmp_path, added=0.3)
    monkeypatch.setattr(ordering, "perform", lambda run: course.perform(run, tools(place / "runs")))
    run = RunFolder.make(place / "runs", "one", order_in(place))
    write_corrections(run.corrections)
    run.open()
    run.ask_to_stop()
    course.perform(run, tools(place / "runs"))
    assert run.state.state == "stopped"
    assert main(["train", "--run", str(run.path)]) == 0
    assert "waits: Dice on the guard went from" in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--run", str(tmp_path)]) == 2
    assert "no readable order" in capsys.readouterr().err
