"""Jobs for those who wait on an event loop: no thread is held, however many wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from coreseg_core.errors import InputError
from lib.jobs.events import EventLog

KEEP_ALIVE_S = 15.0
KEEP_ALIVE = ": still here\n\n"
MAX_ID_DIGITS = 18


def read_last_id(header: str | None) -> int:
    """Return the event number that a `Last-Event-ID` header names, 0 without one.

    Raises:
        InputError: It is no number.
    """
    text = (header or "").strip()
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_ID_DIGITS):
        raise InputError(
            "`Last-Event-ID` is no event number.",
            remedy="Send back the last `id:` that came, or leave it out.",
        )
    return int(text)


async def sse_stream(
    log: EventLog, last_id: int = 0, *, keep_alive_s: float = KEEP_ALIVE_S
) -> AsyncIterator[str]:
    """Yield the events after `last_id` as they come, as server-sent ones, up to the last of the job."""
    woken, stop = _listen(log)
    try:
        while True:
            woken.clear()
            events, closed = log.after(last_id)
            for event in events:
                last_id = event.id
                yield event.as_sse()
            if closed:
                return
            try:
                await asyncio.wait_for(woken.wait(), keep_alive_s)
            except TimeoutError:
                yield KEEP_ALIVE
    finally:
        stop()


async def until_closed(log: EventLog, *, gone: Callable[[], Awaitable[bool]], look_s: float = 0.5) -> bool:
    """Return True once the last event is there, False once nobody waits for it any more.

    Args:
        log: Of the job.
        gone: Tells whether the one who waits has left; asked every `look_s` seconds.
        look_s: See `gone`.
    """
    woken, stop = _listen(log)
    try:
        while not log.closed:
            woken.clear()
            if log.closed:
                break
            try:
                await asyncio.wait_for(woken.wait(), look_s)
            except TimeoutError:
                if await gone():
                    return False
        return True
    finally:
        stop()


def _listen(log: EventLog) -> tuple[asyncio.Event, Callable[[], None]]:
    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        # A loop that has ended has nobody left to wake.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(woken.set)

    return woken, log.listen(wake)
