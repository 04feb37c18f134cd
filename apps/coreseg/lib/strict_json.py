"""JSON from clients: one object, and nothing that JSON does not have or that cannot be written again."""

from __future__ import annotations

import json
import math
from typing import Any

from coreseg_core.errors import InputError


def read_object(text: str | bytes, *, what: str) -> dict[str, Any]:
    """Return the one JSON object that a text is; an empty text is an empty object.

    Args:
        text: UTF-8 if bytes.
        what: How the error names it.

    Raises:
        InputError: It is something else.
    """
    try:
        value = json.loads(text or "{}", parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{what} is not JSON.", remedy='Send an object, for example {"query": "Is there a lesion?"}.'
        ) from error
    if not isinstance(value, dict):
        raise InputError(
            f"{what} is a JSON {type(value).__name__}, not an object.",
            remedy='Send an object, for example {"query": "Is there a lesion?"}.',
        )
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that is too large")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
