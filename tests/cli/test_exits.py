"""A program that does not come to its end says why in words, and its exit code says it to a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coreseg_core.cli.exits import BAD_REQUEST, DONE, INTERRUPTED, exit_code
from coreseg_core.errors import InputError


def _raising(error: BaseException) -> int:
    raise error


def test_an_expected_failure_is_said_with_its_remedy_and_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert (
        exit_code(_raising)(InputError("No such slice: 30 of 12.", remedy="Choose 0 to 11.")) == BAD_REQUEST
    )
    told = capsys.readouterr()
    assert told.err == "coreseg: No such slice: 30 of 12.\n  What to do: Choose 0 to 11.\n" and not told.out


def test_ctrl_c_is_no_failure_and_what_was_done_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(_raising, stopped="Half is kept.")(KeyboardInterrupt()) == INTERRUPTED
    assert capsys.readouterr().err == "\nHalf is kept.\n"


def test_what_was_not_expected_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code(_raising)(ZeroDivisionError())


@pytest.mark.parametrize(("returned", "code"), [(None, DONE), (0, DONE), (1, 1)])
def test_what_a_program_returns_is_its_exit_code(returned: int | None, code: int) -> None:
    assert exit_code(lambda: returned)() == code


def test_a_trainer_that_cannot_begin_says_so_in_words(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.sft", "--config", str(tmp_path / "missing.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == BAD_REQUEST
    assert "Traceback" not in ended.stderr and "What to do:" in ended.stderr
