"""A server starts one training at a time, follows it, stops it, and finds it again after its own death."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_runs import ENVIRONMENT, make_place, order_in, write_corrections

from coreseg_core.errors import AlreadyRunningError, CoreSegError, InputError, ModelError
from coreseg_core.runs import RunFolder
from lib.learning.tasks import stats_of, task_of
from lib.learning.trainings import LOOK_S, MAX_ATTEMPTS, Trainings
from lib.learning.wishes import OPTIONS, read_wish

PATIENCE_S = 240.0
_PERFORMED = """
import sys, time
from pathlib import Path
from coreseg_core.errors import Cancelled
from coreseg_core.runs import RunFolder, now
run = RunFolder(Path(sys.argv[1]))
with run.performing():
    run.change(state="running", stage="learn", steps=50, attempt=run.state.attempt + 1)
    for step in range(1, 51):
        run.change(step=step, loss=1.0 / step, dice=0.25, eta_s=float(50 - step))
        run.tell("progress", {"stage": "learn", "done": step, "total": 50})
        time.sleep(0.1)
        if run.stopping:
            run.fail(Cancelled("It was stopped.", remedy="Go on."), state="stopped")
            sys.exit(0)
        if step == 3 and "--die" in sys.argv:
            sys.exit(9)
        if step == 5 and "--quick" in sys.argv:
            break
    run.change(state="done", stage="ended", ended=now(), version="v", promoted=True)
    run.tell("done", {"version": "v"})
