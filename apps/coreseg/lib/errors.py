"""Expected failures as answers over HTTP: a status, and `{code, reason, remedy}` as the detail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException

from coreseg_core.errors import CoreSegError, InputError


class NotFoundError(InputError):
    """Something the request names and this server does not have."""

    code = "not_found"
    http_status = 404


@contextmanager
def spoken_errors() -> Iterator[None]:
    """Turn a `CoreSegError` into the only exception whose reason MONAI Label passes on to the client."""
    try:
        yield
    except CoreSegError as error:
        detail = {"code": error.code, "reason": error.reason, "remedy": error.remedy}
        raise HTTPException(status_code=error.http_status, detail=detail) from error
