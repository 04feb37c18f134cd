"""Pieces of work that wait to be let go, so that a test decides what happens when."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

from lib.jobs import Job, JobResult
from lib.watch import Watch, stop_if_asked

PATIENCE_S = 10.0
NOTHING = JobResult(told={"record": {}})


class Held:
    """Work that begins, says so, and goes on when it is let go or asked to stop."""

    def __init__(self) -> None:
        self.begun = Event()
        self.go = Event()

    def __call__(self, watch: Watch) -> JobResult:
        self.begun.set()
        deadline = time.monotonic() + PATIENCE_S
        while not self.go.wait(0.005):
            stop_if_asked(watch)
            assert time.monotonic() < deadline
        return NOTHING


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.002)


def wait_for_end(job: Job) -> Job:
    wait_until(lambda: job.ended and job.events.closed)
    return job


def names(job: Job) -> list[str]:
    return [event.name for event in job.events.after(0)[0]]
