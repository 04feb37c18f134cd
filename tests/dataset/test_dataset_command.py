"""`coreseg dataset` is a command of the program, answers at once, and says what is wrong in two lines."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from raw_sets import FOLDERS, folder_set, write_source

from coreseg_core.cli.extensions import Subparsers
from training.dataset.cli import dataset_command, main

REPOSITORY = Path(__file__).resolve().parents[2]


def test_it_is_a_command_of_the_program() -> None:
    parser = argparse.ArgumentParser()
    subparsers: Subparsers = parser.add_subparsers()
    dataset_command(subparsers)
    chosen = parser.parse_args(["dataset", "filter", "a.jsonl", "--out", "b.jsonl"])
    assert callable(chosen.run) and chosen.folds == 5
    assert "dataset = training.dataset.cli:dataset_command" in (REPOSITORY / "setup.cfg").read_text()


def test_its_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom training.dataset.cli import main\n"
        "try:\n    main(['import', '--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(', '.join(m for m in ('torch', 'openai', 'powerlaw', 'SimpleITK') if m in sys.modules) or 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_an_import_runs_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_set(tmp_path / "raw", 4)
    write_source(tmp_path / "us.yaml", **FOLDERS)
    words = [
        "import",
        "--source",
        f"{tmp_path / 'us.yaml'}={tmp_path / 'raw'}",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 0
    assert "4 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "--source", "busi", "--out", "x"], "lacks its folder"),
        (["import", "--source", "nonesuch=.", "--out", "x"], "No source is called"),
        (["import", "--source", "busi=/nonexistent", "--out", "x"], "is not there"),
        (["import", "--source", "busi=.", "--out", "x", "--test", "2"], "are shares"),
        (["filter", "none.jsonl", "--out", "f.jsonl", "--folds", "1"], "at least 2 folds"),
        (["filter", "none.jsonl", "--out", "f.jsonl"], "cannot be read"),
        (["reason", "none.jsonl", "--out", "f.jsonl", "--writer", "server"], "name of a model"),
        (
            ["reason", "none.jsonl", "--out", "f.jsonl", "--writer", "server", "--model", "m"],
            "would leave it",
        ),
        (["card", "none.jsonl", "--out", "c"], "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_with_a_remedy(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert main(words) == 2
    text = capsys.readouterr().err
    assert said in text and "What to do:" in text
