"""What a server answers, read with suspicion: every value has a kind and a bound, whoever sent it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from CORESegLib.trouble import Kind, Trouble

MAX_SAID = 600
MAX_RETRY_AFTER_S = 3600.0
_KINDS: Mapping[int, Kind] = {
    400: "bad_request",
    401: "access",
    403: "access",
    404: "not_found",
    405: "not_our_server",
    406: "bad_request",
    408: "timeout",
    413: "too_large",
    422: "bad_request",
    429: "busy",
    499: "cancelled",
    503: "busy",
    504: "timeout",
}
_SAID: Mapping[Kind, tuple[str, str]] = {
    "access": ("The server does not let this panel in.", "Enter its token in the connection strip."),
    "not_found": (
        "The server does not know what was asked for.",
        "Check that the address is that of a CORE-Seg server.",
    ),
    "too_large": ("The server takes nothing as large as this.", "Ask about a part of the image."),
    "busy": ("The server has as much work as it takes.", "Ask again in a little while."),
    "timeout": ("The server ran out of time.", "Ask about fewer slices, or try again."),
    "bad_request": (
        "The server cannot use the request.",
        "Extension and server may be of different versions.",
    ),
    "not_our_server": ("What answers there is no CORE-Seg server.", "Check the address."),
    "server": ("The server failed.", "Try again; whoever runs it finds the reason in its log."),
    "cancelled": ("The server was told to stop.", "Ask again if it is wanted."),
}


def read_object(content: bytes, content_type: str | None) -> dict[str, Any]:
    """Return the JSON object of a response.

    Raises:
        Trouble: It is something else, a page for people for instance.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    values = _json(content) if kind in ("application/json", "") else None
    if not isinstance(values, dict):
        shown = kind if re.fullmatch(r"[a-z0-9.+-]+/[a-z0-9.+-]+", kind) else "something"
        raise Trouble(
            "not_our_server",
            f"What answers there is no CORE-Seg server: it sends {shown} where an answer in JSON was due.",
            remedy="Check the address; a login page of a proxy may stand between.",
        )
    return values


def refusal(status: int, content: bytes, *, retry_after: str | None) -> Trouble:
    """Return what a response that is no success means; `retry_after` is its header of that name."""
    if 300 <= status < 400:
        return Trouble(
            "not_our_server",
            "The server sends this panel elsewhere, which it does not follow.",
            remedy="Enter the address that a browser ends up at, if that is the server.",
            status=status,
        )
    kind: Kind = _KINDS.get(status, "server" if status >= 500 else "bad_request")
    detail = _detail(content)
    said, remedy = _SAID[kind]
    if kind == "not_found" and not detail:
        kind = "not_our_server"
        said, remedy = _SAID[kind]
    if kind == "busy" and detail.get("code") in ("model", "checkpoint"):
        # 503 is also how a server says that its weights are missing, which waiting does not mend.
        kind = "model"
    return Trouble(
        kind,
        detail.get("reason") or said,
        remedy=detail.get("remedy") or remedy,
        status=status,
        code=detail.get("code", ""),
        retry_after_s=_retry_after_s(retry_after),
    )


def text_of(values: Mapping[str, Any], key: str, *, limit: int, default: str = "") -> str:
    """Return a text among JSON values, cut at `limit` characters; `default` where there is none."""
    value = values.get(key)
    return value[:limit] if isinstance(value, str) else default


def whole_of(values: Mapping[str, Any], key: str, *, default: int = 0) -> int:
    """Return a whole number from 0 among JSON values; `default` where there is none."""
    value = values.get(key)
    return value if type(value) is int and 0 <= value < 1 << 31 else default


def share_of(values: Mapping[str, Any], key: str) -> float | None:
    """Return a number from 0 to 1 among JSON values; None where there is none."""
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def seconds_of(values: Mapping[str, Any], key: str) -> float | None:
    """Return a length of time among JSON values; None where there is none."""
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e8:
        return None
    return float(value)


def number_of(values: Mapping[str, Any], key: str) -> float | None:
    """Return any finite number among JSON values; None where there is none."""
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        return None
    return float(value)


def part_of(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an object among JSON values; an empty one where there is none."""
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _detail(content: bytes) -> dict[str, str]:
    values = _json(content)
    detail = values.get("detail") if isinstance(values, dict) else None
    if not isinstance(detail, dict):
        return {}
    return {key: text_of(detail, key, limit=MAX_SAID) for key in ("code", "reason", "remedy")}


def _retry_after_s(header: str | None) -> float | None:
    text = (header or "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        return None
    return min(float(text), MAX_RETRY_AFTER_S)