"""


def performer(*options: str):  # type: ignore[no-untyped-def]
    def command(run: RunFolder) -> Sequence[str]:
        path = f"PYTHONPATH={ENVIRONMENT['PYTHONPATH']}"
        return ["env", path, sys.executable, "-c", _PERFORMED, str(run.path), *options]

    return command


def wait(run: RunFolder, *states: str) -> RunFolder:
    deadline = time.monotonic() + PATIENCE_S
    while run.state.state not in states:
        assert time.monotonic() < deadline, run.state
        time.sleep(0.05)
    return run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_place(tmp_path)


def test_a_training_is_followed_and_its_events_keep_their_numbers(place: Path) -> None:
    trainings = Trainings(place / "runs", command=performer("--quick"))
    run = wait(trainings.start(order_in(place), write_corrections), "done")
    deadline = time.monotonic() + PATIENCE_S
    while not trainings.events(run).closed:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    events, closed = trainings.events(run).after(0)
    assert closed
    assert [event.name for event in events] == ["progress"] * 5 + ["done"]
    # Another server, later: the same numbers.
    assert Trainings(place / "runs").events(run).after(4)[0] == events[4:]


def test_a_second_request_is_told_what_runs_and_a_stop_ends_it(place: Path) -> None:
    trainings = Trainings(place / "runs", command=performer())
    run = wait(trainings.start(order_in(place), write_corrections), "running")
    with pytest.raises(AlreadyRunningError, match=f"{run.id} runs: learn, step"):
        trainings.start(order_in(place), write_corrections)
    assert [found.id for found in trainings.all()] == [run.id]
    assert trainings.stop() is not None
    wait(run, "stopped")
    assert trainings.stop() is None
    stats = stats_of(run)
    assert stats["total_epochs"] == 50 and stats["epoch"] >= 1
    assert stats["best_metric"] == 0.25 and "total_time" in stats
    assert task_of(run)["status"] == "STOPPED"
    assert task_of(run)["details"]


def test_a_training_outlives_its_server_and_the_next_one_finds_it(place: Path) -> None:
    first = Trainings(place / "runs", command=performer())
    run = wait(first.start(order_in(place), write_corrections), "running")
    second = Trainings(place / "runs", command=performer())
    second.find_again()
    found = second.running()
    assert found is not None and found.id == run.id
    assert "total_time" not in stats_of(found)
    assert task_of(found)["status"] == "RUNNING"
    second.stop()
    wait(run, "stopped")


def test_a_training_whose_process_dies_is_let_go_on_and_then_given_up(place: Path) -> None:
    trainings = Trainings(place / "runs", command=performer("--die"))
    run = wait(trainings.start(order_in(place), write_corrections), "failed")
    assert run.state.attempt == MAX_ATTEMPTS
    assert "ended 3 times" in run.state.reason
    again = trainings.resume(run.id)
    assert again.state.state in ("waiting", "running")
    wait(again, "failed")


def left_running(place: Path) -> RunFolder:
    """Return a run that was begun elsewhere and whose process is gone."""
    run = RunFolder.make(place / "runs", "20260101T000000-sft-0000", order_in(place))
    write_corrections(run.corrections)
    run.open()
    run.change(state="running", stage="learn", attempt=1)
    return run


def test_a_training_that_nobody_is_at_work_on_can_be_stopped(place: Path) -> None:
    run = left_running(place)
    trainings = Trainings(place / "runs", command=performer("--quick"))
    trainings.stop()
    wait(run, "stopped")
    wait(trainings.start(order_in(place), write_corrections), "done")


def test_a_training_that_nobody_is_at_work_on_goes_on_when_it_bars_the_way(place: Path) -> None:
    run = left_running(place)
    trainings = Trainings(place / "runs", command=performer("--quick"))
    for begin in (
        lambda: trainings.start(order_in(place), write_corrections),
        lambda: trainings.resume(run.id),
    ):
        with pytest.raises(AlreadyRunningError, match=f"{run.id} runs"):
            begin()
    wait(run, "done")


def test_a_training_whose_process_cannot_be_started_has_failed_and_bars_no_other(place: Path) -> None:
    trainings = Trainings(place / "runs", command=lambda run: [str(place / "no-such-program")])
    with pytest.raises(ModelError, match="could not be started \\(No such file"):
        trainings.start(order_in(place), write_corrections)
    (run,) = trainings.all()
    assert run.state.state == "failed" and "could not be started" in run.state.reason
    again = Trainings(place / "runs", command=performer("--quick"))
    wait(again.start(order_in(place), write_corrections), "done")
    wait(again.resume(run.id), "done")


def test_a_training_is_followed_on_once_the_disk_lets_it(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = left_running(place)
    events = run.path / "events.jsonl"
    events.mkdir()
    trainings = Trainings(place / "runs", command=performer("--quick"))
    trainings.stop()
    time.sleep(4 * LOOK_S)
    assert run.state.state == "running"
    assert [record.message for record in caplog.records] == [
        "A training cannot be followed for now: Is a directory."
    ]
    events.rmdir()
    wait(run, "stopped")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_training_whose_follower_died_can_be_stopped(place: Path) -> None:
    run = left_running(place)
    asked = threading.Event()

    def unable(_: RunFolder) -> Sequence[str]:
        asked.set()
        raise RuntimeError

    trainings = Trainings(place / "runs", command=unable)
    trainings.find_again()
    assert asked.wait(PATIENCE_S)
    time.sleep(LOOK_S)
    assert trainings.stop() is not None
    wait(run, "stopped")


def test_nothing_is_left_of_a_training_with_nothing_to_learn_from(place: Path) -> None:
    trainings = Trainings(place / "runs", command=performer())

    def nothing(_: Path) -> None:
        raise InputError("There is nothing to learn from.")

    with pytest.raises(InputError):
        trainings.start(order_in(place), nothing)
    assert trainings.all() == []
    assert {path.name for path in (place / "runs").iterdir()} <= {"templates", ".beginning"}


def test_wishes_are_read_with_their_defaults_and_what_stock_clients_send() -> None:
    stock = {
        "minutes": OPTIONS["minutes"],
        "promote": list(OPTIONS["promote"]),
        "client_id": "x",
        "gpus": "all",
    }
    assert read_wish(stock) == read_wish({})
    assert not read_wish({"promote": "never"}).promote


@pytest.mark.parametrize(
    "params",
    [
        {"minutes": "ten"},
        {"minutes": -1},
        {"minutes": float("nan")},
        {"minutes": True},
        {"replay_share": 1.0},
        {"processes": 0},
        {"promote": "always"},
        {"steps": 0},
        {"resume": 3},
        {"seed": 2**40},
    ],
)
def test_a_wish_that_cannot_be_used_is_refused(params: dict[str, object]) -> None:
    with pytest.raises(CoreSegError):
        read_wish(params)
