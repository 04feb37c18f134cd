"""Caches bounded in bytes. Keys are hashes of content and weights, never anything of a patient."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Anything that knows how many bytes it holds."""

    @property
    def nbytes(self) -> int: ...


Value = TypeVar("Value", bound=Sized)


class ByteLRU(Generic[Value]):
    """Keeps the values used last, up to a number of bytes; safe to share between threads.

    Args:
        limit_bytes: What is kept at most; a larger value than this is never kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        self.hits = 0
        self.misses = 0

    @property
    def nbytes(self) -> int:
        """Bytes held now."""
        return self._bytes

    def get(self, key: str) -> Value | None:
        """Return the value of a key, None if it is not kept."""
        with self._lock:
            value = self._values.get(key)
            if value is None:
                self.misses += 1
                return None
            self._values.move_to_end(key)
            self.hits += 1
            return value

    def put(self, key: str, value: Value) -> None:
        """Keep a value and drop the ones unused for longest."""
        with self._lock:
            if key in self._values:
                self._bytes -= self._values.pop(key).nbytes
            if value.nbytes > self._limit_bytes:
                return
            self._values[key] = value
            self._bytes += value.nbytes
            while self._bytes > self._limit_bytes:
                self._bytes -= self._values.popitem(last=False)[1].nbytes

    def get_or_make(self, key: str, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made and kept if it was not there."""
        found = self.get(key)
        if found is not None:
            return found
        made = make()
        self.put(key, made)
        return made

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._values.clear()
            self._bytes = 0
