"""A question put to the language model as chat messages.

The order is system, picture, question, so that the prefix (system and picture) is the same for every question
and every reasoning mode about one slice and needs to be computed once.
"""

from __future__ import annotations

import re
from typing import Any

from coreseg_core.errors import InputError, LimitError
from coreseg_core.record import REASONING_MODES, ReasoningMode

TEMPLATE_VERSION = "1"
SYSTEM = "Find the lesion."
MAX_QUERY_CHARS = 1000
MODE_INSTRUCTION: dict[ReasoningMode, str] = {
    "full": "\nReasoning: full.",
    "brief": "\nReasoning: brief.",
    "none": "\nReasoning: none.",
}

_MARKUP = re.compile(r"<\|?/?[A-Za-z_|]{1,40}\|?>")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")


def clean_query(query_text: str) -> str:
    """Return the question on one line, without control characters and without the template's own tags.

    Raises:
        InputError: Nothing is left to ask.
        LimitError: The question is longer than `MAX_QUERY_CHARS` characters.
    """
    if len(query_text) > MAX_QUERY_CHARS:
        raise LimitError(
            f"The question has {len(query_text)} characters; at most {MAX_QUERY_CHARS} are read.",
            remedy="Ask in a sentence or two.",
        )
    words = _UNPRINTABLE.sub(" ", query_text)
    while (stripped := _MARKUP.sub(" ", words)) != words:
        words = stripped
    words = " ".join(words.split())
    if not words:
        raise InputError(
            "The question is empty (0 readable characters; at least 1 is needed).",
            remedy="Write what to look for, for example 'Is there a lesion?'.",
        )
    return words


def chat_messages(query_text: str, reasoning_mode: ReasoningMode = "brief") -> list[dict[str, Any]]:
    """Return the chat messages of one question about one picture: system, then picture, question and mode.

    Raises:
        InputError: The question is empty, or the mode is not one of `REASONING_MODES`.
        LimitError: The question is longer than `MAX_QUERY_CHARS` characters.
    """
    if reasoning_mode not in MODE_INSTRUCTION:
        raise InputError(
            f"Reasoning mode {str(reasoning_mode)[:40]!r} is unknown.",
            remedy=f"Use one of {', '.join(REASONING_MODES)}.",
        )
    text = clean_query(query_text) + MODE_INSTRUCTION[reasoning_mode]
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]},
    ]
