"""Keeps freed memory for the next tensor instead of giving it back to the system.

Every tensor of a few megabytes is otherwise mapped, faulted in page by page and unmapped again, which costs as much as
the arithmetic on it: a tenth to a quarter of the encoder's time on a CPU.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_KEEP_BYTES = 2**30


def keep_freed_memory() -> bool:
    """Return True if the C library agreed to keep up to 1 GiB of freed memory; only glibc knows how."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    )
