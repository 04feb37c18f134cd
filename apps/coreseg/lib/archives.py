"""Archives that clients send: their files come out under numbers, in one folder, and never more than agreed."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from coreseg_core.errors import InputError, LimitError
from lib.names import ending_of
from lib.uploads import copy_at_most


def unpack(archive: Path, folder: Path, *, limit_bytes: int, limit_files: int) -> int:
    """Return how many files of a zip or tar archive lie in `folder` now.

    Paths, links and devices in it mean nothing here: each plain file comes out as a number with the ending of its name.

    Args:
        archive: What was sent.
        folder: An empty one.
        limit_bytes: Of all files together, unpacked.
        limit_files: How many.

    Raises:
        LimitError: More bytes or files.
        InputError: No archive, a damaged or a locked one.
    """
    written = number = 0
    try:
        for number, (name, stream) in enumerate(_members(archive), start=1):
            if number > limit_files:
                raise LimitError(
                    f"The archive holds more than {limit_files} files.", remedy="Send one series at a time."
                )
            path = folder / f"{number:06d}{ending_of(name)}"
            written += copy_at_most(stream, path, limit_bytes=limit_bytes - written)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InputError("The archive is damaged.", remedy="Pack it again, as .zip or .tar.gz.") from error
    except (RuntimeError, NotImplementedError) as error:
        raise InputError(
            "The archive is locked, or packed in a way that is not read here.",
            remedy="Pack it as .zip or .tar.gz.",
        ) from error
    if not number:
        raise InputError("The archive holds no files.", remedy="Send an archive of images.")
    return number


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                if not info.is_dir():
                    with packed.open(info) as stream:
                        yield info.filename, stream
        return
    # Read as a stream: a list of members would be read, and unpacked, before any limit is judged.
    with tarfile.open(archive, mode="r|*") as tape:
        for member in tape:
            found = tape.extractfile(member) if member.isreg() else None
            if found is not None:
                yield member.name, found
