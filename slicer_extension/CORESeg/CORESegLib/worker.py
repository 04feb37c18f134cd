"""Work beside the user interface: a thread that talks only through a queue, and the pump that empties it.

Python threads in Slicer run only while the main thread runs Python or waits in a call that gives the interpreter lock
away, for nothing gives it away around the event loop. So the pump, called from a timer, sleeps a few milliseconds at
each stroke while work goes on: in them, the worker moves its bytes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from CORESegLib.stopping import CancelToken
from CORESegLib.trouble import Trouble, cancelled

STROKE_MS = 20
"""How often a timer calls `Pump.stroke` while work goes on."""
YIELD_S = 0.005
BUDGET_S = 0.02
"""How long a stroke hands out messages, so that a flood of them does not hold up the user interface."""

M = TypeVar("M")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of a task: why it failed, or None."""

    trouble: Trouble | None


class Task(Generic[M]):
    """One piece of work in a thread of its own.

    Args:
        work: Gets what takes messages, and the switch to obey; runs in the thread. It may touch files and the network,
            never the scene or the user interface.
    """

    def __init__(self, work: Callable[[Callable[[M], None], CancelToken], None]) -> None:
        self.cancel_token = CancelToken()
        self._work = work
        self._messages: queue.SimpleQueue[M | Ended] = queue.SimpleQueue()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="coreseg", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """End at once for whoever listens: `Ended` is the next and last that `take` returns."""
        self.cancel_token.cancel()

    @property
    def over(self) -> bool:
        """Whether its `Ended` was returned."""
        return self._over

    def take(self) -> M | Ended | None:
        """Return the next message, None while there is none."""
        if self._over:
            return None
        if self.cancel_token.cancelled:
            self._over = True
            return Ended(trouble=cancelled())
        try:
            message = self._messages.get_nowait()
        except queue.Empty:
            return None
        self._over = isinstance(message, Ended)
        return message

    def join(self, timeout_s: float) -> bool:
        """Return whether the thread has ended within a time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        trouble: Trouble | None = None
        try:
            self._work(self._messages.put, self.cancel_token)
        except Trouble as said:
            trouble = said
        except Exception as fault:
            # The panel must come out of "busy" whatever happens; the kind of fault is all that is safe to show.
            trouble = Trouble(
                "local",
                f"The extension failed ({type(fault).__name__}).",
                remedy="The scene is unchanged. Please report what you did.",
            )
        self._messages.put(Ended(trouble=trouble))


class Pump:
    """All tasks of a panel: listens to them in the main thread, from a timer.

    Args:
        yield_s: How long a stroke gives way to the workers.
    """

    def __init__(self, yield_s: float = YIELD_S) -> None:
        self._tasks: list[tuple[Task[object], Callable[[object], None]]] = []
        self._thread = threading.get_ident()
        self._yield_s = yield_s

    @property
    def busy(self) -> bool:
        """Whether any task goes on, so that the timer must run."""
        return bool(self._tasks)

    def start(self, task: Task[M], listen: Callable[[M | Ended], None]) -> None:
        """Start a task; `listen` gets its messages in the thread of this pump."""
        self._tasks.append((task, listen))  # type: ignore[arg-type]
        task.start()

    def stroke(self) -> None:
        """Hand out what has come, as much as fits into a moment, then give way for another."""
        assert threading.get_ident() == self._thread, "the pump belongs to the main thread"
        end = time.monotonic() + BUDGET_S
        for task, listen in tuple(self._tasks):
            while (message := task.take()) is not None:
                listen(message)
                # What is left waits for the next stroke: the user interface has its turn first.
                if time.monotonic() > end:
                    break
        self._tasks = [pair for pair in self._tasks if not pair[0].over]
        if self._tasks:
            time.sleep(self._yield_s)

    def stop(self, *, timeout_s: float = 0.5) -> None:
        """Cancel everything and hear of nothing more, as when the module or Slicer closes."""
        tasks, self._tasks = self._tasks, []
        for task, _ in tasks:
            task.cancel()
        end = time.monotonic() + timeout_s
        for task, _ in tasks:
            task.join(max(0.0, end - time.monotonic()))
