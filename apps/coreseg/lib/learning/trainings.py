"""The training runs of a server: started one at a time, followed, stopped, and found again whoever died meanwhile."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from coreseg_core.errors import AlreadyRunningError, Cancelled, InputError, ModelError
from coreseg_core.runs import ENDED, Order, RunFolder, find_run, runs_in
from lib.jobs.events import EventLog

MAX_ATTEMPTS = 3
"""Processes that one run may use up; killed more often, it has failed."""
KEEP_RUNS = 20
LOOK_S = 0.5

_log = logging.getLogger(__name__)
Command = Callable[[RunFolder], Sequence[str]]


def training_command(run: RunFolder) -> Sequence[str]:
    """Return the command that performs a run in a process of its own."""
    return [sys.executable, "-m", "training.tuning", str(run.path)]


class Trainings:
    """Starts and follows runs.

    A run's process is a session of its own and writes to files alone, so it outlives the server. Whether one is at work
    is told by the lock of its folder, which goes with the process, however that ends.

    Args:
        runs_dir: Where runs lie.
        command: Performs one.
    """

    def __init__(self, runs_dir: Path, *, command: Command = training_command) -> None:
        self.runs_dir = runs_dir
        self._command = command
        self._lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._launches: Counter[str] = Counter()
        self._followed: dict[str, _Followed] = {}

    def all(self) -> list[RunFolder]:
        """Return all runs, the oldest first."""
        return runs_in(self.runs_dir)

    def find(self, name: str) -> RunFolder:
        """Return the run of a name.

        Raises:
            NotFoundError: There is none.
        """
        return find_run(self.runs_dir, name)

    def running(self) -> RunFolder | None:
        """Return the run that has not ended, if there is one."""
        return next((run for run in reversed(self.all()) if run.state.state not in ENDED), None)

    def start(self, order: Order, write_corrections: Callable[[Path], object]) -> RunFolder:
        """Return a run that has begun.

        Args:
            order: What it is to do.
            write_corrections: Writes the manifest of what is learned from.

        Raises:
            AlreadyRunningError: Another one has not ended.
            ModelError: Its process cannot be started; the run has failed then.
            CoreSegError: From `write_corrections`; nothing is left of the run then.
        """
        with self._alone():
            for old in self.all()[: -KEEP_RUNS + 1]:
                shutil.rmtree(old.path, ignore_errors=True)
            name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{order.recipe}-{os.urandom(2).hex()}"
            run = RunFolder.make(self.runs_dir, name, order)
            try:
                write_corrections(run.corrections)
            except BaseException:
                shutil.rmtree(run.path, ignore_errors=True)
                raise
            self._begin(run)
        return run

    def resume(self, name: str) -> RunFolder:
        """Return a run that was stopped, or has failed, and goes on from its last checkpoint.

        Raises:
            NotFoundError: There is none of this name.
            InputError: It is done.
            AlreadyRunningError: Another one has not ended.
            ModelError: Its process cannot be started; the run has failed then.
        """
        run = self.find(name)
        with self._alone():
            if run.state.state == "done":
                raise InputError("That training is done.", remedy="Start another one.")
            self._begin(run)
        return run

    def stop(self) -> RunFolder | None:
        """Return the run that was asked to stop, None where none runs; its last whole checkpoint stays."""
        run = self.running()
        if run is not None:
            run.ask_to_stop()
            # Nobody may be at work on it: then whoever follows it ends it.
            self._follow(run)
        return run

    def find_again(self) -> None:
        """Follow what still runs, and let go on what was killed: at the start of a server."""
        for run in self.all():
            if run.state.state not in ENDED:
                self._follow(run)

    def events(self, run: RunFolder) -> EventLog:
        """Return what a run said; its events have the same numbers whenever and by whomever they are read."""
        with self._lock:
            followed = self._followed.setdefault(run.id, _Followed(run))
        if run.state.state in ENDED:
            followed.read()
        else:
            self._follow(run)
        return followed.log

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the right to begin a run."""
        self.runs_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(self.runs_dir / ".beginning"):
            run = self.running()
            if run is not None:
                # One that was begun elsewhere and killed there goes on, or comes to its end.
                self._follow(run)
                state = run.state
                raise AlreadyRunningError(
                    f"The training {run.id} runs: {state.stage}, step {state.step} of {state.steps or '?'}.",
                    remedy="Wait for its end, or stop it with DELETE /train/.",
                )
            yield

    def _begin(self, run: RunFolder) -> None:
        run.open()
        with self._lock:
            self._launches[run.id] = 0
            self._followed[run.id] = _Followed(run)
        try:
            self._launch(run)
        except OSError as error:
            failed = ModelError(
                f"The process of the training could not be started ({error.strerror}).",
                remedy="See to memory and room on the disk; `resume` tries again.",
            )
            run.fail(failed)
            raise failed from error
        finally:
            self._follow(run)

    def _launch(self, run: RunFolder) -> None:
        self._launches[run.id] += 1
        with (run.path / "output.log").open("ab") as output:
            self._processes[run.id] = subprocess.Popen(
                self._command(run),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _follow(self, run: RunFolder) -> None:
        with self._lock:
            followed = self._followed.setdefault(run.id, _Followed(run))
            if followed.by is not None and followed.by.is_alive():
                return
            followed.by = threading.Thread(
                target=self._watch, args=(run, followed), name="training", daemon=True
            )
            # Within the lock: one that is not started yet does not count as alive.
            followed.by.start()

    def _watch(self, run: RunFolder, followed: _Followed) -> None:
        """Bring what a run says into its log until it has ended, and see to it that somebody performs it."""
        fault = None
        while True:
            try:
                if self._look(run, followed):
                    return
            except OSError as error:
                # A disk is full or memory short: that may pass, and nobody else looks after the run.
                if error.errno != fault:
                    _log.warning("A training cannot be followed for now: %s.", error.strerror)
                fault = error.errno
            time.sleep(LOOK_S)

    def _look(self, run: RunFolder, followed: _Followed) -> bool:
        """Return whether a run has ended, after reading what it said and having it performed if nobody does."""
        ended = run.state.state in ENDED
        followed.read()
        if not ended and not self._performed(run) and run.state.state not in ENDED:
            self._perform_again(run)
        return ended

    def _perform_again(self, run: RunFolder) -> None:
        attempts = max(self._launches[run.id], run.state.attempt)
        if run.stopping:
            error = Cancelled("The training was stopped.", remedy="Go on with it by `resume`.")
            run.fail(error, state="stopped")
        elif attempts >= MAX_ATTEMPTS:
            run.fail(
                ModelError(
                    f"The process of the training ended {attempts} times before its time.",
                    remedy="Look into output.log of the run; `resume` tries again.",
                )
            )
        else:
            _log.warning("A training was interrupted and goes on.")
            self._launch(run)

    def _performed(self, run: RunFolder) -> bool:
        process = self._processes.get(run.id)
        return (process is not None and process.poll() is None) or run.performed


class _Followed:
    """The events of a run, as far as they were read."""

    def __init__(self, run: RunFolder) -> None:
        self.log = EventLog()
        self.by: threading.Thread | None = None
        self._run = run
        self._last = 0
        self._lock = threading.Lock()

    def read(self) -> None:
        """Bring what is new into the log; `done` and `error` are the last."""
        with self._lock:
            for number, name, data in self._run.events(self._last):
                self._last = number
                if name in ("done", "error"):
                    self.log.close(name, data)
                else:
                    self.log.append(name, data)
