"""Archives that clients send: their files come out under numbers, in one folder, and never more than agreed."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from coreseg_core.errors import InputError, LimitError
from coreseg_core.limits import Limits
from lib.names import ending_of
from lib.uploads import copy_at_most

_GZIP_MAGIC = b"\x1f\x8b"
_ZIP_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_HEADER_BYTES = 64 * 1024
_LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


def unpack(archive: Path, folder: Path, *, limit_bytes: int, limits: Limits) -> int:
    """Return how many files of a zip or tar archive lie in `folder` now.

    Paths, links and devices in it mean nothing here: each plain file comes out as a number with the ending of its name.

    Args:
        archive: What was sent.
        folder: An empty one.
        limit_bytes: Of all files together, unpacked.
        limits: How many files, and how far they may swell.

    Raises:
        LimitError: More bytes or files.
        InputError: No archive, a damaged or a locked one.
        StorageError: The folder cannot be written.
    """
    limit_bytes = min(limit_bytes, limits.max_unpacked_bytes(archive.stat().st_size))
    written = number = 0
    try:
        for number, (name, stream) in enumerate(_members(archive), start=1):
            if number > limits.max_files:
                raise LimitError(
                    f"The archive holds more than {limits.max_files} files.",
                    remedy="Send one series at a time.",
                )
            path = folder / f"{number:06d}{ending_of(name)}"
            written += copy_at_most(stream, path, limit_bytes=limit_bytes - written)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InputError("The archive is damaged.", remedy="Pack it again, as .zip or .tar.gz.") from error
    except (RuntimeError, NotImplementedError) as error:
        raise _unreadable() from error
    if not number:
        raise InputError("The archive holds no files.", remedy="Send an archive of images.")
    return number


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        yield from _zipped(archive)
        return
    with archive.open("rb") as file:
        mode: Literal["r|gz", "r|"] = "r|gz" if file.read(2) == _GZIP_MAGIC else "r|"
    # Read as a stream: a list of members would be read, and unpacked, before any limit is judged. Not "r|*": a few
    # kilobytes of bzip2 or xz become hundreds of megabytes in one step.
    with tarfile.open(archive, mode=mode, tarinfo=_Member) as tape:
        for member in tape:
            found = tape.extractfile(member) if member.isreg() else None
            if found is not None:
                yield member.name, found


def _zipped(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if info.is_dir():
                continue
            if info.compress_type not in _ZIP_KINDS:
                raise _unreadable()
            with packed.open(info) as stream:
                yield info.filename, stream


class _Member(tarfile.TarInfo):
    """A member whose long name or attributes, which tarfile reads into memory, have a bound."""

    def _proc_member(self, tape: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _LONG_HEADERS and self.size > _MAX_HEADER_BYTES:
            raise LimitError(
                f"A name or attribute in the archive has {self.size} bytes, limit {_MAX_HEADER_BYTES}.",
                remedy="Pack it again, as .zip or .tar.gz.",
            )
        member: tarfile.TarInfo = super()._proc_member(tape)  # type: ignore[misc]
        return member


def _unreadable() -> InputError:
    return InputError(
        "The archive is locked, or packed in a way that is not read here.",
        remedy="Pack it as .zip (stored or deflated) or .tar.gz.",
    )
