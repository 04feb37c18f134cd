"""Keyed JSON lines that are on the disk as soon as they are added, so that a stopped run goes on where it was."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coreseg_core.errors import InputError
from coreseg_core.evaluation.files import cannot_write


class LineJournal:
    """A file of JSON lines, each with a key; the last line of a key counts. Threads may share it.

    Args:
        path: The file; made with the first line.
        what: The file in words, for messages.

    Raises:
        InputError: It is there, but is no journal.
    """

    def __init__(self, path: Path, *, what: str) -> None:
        self._path = path
        self._what = what
        self._lock = threading.Lock()
        self._lines = _read(path, what)

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the values kept under a key, None where there are none."""
        return self._lines.get(key)

    def add(self, lines: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep values by key; they are on the disk when this returns.

        Raises:
            InputError: The place cannot be written.
        """
        text = "".join(json.dumps({"key": key, **values}) + "\n" for key, values in lines.items())
        with self._lock:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise cannot_write(self._what, error) from error
            self._lines.update({key: dict(values) for key, values in lines.items()})


def _read(path: Path, what: str) -> dict[str, dict[str, Any]]:
    try:
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            # A line that was cut off when the run was stopped.
            os.truncate(path, whole)
        lines = [json.loads(line) for line in content[:whole].splitlines()]
        return {line.pop("key"): line for line in lines}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"The {what} of an earlier run cannot be read.",
            remedy="Remove it from the output folder to start over, or choose another folder.",
        ) from error
