"""One piece of work in its turn: where it stands, what it says, and how it is asked to stop."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from typing import Any, Literal

from coreseg_core.errors import CoreSegError
from lib.errors import error_json
from lib.jobs.events import EventLog
from lib.watch import Watch

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What came of a job.

    Attributes:
        told: Data of its `done` event, JSON values.
        answer: What a client who waits for the job gets.
        file: A file that belongs to the answer and goes with the job.
    """

    told: Mapping[str, Any]
    answer: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None


Work = Callable[[Watch], JobResult]


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """Where a job stands, all of one moment.

    Attributes:
        state: One of `State`.
        position: How many jobs come before it; None once it runs or has ended.
        done: Slices answered.
        total: Slices to answer; None while that is not known.
        eta_s: Seconds it will take still, by the pace so far; None before the first slice.
        error: Why it failed.
        result: What came of it.
    """

    state: State = "queued"
    position: int | None = None
    done: int = 0
    total: int | None = None
    eta_s: float | None = None
    error: CoreSegError | None = None
    result: JobResult | None = None


class Job:
    """A piece of work, and the `Watch` it reports to.

    Its queue moves it from state to state; while it runs, only the work itself reports.

    Args:
        work: What is to be done; called once, in the queue's thread.
        kind: Which task it is, for people and counters.
        clock: Seconds that only rise.
    """

    def __init__(self, work: Work, *, kind: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.id = uuid.uuid4().hex
        self.kind = kind
        self.created = datetime.now(UTC).isoformat(timespec="seconds")
        self.events = EventLog()
        self.stage_s: dict[str, float] = {}
        self._work = work
        self._clock = clock
        self._status = JobStatus()
        self._stop = Flag()
        self._submitted_s = clock()
        self._started_s: float | None = None

    @property
    def status(self) -> JobStatus:
        """Where it stands."""
        return self._status

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self._status.state in ENDED

    def to_json(self) -> dict[str, Any]:
        """Return where the job stands as JSON values."""
        status = self._status
        values: dict[str, Any] = {
            "id": self.id,
            "kind": self.kind,
            "state": status.state,
            "position": status.position,
            "progress": {"done": status.done, "total": status.total, "eta_s": status.eta_s},
            "created": self.created,
        }
        if status.error is not None:
            values["error"] = error_json(status.error)
        if status.result is not None:
            values.update(status.result.told)
        return values

    # What the work asks and tells.

    def stopping(self) -> bool:
        """Return whether somebody asked it to stop."""
        return self._stop.is_set()

    def token(self, index: int, text: str) -> None:
        """Tell the next words about a slice."""
        self.events.append("token", {"slice": index, "text": text}, group=f"words/{index}")

    def slice_done(self, index: int, finding: Mapping[str, Any], mask_rle: Mapping[str, Any]) -> None:
        """Tell the finding of a slice, which holds all its words."""
        self.events.append("slice", {"finding": finding, "mask_rle": mask_rle}, ends=f"words/{index}")

    def progress(self, done: int, total: int) -> None:
        """Tell how far it has come."""
        eta_s = None
        if done and self._started_s is not None:
            eta_s = round((self._clock() - self._started_s) / done * (total - done), 1)
        self._status = replace(self._status, done=done, total=total, eta_s=eta_s)
        data = {"done": done, "total": total, "eta_s": eta_s}
        self.events.append("progress", data, group="progress", ends="progress")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a stage."""
        begun = self._clock()
        try:
            yield
        finally:
            self.stage_s[name] = self.stage_s.get(name, 0.0) + self._clock() - begun

    # What its queue does with it.

    def ask_to_stop(self) -> None:
        """Let `stopping` say so from now on."""
        self._stop.set()

    def place(self, position: int) -> None:
        """Note, and tell, how many jobs come before it."""
        if position != self._status.position:
            self._status = replace(self._status, position=position)
            self.events.append("queued", {"position": position}, group="queued", ends="queued")

    def begin(self) -> None:
        """Note that its turn has come."""
        self._started_s = self._clock()
        self.stage_s["wait"] = self._started_s - self._submitted_s
        self._status = replace(self._status, state="running", position=None)

    def perform(self) -> JobResult:
        """Return what the work returns."""
        return self._work(self)

    def end(self, result: JobResult) -> None:
        """Note and tell what came of it."""
        self._status = replace(self._status, state="done", eta_s=None, result=result)
        self.events.close("done", result.told)

    def fail(self, error: CoreSegError, *, state: Literal["failed", "cancelled"] = "failed") -> None:
        """Note and tell why nothing came of it."""
        self._status = replace(self._status, state=state, position=None, eta_s=None, error=error)
        self.events.close("error", error_json(error))

    def discard(self) -> None:
        """Remove the file of its result."""
        result = self._status.result
        if result is not None and result.file is not None:
            result.file.unlink(missing_ok=True)
