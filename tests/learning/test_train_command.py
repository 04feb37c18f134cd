"""`coreseg train` learns from corrections as the server does, and says what came of it or why nothing did."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from tiny_runs import make_place, order_in, tools, versions_told, write_corrections, write_rows

from coreseg_core.errors import InputError
from coreseg_core.runs import RunFolder, runs_in
from training.cli import train_command
from training.tuning import course, ordering


def train(*words: str) -> int:
    """Return the exit code of `coreseg train`."""
    parser = argparse.ArgumentParser()
    train_command(parser.add_subparsers())
    arguments = parser.parse_args(["train", *words])
    return int(arguments.run(arguments))


def test_corrections_need_a_place_for_versions(tmp_path: Path) -> None:
    manifest = write_rows(tmp_path, patients=2)
    with pytest.raises(InputError, match="--versions"):
        train("--corrections", str(manifest))


def test_corrections_are_copied_into_a_run_and_what_it_came_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = make_place(tmp_path)
    monkeypatch.setattr(ordering, "perform", lambda run: course.perform(run, tools(place / "runs")))
    manifest = write_rows(tmp_path / "corrections", patients=10)
    options = ["--versions", str(place / "versions"), "--weights", str(place / "parent")]
    replay = write_rows(tmp_path / "known", patients=8)
    options += ["--guard", str(place / "base" / "manifest.jsonl"), "--replay", str(replay), "--device", "cpu"]
    assert train("--corrections", str(manifest), *options) == 0
    (run,) = runs_in(place / "runs")
    assert f"Version {run.state.version} answers now." in capsys.readouterr().out
    assert len(list((run.path / "corrections" / "images").iterdir())) == 10
    (manifest,) = versions_told(place)
    assert manifest["recipe"]["replay"] == "base data"
    assert 0 < manifest["recipe"]["replay_pictures"] <= 8


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
    assert train("--run", str(run.path)) == 0
    assert "waits: Dice on the guard went from" in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no readable order"):
        train("--run", str(tmp_path))
