"""Words of the model held against the mask: sides, sizes, and absence where something is marked.

The model describes the picture, in which a radiologist sees the patient's right on the left; a side in its words is
therefore of the picture if it says so, of the patient if it names an organ, and doubtful otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from CORESegLib.findings import SliceAnswer
from CORESegLib.geometry import Measured, Side

Frame = Literal["picture", "patient", "unsaid"]
SIZE_FACTOR = 1.5
"""How far a length in the text may lie from the mask's before that is said."""

_PICTURE = re.compile(
    r"\b(left|right)\b(?:[\w\s,-]{0,30}?)\b(?:of|in|on)\s+(?:the|this)\s+(?:picture|image|slice|frame|screen)\b"
    r"|\b(?:picture|image|screen)(?:'s|’s)?\s+(left|right)\b",
    re.IGNORECASE,
)
# Lobes, ventricles and atria are named by sides on which they need not lie.
_ORGANS = "lung|kidney|breast|hemisphere|adrenal|ovary|eye|orbit|hip|femur|knee|shoulder|hemithorax|flank|thyroid lobe"
_PATIENT = re.compile(
    rf"\bpatient(?:'s|’s)\s+(left|right)\b|\b(left|right)(?:-sided)?\s+(?:{_ORGANS})\b", re.IGNORECASE
)
_BARE = re.compile(r"\b(left|right)(?:-sided|\s+(?:side|half|part|hand|third))\b", re.IGNORECASE)
_LENGTH = re.compile(r"\b(\d{1,3}(?:[.,]\d{1,2})?)\s*(mm|cm)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class SideWord:
    """A side in a text.

    Attributes:
        side: As it is written.
        frame: Whose side it is.
        said: The words around it, for quoting.
        start: Where they begin.
    """

    side: Side
    frame: Frame
    said: str
    start: int


@dataclass(frozen=True, kw_only=True)
class Remark:
    """Something to be shown beside a text.

    Attributes:
        warning: Whether text and mask disagree; else it only explains.
        said: In a sentence.
    """

    warning: bool
    said: str


def read_sides(text: str) -> tuple[SideWord, ...]:
    """Return the sides that a text speaks of, in its order, each once."""
    found: list[SideWord] = []
    taken: list[tuple[int, int]] = []
    frames: tuple[tuple[Frame, re.Pattern[str]], ...] = (
        ("picture", _PICTURE),
        ("patient", _PATIENT),
        ("unsaid", _BARE),
    )
    for frame, pattern in frames:
        for match in pattern.finditer(text):
            if any(start < match.end() and match.start() < end for start, end in taken):
                continue
            taken.append(match.span())
            word = next(group for group in match.groups() if group).lower()
            side: Side = "left" if word == "left" else "right"
            found.append(SideWord(side=side, frame=frame, said=match[0], start=match.start()))
    return tuple(sorted(found, key=lambda one: one.start))


def remarks_on(found: SliceAnswer, measured: Measured | None) -> tuple[Remark, ...]:
    """Return what is to be said beside a finding's text, warnings first.

    Args:
        found: As the server sent it.
        measured: Of the mask as it is in the scene now; None where nothing is marked.
    """
    text = f"{found.reasoning} {found.answer}"
    remarks = [*_existence(found, measured), *_contradictions(found)]
    if measured is not None:
        remarks += [*_sides(text, measured), *_sizes(text, measured)]
    return tuple(sorted(remarks, key=lambda remark: not remark.warning))


def in_numbers(measured: Measured | None, *, axis: int) -> str:
    """Return the mask's own side, size and slices in a line for people, who count slices from 1."""
    if measured is None:
        return "The mask is empty."
    side = f"patient's {measured.patient_side}" if measured.patient_side else "near the middle"
    first, last = measured.slices[axis]
    slices = f"slice {first + 1}" if first == last else f"slices {first + 1}-{last + 1}"
    sizes = " x ".join(f"{side_mm:.0f}" for side_mm in measured.extent_mm)
    return f"From the mask: {side}, {measured.volume_ml:.2f} mL, {sizes} mm, {slices}"


def _existence(found: SliceAnswer, measured: Measured | None) -> Iterator[Remark]:
    if found.outcome == "present" and measured is None:
        yield Remark(warning=True, said="The text says that something is there, but nothing is marked.")
    if found.outcome != "present" and measured is not None:
        yield Remark(warning=True, said="Something is marked although the answer is not 'found'.")


def _contradictions(found: SliceAnswer) -> Iterator[Remark]:
    for text in found.contradictions:
        yield Remark(warning=True, said=f"The mask does not bear out “{text}”.")


def _sides(text: str, measured: Measured) -> Iterator[Remark]:
    for word in read_sides(text):
        if word.frame == "picture":
            if measured.picture_side is None:
                continue
            if word.side != measured.picture_side:
                where = f"the {measured.picture_side} of the picture"
                yield Remark(warning=True, said=f"The text says “{word.said}”; the mask lies on {where}.")
            elif measured.patient_side is not None:
                patient = f"the patient's {measured.patient_side}"
                yield Remark(warning=False, said=f"“{word.said}” is {patient}.")
        elif measured.patient_side is not None and word.side != measured.patient_side:
            doubt = " The text may mean the picture." if word.frame == "unsaid" else ""
            yield Remark(
                warning=True,
                said=f"The text says “{word.said}”; the mask lies on the patient's {measured.patient_side}.{doubt}",
            )


def _sizes(text: str, measured: Measured) -> Iterator[Remark]:
    lengths = [
        float(number.replace(",", ".")) * (10 if unit.lower() == "cm" else 1)
        for number, unit in _LENGTH.findall(text)
    ]
    if lengths and not 1 / SIZE_FACTOR <= max(lengths) / max(measured.longest_mm, 1e-6) <= SIZE_FACTOR:
        yield Remark(
            warning=True,
            said=f"The text speaks of {max(lengths):g} mm; the mask is {measured.longest_mm:.0f} mm long.",
        )
