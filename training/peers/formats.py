"""What the systems write, read as boxes and points: total, as one never knows what comes.

Each reader returns boxes in the pixels of the picture that was shown, or None for what says nothing readable. An empty
list of boxes is an answer too: nothing was found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coreseg_core.record import Box

MAX_BOXES = 64
MAX_CHARACTERS = 20_000
_NUMBER = r"\s*(-?\d{1,7}(?:\.\d{1,9})?)\s*"
_FOUR = re.compile(rf"[\[(]{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}[\])]")
_POINT = re.compile(rf"[\"']point\w*[\"']\s*:\s*\[{_NUMBER},{_NUMBER}\]")
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL)
_NOTHING = re.compile(r"^\s*(?:```(?:json)?)?\s*\[\s*(?:\[\s*\])?\s*\]\s*(?:```)?\s*$")
_DENIAL = re.compile(r"\b(?:no|not|none|cannot|absent)\b", re.IGNORECASE)

Size = tuple[int, int]


@dataclass(frozen=True)
class Marked:
    """What a system pointed at, in pixels of the picture it was shown.

    Attributes:
        boxes_xyxy_px: Half-open; empty where it says that there is nothing.
        points_xy_px: Points inside the target, of systems that give such.
    """

    boxes_xyxy_px: tuple[Box, ...]
    points_xy_px: tuple[tuple[float, float], ...] = ()


def read_pixels(text: str, shown_wh: Size) -> Marked | None:
    """Return boxes counted in pixels of the shown picture (Qwen2.5-VL, MedGemma as it is asked here)."""
    return _read(text, shown_wh, scale=(1.0, 1.0))


def denies(text: str) -> bool:
    """Return whether a text without boxes says that there is nothing."""
    return _DENIAL.search(text[:MAX_CHARACTERS]) is not None


def read_thousandths(text: str, shown_wh: Size) -> Marked | None:
    """Return boxes counted in thousandths of width and height (InternVL's `<box>`, HuatuoGPT-Vision as it is asked)."""
    return _read(text, shown_wh, scale=(shown_wh[0] / 1000, shown_wh[1] / 1000))


def read_fractions(text: str, shown_wh: Size) -> Marked | None:
    """Return boxes counted in fractions of width and height."""
    return _read(text, shown_wh, scale=(float(shown_wh[0]), float(shown_wh[1])))


def read_seg_zero(text: str, shown_wh: Size) -> Marked | None:
    """Return box and points of Seg-Zero's `<answer>{"bbox": [...], "points_1": [...], "points_2": [...]}</answer>`.

    What stands before the answer is reasoning and holds no boxes of it. VisionReasoner's list of `bbox_2d` and
    `point_2d` is read likewise.
    """
    found = _ANSWER.search(text[:MAX_CHARACTERS])
    if found is None:
        return None
    marked = _read(found.group(1), shown_wh, scale=(1.0, 1.0))
    if marked is None:
        return None
    width, height = shown_wh
    points = [(float(x), float(y)) for x, y in _POINT.findall(found.group(1))]
    inside = tuple(point for point in points if 0 <= point[0] < width and 0 <= point[1] < height)
    return Marked(marked.boxes_xyxy_px, inside[:MAX_BOXES])


READERS: Mapping[str, Callable[[str, Size], Marked | None]] = {
    "pixels": read_pixels,
    "thousandths": read_thousandths,
    "fractions": read_fractions,
    "seg-zero": read_seg_zero,
}


def _read(text: str, shown_wh: Size, *, scale: tuple[float, float]) -> Marked | None:
    text = text[:MAX_CHARACTERS]
    boxes = []
    for numbers in _FOUR.findall(text)[:MAX_BOXES]:
        box = _box([float(number) for number in numbers], shown_wh, scale)
        if box is not None and box not in boxes:
            boxes.append(box)
    if boxes:
        return Marked(tuple(boxes))
    if _NOTHING.match(text) or (denies(text) and not _FOUR.search(text)):
        return Marked(())
    return None


def _box(values: list[float], shown_wh: Size, scale: tuple[float, float]) -> Box | None:
    """Return a box inside the picture, corners in order; None where nothing of it lies inside."""
    width, height = shown_wh
    xs = sorted(value * scale[0] for value in values[0::2])
    ys = sorted(value * scale[1] for value in values[1::2])
    box = (
        max(0, math.floor(xs[0])),
        max(0, math.floor(ys[0])),
        min(width, math.ceil(xs[1])),
        min(height, math.ceil(ys[1])),
    )
    return box if box[0] < box[2] and box[1] < box[3] else None
