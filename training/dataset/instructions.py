"""What the writer and the judge are told. The version counts: another one is another question, and is asked anew."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from coreseg_core.claims import Facts
from training.dataset.asked import Asked, class_words
from training.dataset.chat import Message
from training.png import png_bytes

VERSION = 1
OUTLINE_RGB = (255, 220, 0)
MIN_CHARS, MAX_CHARS = 40, 4000

_ROLE = (
    "You are an experienced radiologist who writes teaching texts. You are given a medical picture, the same "
    "picture with the reference outline in yellow, and facts about it. Rely on what can be seen. Never give "
    "coordinates, pixel numbers or box corners, and never mention the outline, the reference or these instructions. "
    "Left and right are those of the picture. Reply with one JSON object and nothing else."
)
_DESCRIBE = (
    'Describe the picture. Reply as {"normal_anatomy": "...", "lesion": "..."}: first the normal structures around, '
    "in two or three sentences; then the finding itself: where it lies in words, how many, size, brightness against "
    "its surroundings, outline, in two or three sentences."
)
_DESCRIBE_FREE = (
    'Describe the picture. Reply as {"normal_anatomy": "...", "lesion": "..."}: first the normal structures, in two '
    "or three sentences; then why nothing in it is suspicious of what was asked, in one or two sentences."
)
_REASON = (
    "Here is a description of the picture by a colleague:\n{description}\n\nTurn it into the reasoning of a reader "
    'who is asked "{question}" and does not yet know the answer: from the normal structures, by way of what differs, '
    'to the conclusion. One paragraph of 60 to 160 words, no hedging. Reply as {{"reasoning": "..."}}.'
)
_JUDGE = (
    'A student was asked "{question}" about this picture and reasoned:\n{reasoning}\n\nThe right outcome is: '
    '{outcome}. Score from 0 to 1 and reply as {{"normal_anatomy": 0.0, "lesion": 0.0, "logic": 0.0, '
    '"comment": "..."}}: whether the normal anatomy is described rightly, whether the finding is described as it is '
    "in this very picture, and whether the conclusion follows. Name the worst mistake in the comment."
)
_FEEDBACK = "\n\nAn earlier version was not accepted: {feedback}"
_FENCE = re.compile(r"^\s*```(?:json)?\s*|\s*```\s*$", re.IGNORECASE)


def description_messages(asked: Asked, feedback: str = "") -> list[Message]:
    """Return the first request: normal anatomy, then the lesion."""
    told = _DESCRIBE if asked.kind == "present" else _DESCRIBE_FREE
    return _messages(asked, told + _with(feedback))


def reasoning_messages(asked: Asked, description: str, feedback: str = "") -> list[Message]:
    """Return the second request: how the lesion is found, told from its description."""
    told = _REASON.format(description=description, question=asked.row.query)
    return _messages(asked, told + _with(feedback))


def judge_messages(asked: Asked, reasoning: str) -> list[Message]:
    """Return the request for the three scores."""
    outcome = f"{asked.question.class_name} is present" if asked.kind == "present" else (
        "the question does not fit the picture" if asked.question.expect == "mismatch"
        else f"no {asked.question.class_name} is seen"
    )  # fmt: skip
    return _messages(asked, _JUDGE.format(question=asked.row.query, reasoning=reasoning, outcome=outcome))


def json_object(text: str) -> Mapping[str, Any] | None:
    """Return the object of a reply, with or without the fence that models like to put round it; None without one."""
    bare = _FENCE.sub("", text.strip())
    try:
        values = json.loads(bare)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def facts_words(facts: Facts | None) -> str:
    """Return in words what is measured of the lesions, so that a text can agree with the mask."""
    if facts is None:
        return "no lesion"
    parts = [
        f"number: {facts.number}",
        f"place of the largest: {facts.place} part of the picture",
        f"size of the largest: {facts.size}",
    ]
    if facts.contrast is not None:
        against = "similar to" if facts.contrast == "similar" else f"{facts.contrast} than"
        parts.append(f"brightness: {against} the surroundings")
    if facts.outline is not None:
        parts.append(f"outline: {facts.outline}")
    return "; ".join(parts)


def outlined(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the picture with a line round the mask; what the mask covers stays as it is."""
    drawn = rgb.copy()
    drawn[binary_dilation(mask, iterations=2) & ~mask] = OUTLINE_RGB
    return drawn


def _messages(asked: Asked, told: str) -> list[Message]:
    row, picture = asked.row, asked.picture
    about = [f"Modality: {row.modality}", f"Anatomy: {row.anatomy}", f"Asked: {row.query}"]
    if asked.kind == "present":
        about += [f"Finding: {class_words(row)}", f"Measured: {facts_words(asked.facts)}"]
    pictures = [picture.rgb]
    if picture.mask.any():
        pictures.append(outlined(picture.rgb, picture.mask))
    content: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": _data_url(rgb)}} for rgb in pictures
    ]
    content.append({"type": "text", "text": "\n".join(about) + "\n\n" + told})
    return [{"role": "system", "content": _ROLE}, {"role": "user", "content": content}]


def _with(feedback: str) -> str:
    return _FEEDBACK.format(feedback=feedback) if feedback else ""


def _data_url(rgb: NDArray[np.uint8]) -> str:
    return "data:image/png;base64," + base64.b64encode(png_bytes(rgb)).decode()
