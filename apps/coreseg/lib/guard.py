"""What every request passes before any route sees it: access, size, and faults that tell no client of the inside."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi.responses import JSONResponse

from coreseg_core.errors import CoreSegError, InternalError, LimitError
from lib.access import check_access
from lib.errors import as_http, error_headers, error_json, where
from lib.metrics import Metrics
from lib.settings import ServerSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

MAX_TEXT_BYTES = 4 * 1024**2
"""Of a body that carries no file, and is therefore held in memory."""
_FILES = "multipart/form-data"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_log = logging.getLogger(__name__)


class Guard:
    """The gate in front of all routes, MONAI Label's own included.

    Args:
        app: What stands behind the gate.
        chosen: Token and limits.
        metrics: Counts every request.
    """

    def __init__(self, app: AsgiApp, *, chosen: ServerSettings, metrics: Metrics) -> None:
        self._app = app
        self._chosen = chosen
        self._metrics = metrics

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with what is wrong."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._let_through(scope, receive, send)

    async def _let_through(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        begun, status = time.monotonic(), 0

        async def listen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        try:
            headers = _headers(scope)
            check_access(
                headers,
                token=self._chosen.token,
                client=_address(scope.get("client")),
                server=_address(scope.get("server")),
            )
            await self._app(scope, _bounded(receive, headers, self._chosen.max_upload_bytes), listen)
        except CoreSegError as error:
            await _answer(error, scope, receive, listen, begun=bool(status))
        except Exception as error:
            # Whatever a route runs into: the server goes on, and neither log nor answer quotes what was sent.
            _log.error("A request failed: %s", where(error))
            await _answer(InternalError(), scope, receive, listen, begun=bool(status))
        finally:
            self._metrics.request(_route(scope), _method(scope), status, time.monotonic() - begun)


def _bounded(receive: Receive, headers: dict[str, str], max_upload_bytes: int) -> Receive:
    """Return `receive` for a body that is no larger than agreed.

    Raises:
        LimitError: It says of itself that it is larger.
    """
    files = headers.get("content-type", "").lower().startswith(_FILES)
    limit = max_upload_bytes if files else min(MAX_TEXT_BYTES, max_upload_bytes)
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdecimal() and int(announced[:18]) > limit:
        raise _too_large(limit)
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            # FastAPI makes a 400 of every other kind of exception while it reads a body.
            raise as_http(_too_large(limit))
        return message

    return receive_bounded


def _too_large(limit: int) -> LimitError:
    return LimitError(
        f"The request is larger than {limit} bytes.", remedy="Send less at once, or raise max_upload_mb."
    )


async def _answer(
    error: CoreSegError, scope: MutableMapping[str, Any], receive: Receive, send: Send, *, begun: bool
) -> None:
    if begun:
        return
    response = JSONResponse(
        {"detail": error_json(error)}, status_code=error.http_status, headers=error_headers(error)
    )
    await response(scope, receive, send)


def _headers(scope: MutableMapping[str, Any]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _address(place: Any) -> str | None:
    return str(place[0]) if place else None


def _route(scope: MutableMapping[str, Any]) -> str:
    """Return the pattern of the route that answered, in which no id stands."""
    return str(getattr(scope.get("route"), "path", "other"))


def _method(scope: MutableMapping[str, Any]) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"
