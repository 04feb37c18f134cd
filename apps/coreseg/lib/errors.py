"""Expected failures as answers over HTTP: a status, and `{code, reason, remedy}` as the detail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException

from coreseg_core.errors import CoreSegError, InputError, ModelError


class NotFoundError(InputError):
    """Something the request names and this server does not have."""

    code = "not_found"
    http_status = 404


class ForbiddenError(InputError):
    """Something this server does for nobody."""

    code = "forbidden"
    http_status = 403


class BusyError(ModelError):
    """More work than this server takes on at once.

    Args:
        reason: As in `CoreSegError`.
        remedy: As in `CoreSegError`.
        retry_after_s: When it is worth to ask again.
    """

    code = "busy"

    def __init__(self, reason: str, *, remedy: str, retry_after_s: int) -> None:
        super().__init__(reason, remedy=remedy)
        self.retry_after_s = retry_after_s


class InternalError(CoreSegError):
    """A fault of this program; what exactly is for the log, not for the client."""

    code = "internal"

    def __init__(self) -> None:
        super().__init__(
            "The server failed at this request.", remedy="Look into its log, and report what stands there."
        )


def error_json(error: CoreSegError) -> dict[str, str]:
    """Return an error as clients get it."""
    return {"code": error.code, "reason": error.reason, "remedy": error.remedy}


def as_http(error: CoreSegError) -> HTTPException:
    """Return the only exception whose reason MONAI Label passes on to the client."""
    headers: dict[str, Any] = {}
    if isinstance(error, BusyError):
        headers["Retry-After"] = str(error.retry_after_s)
    return HTTPException(status_code=error.http_status, detail=error_json(error), headers=headers or None)


@contextmanager
def spoken_errors() -> Iterator[None]:
    """Turn a `CoreSegError` into what `as_http` makes of it."""
    try:
        yield
    except CoreSegError as error:
        raise as_http(error) from error
