"""A server that is told to stop ends its jobs first: whoever follows one is told, and the server waits for nobody."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from lib.jobs import JobQueue

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def end_jobs_on_signals(queue: JobQueue) -> None:
    """Close the queue when the process is told to stop, before whoever handled that until now hears of it.

    Does nothing outside the main thread, where no server has handlers of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        earlier = signal.getsignal(number)

        def stop(received: int, frame: FrameType | None, earlier: object = earlier) -> None:
            # In a thread of its own: a handler may interrupt the very line that holds the queue's lock.
            threading.Thread(target=queue.close, name="closing", daemon=True).start()
            if callable(earlier):
                earlier(received, frame)

        signal.signal(number, stop)
