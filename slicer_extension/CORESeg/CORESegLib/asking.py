"""The story of one question, from the file that waits to be sent to the record: told as messages, in a worker.

A stream that breaks is taken up again where it broke. What the server has answered so far has been told by then, so
that nothing is lost, whatever happens next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from CORESegLib.answers import seconds_of, text_of, whole_of
from CORESegLib.client import Client
from CORESegLib.event_stream import ServerEvent
from CORESegLib.server_calls import pause_for
from CORESegLib.stopping import CancelToken
from CORESegLib.trouble import Kind, Trouble

RECONNECTS = 6
FIRST_PAUSE_S = 0.2
MESSAGES_A_SECOND = 20.0
_KINDS: Mapping[str, Kind] = {
    "cancelled": "cancelled",
    "internal": "server",
    "busy": "busy",
    "model": "model",
    "checkpoint": "model",
    "too_large": "too_large",
}
Stage = Literal["checking", "uploading", "waiting", "working"]


class Image(Protocol):
    """An image as a worker needs it: nothing of the scene is touched."""

    @property
    def info(self) -> Mapping[str, str]:
        """What its file does not say, to be sent beside it."""

    def identify(self, cancel: CancelToken) -> str:
        """Return its id on servers, which carries nothing of the patient; may take a second."""

    def write(self, cancel: CancelToken) -> Path:
        """Return a new file that holds it; may take seconds."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is to be asked.

    Attributes:
        image: About which.
        params: As the server documents them.
    """

    image: Image
    params: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stood:
    """How far the question has come.

    Attributes:
        stage: What happens now.
        done: Bytes, or slices.
        total: Of them; 0 while that is not known.
        eta_s: What it will still take; None while that is not known.
        position: Questions before it.
    """

    stage: Stage
    done: int = 0
    total: int = 0
    eta_s: float | None = None
    position: int = 0


@dataclass(frozen=True, kw_only=True)
class Came:
    """Something of the answer: an event `token`, `slice` or `done`, its data unread."""

    name: Literal["token", "slice", "done"]
    data: Mapping[str, Any]


Message = Stood | Came
Tell = Callable[[Message], None]


def ask(
    client: Client,
    question: Question,
    tell: Tell,
    cancel: CancelToken,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Ask a question and tell what comes of it; returns once the record was told.

    Args:
        client: The server.
        question: What to ask; its image is written to a file only if the server lacks it.
        tell: Takes messages, in this thread.
        cancel: When it is turned, the server is told to stop.
        pause: Waits between attempts.

    Raises:
        Trouble: Whatever prevents the record.
    """
    tell(Stood(stage="checking"))
    image_id = question.image.identify(cancel)
    cancel.check()
    if not client.has_image(image_id, cancel):
        _send(client, question.image, image_id, tell, cancel)
    tell(Stood(stage="waiting"))
    job_id = client.submit(image_id, question.params, cancel)
    try:
        for event in _followed(client, job_id, cancel, pause):
            if _told(event, tell):
                return
    finally:
        if cancel.cancelled:
            # Politeness: the server notices by itself that nobody listens any more.
            with suppress(Trouble):
                client.stop(job_id)


def _send(client: Client, image: Image, image_id: str, tell: Tell, cancel: CancelToken) -> None:
    tell(Stood(stage="uploading"))
    path = image.write(cancel)
    last_told_s = 0.0

    def on_progress(sent: int, total: int) -> None:
        nonlocal last_told_s
        now = time.monotonic()
        if sent == total or now - last_told_s > 1 / MESSAGES_A_SECOND:
            last_told_s = now
            tell(Stood(stage="uploading", done=sent, total=total))

    try:
        cancel.check()
        client.send_image(image_id, path, image.info, cancel, on_progress)
    finally:
        path.unlink(missing_ok=True)


def _followed(
    client: Client, job_id: str, cancel: CancelToken, pause: Callable[[float], None]
) -> Iterator[ServerEvent]:
    """Yield the events of a job, each once, through broken lines."""
    last_id, failures = 0, 0
    while True:
        try:
            for event in client.events(job_id, last_id, cancel):
                if event.id > last_id:
                    last_id, failures = event.id, 0
                    yield event
            fault = Trouble("cut", "The server stopped in the middle of its answer.", remedy="Ask again.")
        except Trouble as trouble:
            if trouble.kind == "not_found":
                raise _forgotten(trouble) from trouble
            if not trouble.retryable:
                raise
            fault = trouble
        cancel.check()
        failures += 1
        if failures > RECONNECTS:
            raise fault
        pause_for(FIRST_PAUSE_S * 2 ** (failures - 1), cancel, pause)


def _told(event: ServerEvent, tell: Tell) -> bool:
    """Return whether this was the last event.

    Raises:
        Trouble: It said that the job failed.
    """
    data = event.data
    if event.name == "queued":
        tell(Stood(stage="waiting", position=whole_of(data, "position")))
    elif event.name == "progress":
        done, total = whole_of(data, "done"), whole_of(data, "total")
        tell(Stood(stage="working", done=done, total=total, eta_s=seconds_of(data, "eta_s")))
    elif event.name == "error":
        raise _failed(data)
    elif event.name == "token":
        tell(Came(name="token", data=data))
    elif event.name == "slice":
        tell(Came(name="slice", data=data))
    elif event.name == "done":
        tell(Came(name="done", data=data))
        return True
    return False


def _failed(data: Mapping[str, Any]) -> Trouble:
    code = text_of(data, "code", limit=40)
    return Trouble(
        _KINDS.get(code, "bad_request"),
        text_of(data, "reason", limit=600) or "The server could not answer.",
        remedy=text_of(data, "remedy", limit=600),
        code=code,
    )


def _forgotten(trouble: Trouble) -> Trouble:
    return Trouble(
        "cut",
        "The server no longer knows the question; it was probably started anew.",
        remedy="Ask again. What has arrived is kept.",
        status=trouble.status,
        code=trouble.code,
    )
