"""A bounded queue before one device: jobs run one after another, in the order they came, in a thread of its own."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

from coreseg_core.errors import (
    BusyError,
    Cancelled,
    CoreSegError,
    InputError,
    InternalError,
    ModelError,
    NotFoundError,
)
from lib.errors import where
from lib.jobs.job import Job, Work

CAPACITY = 32
"""Jobs that wait at most, beside the one that runs."""
KEEP_ENDED = 32
"""Ended jobs whose events and results can still be fetched; the oldest go first."""
MAX_RETRY_S = 300
_PACE_OF = 16

_log = logging.getLogger(__name__)
EndListener = Callable[[Job], None]


class JobQueue:
    """The one way to a device: several jobs at once would share its memory, not its speed.

    Args:
        device: What stands behind the queue, for people and counters.
        capacity: Jobs that may wait.
        keep_ended: See `KEEP_ENDED`.
        on_end: Called with every job that ended, in the thread that ended it.
        clock: Seconds that only rise.

    Raises:
        InputError: A capacity below 1.
    """

    def __init__(
        self,
        *,
        device: str,
        capacity: int = CAPACITY,
        keep_ended: int = KEEP_ENDED,
        on_end: EndListener | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if capacity < 1:
            raise InputError(f"A queue of {capacity} places.", remedy="Give at least 1.")
        self.device = device
        self.capacity = capacity
        self._keep_ended = keep_ended
        self._on_end = on_end
        self._clock = clock
        self._changed = Condition()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._jobs: dict[str, Job] = {}
        self._ended: deque[Job] = deque()
        self._paces_s: deque[float] = deque(maxlen=_PACE_OF)
        self._thread: Thread | None = None
        self._closed = False

    def submit(self, work: Work, *, kind: str) -> Job:
        """Return a job for the work, at the end of the queue.

        Raises:
            BusyError: No place is free.
        """
        job = Job(work, kind=kind, clock=self._clock)
        with self._changed:
            if self._closed or len(self._waiting) >= self.capacity:
                raise BusyError(
                    f"{len(self._waiting)} questions are waiting already; this server takes {self.capacity}.",
                    remedy="Ask again later.",
                    retry_after_s=self._retry_after_s(),
                )
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._tell_places()
            if self._thread is None:
                self._thread = Thread(target=self._work, name=f"jobs-{self.device}", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job

    def find(self, job_id: str) -> Job:
        """Return a job that waits, runs, or ended not long ago.

        Raises:
            NotFoundError: There is none of this id.
        """
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFoundError(
                "There is no such job, or it ended too long ago.",
                remedy="Ask again with POST /coreseg/jobs.",
            )
        return job

    def cancel(self, job: Job) -> None:
        """Take a waiting job out, ask a running one to stop; one that has ended stays as it is."""
        with self._changed:
            job.ask_to_stop()
            waited = job in self._waiting
            if waited:
                self._waiting.remove(job)
                job.fail(_never_begun(), state="cancelled")
                self._tell_places()
        if waited:
            self._keep(job)

    def forget(self, job: Job) -> None:
        """Drop an ended job and its result at once, where nobody will ask for it again."""
        with self._changed:
            self._jobs.pop(job.id, None)
            if job in self._ended:
                self._ended.remove(job)
        job.discard()

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs that run: 0 or 1."""
        return int(self._running is not None)

    def close(self, *, timeout_s: float = 10.0) -> None:
        """Take nothing more, cancel what waits, stop what runs, and drop all results."""
        with self._changed:
            self._closed = True
            if self._running is not None:
                self._running.ask_to_stop()
            waiting = tuple(self._waiting)
            self._changed.notify_all()
        for job in waiting:
            self.cancel(job)
        if self._thread is not None:
            self._thread.join(timeout_s)
        for job in tuple(self._jobs.values()):
            self.forget(job)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            begun = self._clock()
            self._perform(job)
            with self._changed:
                self._running = None
                self._paces_s.append(self._clock() - begun)
            self._keep(job)

    def _next(self) -> Job | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if not self._waiting:
                return None
            job = self._running = self._waiting.popleft()
            job.begin()
            self._tell_places()
            return job

    def _perform(self, job: Job) -> None:
        try:
            result = job.perform()
        except Cancelled as error:
            job.fail(error, state="cancelled")
        except CoreSegError as error:
            job.fail(error)
        except MemoryError:
            job.fail(
                ModelError(
                    "This machine's memory is too small for the image beside what else it holds.",
                    remedy="Ask again when other programs have freed it, or about a smaller image.",
                )
            )
        except Exception as error:
            # The queue outlives whatever a job runs into. The message may quote what was asked: the kind must do.
            _log.error("A job of kind %s failed: %s", job.kind, where(error))
            job.fail(InternalError())
        else:
            job.end(result)

    def _keep(self, job: Job) -> None:
        """Keep an ended job among the last ones."""
        with self._changed:
            # One that was fetched and forgotten in the meantime takes nobody's place.
            if job.id in self._jobs:
                self._ended.append(job)
            oldest = list(self._ended)[: -self._keep_ended]
        for other in oldest:
            self.forget(other)
        if self._on_end is not None:
            self._on_end(job)

    def _tell_places(self) -> None:
        ahead = int(self._running is not None)
        for number, job in enumerate(self._waiting):
            job.place(ahead + number)

    def _retry_after_s(self) -> int:
        """Return when a place may be free: one job's time, by the last ones."""
        pace_s = sum(self._paces_s) / len(self._paces_s) if self._paces_s else 1.0
        return min(max(1, math.ceil(pace_s)), MAX_RETRY_S)


def _never_begun() -> Cancelled:
    return Cancelled(
        "The question was cancelled before its turn came.", remedy="Ask it again if it is wanted."
    )
