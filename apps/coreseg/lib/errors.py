"""Expected failures as answers over HTTP: a status, and `{code, reason, remedy}` as the detail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

from fastapi import HTTPException

from coreseg_core.errors import AccessError, BusyError, CoreSegError


def error_json(error: CoreSegError) -> dict[str, str]:
    """Return an error as clients get it."""
    return {"code": error.code, "reason": error.reason, "remedy": error.remedy}


def error_headers(error: CoreSegError) -> dict[str, str]:
    """Return the headers that go with an error."""
    if isinstance(error, BusyError):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, AccessError):
        return {"WWW-Authenticate": "Bearer"}
    return {}


def as_http(error: CoreSegError) -> HTTPException:
    """Return the only exception whose reason MONAI Label passes on to the client."""
    return HTTPException(
        status_code=error.http_status, detail=error_json(error), headers=error_headers(error) or None
    )


@contextmanager
def spoken_errors() -> Iterator[None]:
    """Turn a `CoreSegError` into what `as_http` makes of it."""
    try:
        yield
    except CoreSegError as error:
        raise as_http(error) from error


def where(error: BaseException) -> str:
    """Return the kind of an exception and the line of code it comes from, without its message, which may quote."""
    places = [f"{frame.f_code.co_filename}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return f"{type(error).__name__} at {places[-1] if places else 'nowhere'}"
