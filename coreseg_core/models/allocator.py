"""Memory of the device: what is freed is kept for the next tensor, and what does not fit is told from other faults.

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
# Torch has a class of its own for its GPU allocator alone; elsewhere only the words tell.
_TOO_LITTLE = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


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


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of torch or NumPy says that there was no memory, of whatever device."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _TOO_LITTLE)
