"""Records as text in a scene: what Slicer's files do to text is known, and held off.

A segment's tag is cut at `|` and loses carriage returns when it is saved; as JSON it holds neither.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TAG_RECORD = "CORESeg.record"
TAG_ANSWER = "CORESeg.answer"
TAG_STATE = "CORESeg.state"
TAG_SOURCE = "CORESeg.source"
MAX_TAG = 100_000
_BAR = "\\u007c"


def to_tag(values: Mapping[str, Any]) -> str:
    """Return JSON values as a text that survives in a segment's tag."""
    # In JSON a bar can stand in a string only, where it may be written by its number.
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":")).replace("|", _BAR)


def from_tag(text: str) -> dict[str, Any] | None:
    """Return the JSON values in a tag, None where there are none."""
    if len(text) > MAX_TAG * 10:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def short_title(query: str, *, limit: int = 40) -> str:
    """Return the first words of a question, for the name of its node."""
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in query).split())
    return words if len(words) <= limit else f"{words[: limit - 1].rstrip()}…"
