"""What all calls to a server share: an answer that is a JSON object, and a stream of events taken up where it broke."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from CORESegLib.answers import read_object
from CORESegLib.event_stream import ServerEvent, read_events
from CORESegLib.stopping import CancelToken
from CORESegLib.transport import Body, Call, Transport
from CORESegLib.trouble import Trouble

MAX_JSON_BYTES = 32 << 20
STEP_S = 0.05
_READ_AGAIN = 2


def json_body(values: Mapping[str, Any]) -> Body:
    """Return JSON values as what a request carries."""
    content = json.dumps(dict(values)).encode()
    return Body(content_type="application/json", size_bytes=len(content), pieces=[content])


def ask_object(transport: Transport, call: Call, cancel: CancelToken) -> dict[str, Any]:
    """Return the JSON object that answers a call; one that only reads is made again when the line breaks.

    Raises:
        Trouble: The server is not there, refuses, or answers something else.
    """
    attempts = _READ_AGAIN if call.method == "GET" else 1
    while True:
        attempts -= 1
        try:
            with transport.open(call, cancel) as response:
                content = transport.read_at_most(response, cancel, limit_bytes=MAX_JSON_BYTES)
                return read_object(content, response.headers.get("Content-Type"))
        except Trouble as trouble:
            if trouble.kind != "cut" or not attempts:
                raise


def stream_events(
    transport: Transport, path: tuple[str, ...], last_id: int, cancel: CancelToken
) -> Iterator[ServerEvent]:
    """Yield what a job or a training says after event `last_id`, until the stream ends or breaks.

    Raises:
        Trouble: It breaks; asking again with the last id goes on where it broke.
    """
    headers = {"Accept": "text/event-stream"}
    if last_id:
        headers["Last-Event-ID"] = str(last_id)
    call = Call(method="GET", path=path, headers=headers, silence_s=transport.timeouts.stream_s)
    with transport.open(call, cancel) as response:
        if response.status == 204:
            return
        kind = (response.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            raise Trouble(
                "not_our_server",
                "The server sends no events where some were due.",
                remedy="Check the address; a proxy may stand between.",
            )
        yield from read_events(transport.read(response, cancel))


def pause_for(seconds: float, cancel: CancelToken, pause: Callable[[float], None]) -> None:
    """Wait, and notice soon when the wait is cancelled.

    Raises:
        Trouble: Of kind `cancelled`.
    """
    steps = max(1, round(seconds / STEP_S))
    for _ in range(steps):
        cancel.check()
        pause(seconds / steps)
