"""Files that clients send: their names become no paths, and their sizes have bounds."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from coreseg_core.errors import InputError, LimitError
from lib.errors import disk_faults
from lib.names import IMAGE_EXTENSIONS, extension_of

_CHUNK_BYTES = 1024**2


def save_upload(
    stream: IO[bytes],
    file_name: str | None,
    *,
    folder: Path,
    name: str = "image",
    allowed: tuple[str, ...] = IMAGE_EXTENSIONS,
) -> Path:
    """Return where an uploaded file lies now: in `folder`, under `name` and the ending of its own name.

    Raises:
        InputError: Its ending is unknown, or it is empty.
    """
    path = folder / f"{name}{extension_of(file_name, allowed)}"
    copy_at_most(stream, path, limit_bytes=None)
    if not path.stat().st_size:
        raise InputError("The file is empty.", remedy="Send it again.")
    return path


def copy_at_most(stream: IO[bytes], path: Path, *, limit_bytes: int | None) -> int:
    """Return how many bytes of a stream were written to a new file.

    Raises:
        LimitError: There were more than `limit_bytes`; the file is gone again.
        StorageError: The file cannot be written. What goes wrong with the stream is raised as it comes.
    """
    written = 0
    with disk_faults():
        target = path.open("xb")
    try:
        while chunk := stream.read(_CHUNK_BYTES):
            written += len(chunk)
            if limit_bytes is not None and written > limit_bytes:
                break
            with disk_faults():
                target.write(chunk)
    finally:
        # What was held back is written now.
        with disk_faults():
            target.close()
    if limit_bytes is not None and written > limit_bytes:
        path.unlink()
        raise LimitError(
            f"The files unpack to more than {limit_bytes} bytes.",
            remedy="Send them unpacked, or fewer of them.",
        )
    return written
