"""Findings in plain words, the same ones in a terminal, on a picture and in a report.

Only `absent` may be read as absence, so every other outcome without a mask says that it is no "no".
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from coreseg_core.imaging import boxes_to_native
from coreseg_core.record import Box, Outcome, SliceFinding

HEADLINES: dict[Outcome, str] = {
    "present": "PRESENT",
    "absent": "NO LESION SEEN",
    "uncertain": "COULD NOT TELL",
    "mismatch": "THE QUESTION DOES NOT FIT",
    "unsupported": "NOT TRAINED FOR THIS",
    "error": "NO ANSWER",
}
CAUTIONS: dict[Outcome, str] = {
    "absent": "Only what the question names was looked for, and only where it says above.",
    "uncertain": "This is not a 'no': do not read it as the absence of a lesion.",
    "mismatch": "This says nothing about whether a lesion is there. Ask what fits the image.",
    "unsupported": "This says nothing about whether a lesion is there. 'coreseg info' lists what may be asked.",
    "error": "This says nothing about whether a lesion is there.",
}


def confidence_words(finding: SliceFinding) -> str:
    """Return the confidence with what it means."""
    if finding.confidence_kind == "rule":
        return "decided by the words of the question and the image's header, before the model was asked"
    return f"{finding.confidence:.2f} ({confidence_meaning(finding.confidence_kind)})"


def confidence_meaning(kind: str) -> str:
    """Return what a confidence of some kind means, and whether it was ever held against the truth."""
    return kind if kind.startswith("calibrated") else f"{kind}; not calibrated"


def native_boxes(finding: SliceFinding) -> tuple[Box, ...]:
    """Return the written boxes in pixels of the slice as displayed."""
    height, width = finding.mask.shape
    return boxes_to_native(finding.boxes_xyxy_px, (width, height), finding.box_frame_wh)


def contradictions(finding: SliceFinding) -> list[str]:
    """Return a warning for each statement of the reasoning that the mask contradicts."""
    return [
        f'The mask contradicts the reasoning: "{claim.text}" ({claim.kind}).'
        for claim in finding.claims
        if claim.verdict == "contradicted"
    ]


def spoken_slices(numbers: Iterable[int]) -> str:
    """Return slice numbers as "slice 4" or "slices 4 to 7, 9"."""
    ordered = sorted(numbers)
    runs = []
    for _, run in groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        runs.append(f"{members[0]} to {members[-1]}" if len(members) > 1 else str(members[0]))
    return f"{'slice' if len(ordered) == 1 else 'slices'} {', '.join(runs)}"


def millilitres(volume_mm3: float) -> str:
    """Return a volume in millilitres with two digits that count, without an exponent."""
    volume_ml = volume_mm3 / 1000
    decimals = 1 if volume_ml >= 10 else 2 if volume_ml >= 0.1 else 4
    return f"{volume_ml:.{decimals}f}"
