"""Expected failures as answers over HTTP: a status, and `{code, reason, remedy}` as the detail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

from fastapi import HTTPException

from coreseg_core.errors import AccessError, BusyError, CoreSegError, StorageError


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


@contextmanager
def disk_faults() -> Iterator[None]:
    """Turn what the system says while a file of the server is written into an error of ours; around nothing else.

    Raises:
        StorageError: The file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"The server cannot write what it was sent ({error.strerror or type(error).__name__}).",
            remedy="Whoever runs it checks the space left on its disks; then try again.",
        ) from error


def where(error: BaseException) -> str:
    """Return the kind of an exception and the line of code it comes from, without its message, which may quote."""
    places = [f"{frame.f_code.co_filename}:{line}" for frame, line in walk_tb(error.__traceback__)]
    return f"{type(error).__name__} at {places[-1] if places else 'nowhere'}"
