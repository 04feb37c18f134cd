"""The text the language model writes, read and composed (CORE-Seg, arXiv 2603.05911).

Three forms, each optionally preceded by `<think>REASONING</think>`:

    <answer>The CLASS is located at [[x0,y0,x1,y1],...]. The mask is <seg>.</answer>
    <answer>No CLASS is seen.</answer>
    <answer>The question does not fit: this is MODALITY of ANATOMY.</answer>

The first is the paper's; the paper knows no absence and no mismatch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coreseg_core.record import Box

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
ANSWER_OPEN, ANSWER_CLOSE = "<answer>", "</answer>"
SEG = "<seg>"
TAGS = (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE, SEG)
AFTER_SEG = f".{ANSWER_CLOSE}"
"""What follows `<seg>` in a well-formed answer: decoding may stop at `<seg>` and append it."""

MAX_BOXES = 64
MAX_TEXT_CHARS = 16_384
MAX_NAME_CHARS = 120
MAX_COORDINATE_PX = 65_535

AnswerKind = Literal["present", "absent", "mismatch"]

_BOX = re.compile(r"\[\s*(-?\d{1,7}(?:\s*,\s*-?\d{1,7}){3})\s*\]", re.ASCII)
_LOCATED = re.compile(r" (?:is|are) located at", re.IGNORECASE)
_STATEMENT_BREAK = re.compile(r"[<>\[\].]")
_SEEN = re.compile(r" (?:is|are) seen", re.IGNORECASE)
_NO = re.compile(r"\bno (.+)", re.IGNORECASE | re.DOTALL)
_MISMATCH = re.compile(
    r"question does not fit(?:: this is ([^<>\[\].]{1,120}?) of ([^<>\[\].]{1,120}))?", re.IGNORECASE
)
_NAME = r"[^<>\[\].]{1,120}?"
_BOXES = r"\[\[\d{1,5}(?:,\d{1,5}){3}\](?:,\[\d{1,5}(?:,\d{1,5}){3}\]){0,63}\]"
_WELL_FORMED = re.compile(
    rf"(?:<think>[^<>]*</think>)?<answer>(?:The {_NAME} is located at {_BOXES}\. The mask is <seg>\."
    rf"|No {_NAME} is seen\.|The question does not fit: this is {_NAME} of {_NAME}\.)</answer>",
    re.ASCII,
)


@dataclass(frozen=True, kw_only=True)
class ParsedAnswer:
    """What an answer says, as far as it can be read.

    Attributes:
        reasoning: Text between the think tags (or before the answer when the tag is left open), stripped.
        kind: Which of the three forms it is; None when it is none of them.
        class_name: The CLASS that was located or is not seen; empty for a mismatch.
        boxes_xyxy_px: Half-open boxes of the frame the model saw, at most `MAX_BOXES`, none empty.
        has_seg: Whether `<seg>` occurs after the reasoning.
        n_seg: How often `<seg>` occurs in the whole text (a good answer has one or none).
        modality: What a mismatch says the picture is.
        anatomy: What a mismatch says the picture shows.
        well_formed: True when the text is exactly one of the three forms, with usable boxes.
    """

    reasoning: str = ""
    kind: AnswerKind | None = None
    class_name: str = ""
    boxes_xyxy_px: tuple[Box, ...] = ()
    has_seg: bool = False
    n_seg: int = 0
    modality: str = ""
    anatomy: str = ""
    well_formed: bool = False


def parse(text: str) -> ParsedAnswer:
    """Return what `text` says; never raises, and reads no more than `MAX_TEXT_CHARS` characters of it."""
    whole = text.strip() if len(text) <= MAX_TEXT_CHARS else text[:MAX_TEXT_CHARS]
    reasoning, answer = _split(whole)
    boxes, all_usable = _read_boxes(answer)
    has_seg = SEG in answer
    kind, class_name, modality, anatomy = _read_statement(answer, has_seg=has_seg, has_boxes=bool(boxes))
    shaped = len(text) <= MAX_TEXT_CHARS and _WELL_FORMED.fullmatch(whole) is not None
    return ParsedAnswer(
        reasoning=reasoning,
        kind=kind,
        class_name=class_name,
        boxes_xyxy_px=boxes,
        has_seg=has_seg,
        n_seg=whole.count(SEG),
        modality=modality,
        anatomy=anatomy,
        well_formed=shaped and all_usable,
    )


def compose_present(class_name: str, boxes_xyxy_px: Sequence[Box], reasoning: str = "") -> str:
    """Return the answer that locates `class_name` in `boxes_xyxy_px` and asks for the mask."""
    listed = ",".join("[" + ",".join(str(int(value)) for value in box) + "]" for box in boxes_xyxy_px)
    answer = f"The {_name(class_name)} is located at [{listed}]. The mask is {SEG}."
    return _framed(answer, reasoning)


def compose_absent(class_name: str, reasoning: str = "") -> str:
    """Return the answer that no `class_name` is seen."""
    return _framed(f"No {_name(class_name)} is seen.", reasoning)


def compose_mismatch(modality: str, anatomy: str, reasoning: str = "") -> str:
    """Return the answer that the question does not fit a picture of `modality` and `anatomy`."""
    statement = f"The question does not fit: this is {_name(modality)} of {_name(anatomy)}."
    return _framed(statement, reasoning)


def _framed(answer: str, reasoning: str) -> str:
    thought = f"{THINK_OPEN}{_without_tags(reasoning)}{THINK_CLOSE}" if reasoning.strip() else ""
    return f"{thought}{ANSWER_OPEN}{answer}{ANSWER_CLOSE}"


def _without_tags(reasoning: str) -> str:
    return " ".join(re.sub(r"[<>]", " ", reasoning).split())


def _name(words: str) -> str:
    """Return `words` without the characters that carry the grammar."""
    return " ".join(re.sub(r"[<>\[\].]", " ", words).split())[:MAX_NAME_CHARS]


def _split(text: str) -> tuple[str, str]:
    """Return (reasoning, answer); tags left open end where the next one begins or the text ends."""
    before, opened, after = text.partition(ANSWER_OPEN)
    if opened:
        answer = after.partition(ANSWER_CLOSE)[0]
    else:
        closed_at = before.find(THINK_CLOSE)
        answer = before[closed_at + len(THINK_CLOSE) :] if closed_at >= 0 else before
        if closed_at < 0 and THINK_OPEN in before:
            answer = ""
    thought = before.partition(THINK_OPEN)[2].partition(THINK_CLOSE)[0]
    return thought.strip(), answer.strip()


def _read_statement(
    answer: str, *, has_seg: bool, has_boxes: bool
) -> tuple[AnswerKind | None, str, str, str]:
    """Return (kind, class, modality, anatomy): a mask or boxes outweigh words that deny them."""
    located = _LOCATED.search(answer)
    if has_seg or (located is not None and has_boxes):
        words = _words_before(answer, located.start()) if located else ""
        return "present", words[len("the ") :].strip() if words[:4].lower() == "the " else words, "", ""
    mismatch = _MISMATCH.search(answer)
    if mismatch is not None:
        return "mismatch", "", (mismatch.group(1) or "").strip(), (mismatch.group(2) or "").strip()
    for seen in _SEEN.finditer(answer):
        absent = _NO.search(_words_before(answer, seen.start()))
        if absent is not None:
            return "absent", absent.group(1).strip(), "", ""
    return None, "", "", ""


def _words_before(answer: str, end: int) -> str:
    """Return the words of the statement that runs up to `end`."""
    return _STATEMENT_BREAK.split(answer[max(0, end - MAX_NAME_CHARS - len("The ")) : end])[-1].strip()


def _read_boxes(answer: str) -> tuple[tuple[Box, ...], bool]:
    """Return the usable boxes and whether none had to be dropped."""
    boxes: list[Box] = []
    all_usable = True
    for found in _BOX.finditer(answer):
        if len(boxes) >= MAX_BOXES:
            return tuple(boxes), False
        x0, y0, x1, y1 = (int(value) for value in found.group(1).split(","))
        if 0 <= x0 < x1 <= MAX_COORDINATE_PX and 0 <= y0 < y1 <= MAX_COORDINATE_PX:
            boxes.append((x0, y0, x1, y1))
        else:
            all_usable = False
    return tuple(boxes), all_usable
