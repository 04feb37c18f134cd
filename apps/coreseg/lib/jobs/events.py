"""What a job says while it works: numbered events, kept, so that who comes late or comes back misses nothing.

What a later event makes needless is dropped: the words about a slice once its finding is there, an earlier place in
the queue, an earlier count. So a log is as long as a job has slices, not as long as it talks, and a slow reader is
no burden.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any


@dataclass(frozen=True)
class Event:
    """One thing a job said.

    Attributes:
        id: From 1, rising; with gaps where an event was dropped.
        name: `queued`, `token`, `slice`, `progress`, `done` or `error`.
        data: JSON values.
    """

    id: int
    name: str
    data: Mapping[str, Any]

    def as_sse(self) -> str:
        """Return the event as a server-sent one, its id being what `Last-Event-ID` comes back with."""
        data = json.dumps(self.data, ensure_ascii=False, allow_nan=False)
        return f"id: {self.id}\nevent: {self.name}\ndata: {data}\n\n"


class EventLog:
    """The events of one job; any thread may write and any number of readers read at their own pace."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._events: dict[int, Event] = {}
        self._groups: dict[str, list[int]] = {}
        self._listeners: dict[object, Callable[[], None]] = {}
        self._last_id = 0
        self._closed = False

    def append(
        self, name: str, data: Mapping[str, Any], *, group: str | None = None, ends: str | None = None
    ) -> None:
        """Add an event; a closed log takes none.

        Args:
            name: As in `Event`.
            data: As in `Event`.
            group: A name under which a later event may drop this one.
            ends: The group whose events this one makes needless; may be its own.
        """
        with self._lock:
            if self._closed:
                return
            self._add(name, data, group=group, ends=ends)
        self._wake()

    def close(self, name: str, data: Mapping[str, Any]) -> None:
        """Add the last event."""
        with self._lock:
            if self._closed:
                return
            self._add(name, data)
            self._closed = True
        self._wake()

    def after(self, last_id: int) -> tuple[tuple[Event, ...], bool]:
        """Return what was said after event `last_id`, in order, and whether nothing will follow it."""
        with self._lock:
            found = []
            for event in reversed(self._events.values()):
                if event.id <= last_id:
                    break
                found.append(event)
            return tuple(reversed(found)), self._closed

    @property
    def closed(self) -> bool:
        """Whether the last event is there."""
        return self._closed

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Return how to stop listening; until then `wake` is called, in the writer's thread, after every event."""
        key = object()
        with self._lock:
            self._listeners[key] = wake

        def stop() -> None:
            with self._lock:
                self._listeners.pop(key, None)

        return stop

    def _add(
        self, name: str, data: Mapping[str, Any], *, group: str | None = None, ends: str | None = None
    ) -> None:
        if ends is not None:
            for needless in self._groups.pop(ends, ()):
                del self._events[needless]
        self._last_id += 1
        self._events[self._last_id] = Event(self._last_id, name, data)
        if group is not None:
            self._groups.setdefault(group, []).append(self._last_id)

    def _wake(self) -> None:
        with self._lock:
            listeners = tuple(self._listeners.values())
        for wake in listeners:
            wake()
