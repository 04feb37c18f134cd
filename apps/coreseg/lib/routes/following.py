"""How a client follows what is told of a job or a training: server-sent events that can be taken up again."""

from __future__ import annotations

from fastapi import Response
from fastapi.responses import StreamingResponse

from lib.jobs.events import EventLog
from lib.jobs.stream import read_last_id, sse_stream


def follow(log: EventLog, last_event_id: str | None) -> Response:
    """Return a stream of the events after `Last-Event-ID`, or 204 where nothing is left to say.

    Raises:
        InputError: `Last-Event-ID` is no event number.
    """
    last_id = read_last_id(last_event_id)
    left, closed = log.after(last_id)
    if closed and not left:
        # What tells a browser's EventSource not to come again.
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(sse_stream(log, last_id), media_type="text/event-stream", headers=headers)
