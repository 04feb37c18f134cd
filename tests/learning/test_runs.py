"""A run is a folder that any process may read, and that tells the truth however its own process ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coreseg_core.errors import AlreadyRunningError, CoreSegError, InputError, NotFoundError
from coreseg_core.runs import Order, RunFolder, find_run, runs_in


def order(folder: Path, **values: object) -> Order:
    return Order(
        recipe="sft",
        preset="lite",
        parent="v0",
        parent_folder=str(folder),
        versions_dir=str(folder),
        **values,
    )  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder.make(tmp_path / "runs", "one", order(tmp_path, steps=7))
    made.open()
    return made


def test_an_order_is_read_as_it_was_written(run: RunFolder, tmp_path: Path) -> None:
    assert run.order == order(tmp_path, steps=7)
    assert find_run(tmp_path / "runs", "one").order == run.order


def test_a_run_that_is_being_made_is_none(tmp_path: Path) -> None:
    made = RunFolder.make(tmp_path, "one", order(tmp_path))
    assert runs_in(tmp_path) == []
    with pytest.raises(NotFoundError):
        find_run(tmp_path, "one")
    with pytest.raises(AlreadyRunningError):
        RunFolder.make(tmp_path, "one", order(tmp_path))
    made.open()
    assert [found.id for found in runs_in(tmp_path)] == ["one"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": "x"}', b'{"schema": "coreseg.order/1"}'])
def test_an_order_that_cannot_be_read_is_an_error(run: RunFolder, content: bytes) -> None:
    (run.path / "order.json").write_bytes(content)
    with pytest.raises(InputError, match="no readable order"):
        _ = run.order


def test_a_state_that_cannot_be_read_is_no_run_that_goes_on(run: RunFolder) -> None:
    (run.path / "state.json").write_bytes(b"{")
    assert run.state.state == "failed"


def test_events_keep_their_numbers_and_a_torn_line_is_passed_over(run: RunFolder) -> None:
    run.tell("progress", {"step": 1})
    with (run.path / "events.jsonl").open("ab") as stream:
        stream.write(b'{"name": "progress", "da')
    assert [number for number, _, _ in run.events()] == [1]
    run.tell("progress", {"step": 2})
    assert [(number, data["step"]) for number, _, data in run.events()] == [(1, 1), (3, 2)]
    assert [number for number, _, _ in run.events(after=1)] == [3]


def test_a_failure_is_noted_and_told_with_its_remedy(run: RunFolder) -> None:
    run.fail(CoreSegError("It broke.", remedy="Mend it."))
    assert (run.state.state, run.state.reason, run.state.remedy) == ("failed", "It broke.", "Mend it.")
    ((_, name, data),) = run.events()
    assert (name, data["remedy"]) == ("error", "Mend it.")
    assert json.loads((run.path / "state.json").read_bytes())["schema"] == "coreseg.run/1"


def test_opening_a_run_again_takes_back_its_end_and_keeps_what_it_learned(run: RunFolder) -> None:
    run.change(learned_s=12.0, steps=7)
    run.ask_to_stop()
    run.fail(CoreSegError("It broke."), state="stopped")
    run.open()
    assert (run.state.state, run.state.learned_s, run.state.reason) == ("waiting", 12.0, "")
    assert not run.stopping
    assert list(run.events()) == []


_HOLDER = """
import sys, time
from pathlib import Path
from coreseg_core.runs import RunFolder
with RunFolder(Path(sys.argv[1])).performing():
    print("mine", flush=True)
    time.sleep(60)
"""


def test_a_run_is_performed_for_as_long_as_its_process_lives_and_no_longer(run: RunFolder) -> None:
    assert not run.performed
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(run.path)], stdout=subprocess.PIPE, env=environment
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"mine\n"
    assert run.performed
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not run.performed
    with run.performing():
        assert run.performed
