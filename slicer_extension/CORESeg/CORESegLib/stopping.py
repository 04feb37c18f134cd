"""Telling a worker to stop, at once, though it waits for the network."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Lock

from CORESegLib.trouble import cancelled


class CancelToken:
    """One question's switch: the main thread turns it, the worker's open socket wakes, and the worker sees it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cancelled = False
        self._socket: socket.socket | None = None

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._cancelled

    def cancel(self) -> None:
        """Ask to stop; returns at once, from any thread."""
        with self._lock:
            self._cancelled = True
            if self._socket is not None:
                _wake(self._socket)

    def check(self) -> None:
        """Return nothing while nobody asked to stop.

        Raises:
            Trouble: Of kind `cancelled`.
        """
        if self._cancelled:
            raise cancelled()

    def watch(self, open_socket: socket.socket | None) -> None:
        """Note the socket on which the worker is about to wait; None once it does no more."""
        with self._lock:
            self._socket = open_socket
            if self._cancelled and open_socket is not None:
                _wake(open_socket)


def _wake(open_socket: socket.socket) -> None:
    # The plain socket's method, also where TLS lies over it: the TLS one would change what the worker reads from.
    with suppress(OSError):
        socket.socket.shutdown(open_socket, socket.SHUT_RDWR)
