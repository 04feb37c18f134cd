"""Files on their way through: one folder a process, which goes with it, or with the next one if it was killed."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

_PREFIX = "coreseg-passing-"
_LOCK = ".lock"
_YOUNG_S = 60
_locks: list[FileLock] = []


@contextmanager
def passing_folder() -> Iterator[Path]:
    """Yield an empty folder that goes at the end of the block."""
    with tempfile.TemporaryDirectory(dir=process_folder(), ignore_cleanup_errors=True) as place:
        yield Path(place)


@cache
def process_folder() -> Path:
    """Return the folder of this process; its name and what lies in it carry nothing of any image's name."""
    remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = FileLock(folder / _LOCK, thread_local=False)
    lock.acquire()
    # Kept for as long as the process lives, also where the app is loaded anew: jobs still point at files here.
    _locks.append(lock)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def remove_abandoned() -> int:
    """Return how many folders of processes that are no more were removed."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # One that was made this very moment may not be locked yet.
        with suppress(OSError, Timeout):
            if folder.stat().st_mtime < time.time() - _YOUNG_S:
                with FileLock(folder / _LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
    return removed
