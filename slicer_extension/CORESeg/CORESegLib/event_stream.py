"""Server-sent events, put together from bytes that are cut anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from CORESegLib.trouble import Trouble

MAX_EVENT_BYTES = 32 << 20


@dataclass(frozen=True, kw_only=True)
class ServerEvent:
    """One event.

    Attributes:
        id: Its number, 0 where it has none.
        name: What kind of event.
        data: Its JSON object.
    """

    id: int
    name: str
    data: dict[str, Any]


def read_events(pieces: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Yield the whole events of a stream; one that is cut off at the end is dropped, for it comes again.

    Raises:
        Trouble: It is no stream of such events.
    """
    fields: dict[str, list[str]] = {}
    size = 0
    for line in _lines(pieces):
        if not line:
            if "data" in fields:
                yield _event(fields)
            fields, size = {}, 0
            continue
        size += len(line)
        if size > MAX_EVENT_BYTES:
            raise _no_events()
        name, _, value = line.partition(b":")
        # A line that begins with a colon says only that the server is still there.
        if name:
            fields.setdefault(_text(name), []).append(_text(value.removeprefix(b" ")))


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = bytearray()
    for piece in pieces:
        rest += piece
        if len(rest) > MAX_EVENT_BYTES:
            raise _no_events()
        if b"\n" in piece:
            *lines, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in lines:
                yield line.removesuffix(b"\r")


def _event(fields: dict[str, list[str]]) -> ServerEvent:
    number = fields.get("id", ["0"])[-1]
    try:
        data = json.loads("\n".join(fields["data"]))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or not (number.isascii() and number.isdecimal() and len(number) < 19):
        raise _no_events()
    return ServerEvent(id=int(number), name=fields.get("event", ["message"])[-1], data=data)


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


def _no_events() -> Trouble:
    return Trouble(
        "not_our_server",
        "The server's events cannot be read.",
        remedy="Extension and server may be of different versions.",
    )
