"""Files on their way to a server, piece by piece, under names that tell nothing of where they come from."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from CORESegLib.transport import Body

PIECE_BYTES = 1 << 18
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class FilePart:
    """A file to be sent.

    Attributes:
        field: Under which the server expects it.
        path: Where it lies; its own name is not sent.
        sent_name: What is sent for a name; its ending says what it is.
    """

    field: str
    path: Path
    sent_name: str


def form_body(file: FilePart, fields: dict[str, str], on_progress: Progress | None = None) -> Body:
    """Return a file with text fields as `multipart/form-data`; memory holds a piece of it at a time.

    Args:
        file: Read when the body is.
        fields: Texts beside it.
        on_progress: Called with bytes sent and bytes in all.
    """
    boundary = secrets.token_hex(24)
    head = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{file.field}"; filename="{file.sent_name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    size = len(head) + file.path.stat().st_size + len(tail)
    return Body(
        content_type=f"multipart/form-data; boundary={boundary}",
        size_bytes=size,
        pieces=_told(_pieces(head, file.path, tail), size, on_progress),
    )


def _pieces(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with path.open("rb") as content:
        while piece := content.read(PIECE_BYTES):
            yield piece
    yield tail


def _told(pieces: Iterator[bytes], size: int, on_progress: Progress | None) -> Iterator[bytes]:
    sent = 0
    for piece in pieces:
        yield piece
        sent += len(piece)
        if on_progress is not None:
            on_progress(sent, size)
