"""The contract that every room shares: a question, what is found on a slice, and the record that is kept.

Versioned as `coreseg.record/1`; its JSON Schema is `data/record.schema.json`. Boxes are
half-open `[x0, y0, x1, y1)` integer pixels everywhere; `box_frame_wh` names the picture they are counted in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SCHEMA = "coreseg.record/1"

Outcome = Literal["present", "absent", "uncertain", "mismatch", "unsupported", "error"]
ReasoningMode = Literal["full", "brief", "none"]
Verdict = Literal["supported", "contradicted", "unchecked"]
Box = tuple[int, int, int, int]

OUTCOMES: tuple[Outcome, ...] = ("present", "absent", "uncertain", "mismatch", "unsupported", "error")
REASONING_MODES: tuple[ReasoningMode, ...] = ("full", "brief", "none")


@dataclass(frozen=True)
class ReaderPrompts:
    """Clicks and boxes of the reader on one slice, in native slice pixels (x to the right, y down).

    Attributes:
        points_xy_px: Clicked pixels.
        points_inside: For each click, whether it marks the lesion (True) or what is not lesion (False).
        boxes_xyxy_px: Boxes drawn around lesions, half-open.
    """

    points_xy_px: tuple[tuple[float, float], ...] = ()
    points_inside: tuple[bool, ...] = ()
    boxes_xyxy_px: tuple[Box, ...] = ()

    @property
    def empty(self) -> bool:
        """True when the reader gave nothing."""
        return not self.points_xy_px and not self.boxes_xyxy_px


@dataclass(frozen=True)
class Query:
    """A question about an image, with how much reasoning is wanted and what the reader marked."""

    text: str
    reasoning: ReasoningMode = "brief"
    prompts: ReaderPrompts = field(default_factory=ReaderPrompts)


@dataclass(frozen=True)
class Scope:
    """Slices `start <= index < stop` along array axis `axis` (0, 1 or 2: i, j or k)."""

    axis: int
    start: int
    stop: int

    @property
    def indices(self) -> range:
        """Slice numbers in reading order."""
        return range(self.start, self.stop)


@dataclass(frozen=True)
class Claim:
    """One checkable statement of the reasoning and what the mask says about it."""

    text: str
    kind: str
    value: str
    verdict: Verdict = "unchecked"


@dataclass(frozen=True)
class SliceFinding:
    """What one slice answered.

    Attributes:
        mask: (h, w) bool, native slice pixels in display orientation.
        boxes_xyxy_px: Boxes as the language model wrote them, in the frame `box_frame_wh`.
        confidence: 0..1; what it means is named by `confidence_kind`.
        box_mask_iou: Overlap of the written boxes' union with the mask's boxes, None without both.
    """

    axis: int
    index: int
    outcome: Outcome
    mask: NDArray[np.bool_]
    reasoning: str = ""
    answer_text: str = ""
    boxes_xyxy_px: tuple[Box, ...] = ()
    box_frame_wh: tuple[int, int] = (0, 0)
    confidence: float = 0.0
    confidence_kind: str = "uncalibrated"
    box_mask_iou: float | None = None
    claims: tuple[Claim, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Lesion:
    """One connected lesion of the label volume; `box_ijk` is half-open (i0, j0, k0, i1, j1, k1)."""

    id: int
    label_value: int
    slices: tuple[int, ...]
    box_ijk: tuple[int, int, int, int, int, int]
    volume_mm3: float
    confidence: float


@dataclass(frozen=True)
class FindingRecord:
    """What is kept of one question: who was asked what, with which weights, and what came back.

    Attributes:
        marks: The reader's clicks and boxes in voxels, `{inside_ijk, outside_ijk, boxes_ijk}`; None without any.
        edits: What a reader changed afterwards, as in the JSON Schema.
    """

    id: str
    image_id: str
    query: str
    scope: Scope
    model: Mapping[str, str]
    outcome: Outcome
    slices: tuple[SliceFinding, ...]
    lesions: tuple[Lesion, ...]
    created: str
    series_uid: str | None = None
    parent_id: str | None = None
    edits: Mapping[str, Any] | None = None
    marks: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record as `coreseg.record/1` JSON values; masks stay in the label volume."""
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "id": self.id,
            "image_id": self.image_id,
            "query": self.query,
            "scope": {"axis": "ijk"[self.scope.axis], "start": self.scope.start, "stop": self.scope.stop},
            "model": dict(self.model),
            "outcome": self.outcome,
            "slices": [slice_json(finding) for finding in self.slices],
            "lesions": [
                {
                    "id": lesion.id,
                    "label_value": lesion.label_value,
                    "slices": list(lesion.slices),
                    "box_ijk": list(lesion.box_ijk),
                    "volume_mm3": round(lesion.volume_mm3, 3),
                    "confidence": round(lesion.confidence, 4),
                }
                for lesion in self.lesions
            ],
            "created": self.created,
        }
        optional = {
            "series_uid": self.series_uid,
            "parent_id": self.parent_id,
            "edits": self.edits,
            "marks": self.marks,
        }
        record.update({key: value for key, value in optional.items() if value is not None})
        return record


def slice_json(finding: SliceFinding) -> dict[str, Any]:
    """Return a finding as it stands in a `coreseg.record/1`, without its mask."""
    values: dict[str, Any] = {
        "axis": "ijk"[finding.axis],
        "index": finding.index,
        "outcome": finding.outcome,
        "reasoning": finding.reasoning,
        "answer": finding.answer_text,
        "boxes_xyxy_px": [list(box) for box in finding.boxes_xyxy_px],
        "box_frame_wh": list(finding.box_frame_wh),
        "confidence": round(finding.confidence, 4),
        "confidence_kind": finding.confidence_kind,
        "claims": [
            {"text": claim.text, "kind": claim.kind, "value": claim.value, "verdict": claim.verdict}
            for claim in finding.claims
        ],
    }
    if finding.box_mask_iou is not None:
        values["box_mask_iou"] = round(finding.box_mask_iou, 4)
    if finding.reason:
        values["reason"] = finding.reason
    return values


def finding_of_json(values: Mapping[str, Any], mask: NDArray[np.bool_]) -> SliceFinding:
    """Return the finding of what `slice_json` made of it, with its mask (h, w) as displayed."""
    return SliceFinding(
        axis="ijk".index(values["axis"]),
        index=values["index"],
        outcome=values["outcome"],
        mask=mask,
        reasoning=values["reasoning"],
        answer_text=values["answer"],
        boxes_xyxy_px=tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in values["boxes_xyxy_px"]),
        box_frame_wh=(values["box_frame_wh"][0], values["box_frame_wh"][1]),
        confidence=values["confidence"],
        confidence_kind=values["confidence_kind"],
        box_mask_iou=values.get("box_mask_iou"),
        claims=tuple(Claim(**claim) for claim in values["claims"]),
        reason=values.get("reason", ""),
    )
