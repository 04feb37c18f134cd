"""One answer held against its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coreseg_core import claims as claims_of_text
from coreseg_core.answer import parse
from coreseg_core.claims import Facts
from coreseg_core.evaluation import metrics
from coreseg_core.evaluation.ask import Ask, modality_of
from coreseg_core.evaluation.pictures import Mask
from coreseg_core.record import Box, Claim, Outcome, SliceFinding
from coreseg_core.terms import understand

SURFACE_TOLERANCE_PX = 2.0


@dataclass(frozen=True, kw_only=True)
class Score:
    """What one answer is worth.

    Attributes:
        right: Whether the outcome is one of those that are right for the question.
        drew_mask: Whether any pixel was outlined, whatever the outcome says.
        dice, iou, surface_dice, instance_f1: Against the truth; NaN on questions no mask answers.
        failed: Dice 0 or not readable, on questions that have one.
        box_iou: Union of the written boxes against the union of the true lesions' boxes; NaN without boxes.
        box_mask_iou: Agreement of written boxes and drawn mask, as the answer reports it; NaN without.
        named_modality: Whether a mismatch names the modality family the picture really has.
        claims: Statements of the reasoning with their verdict against the true mask.
        facts: What is measured of the true lesions, by kind of claim; empty where there are none.
    """

    ask: Ask
    outcome: Outcome
    right: bool
    drew_mask: bool
    dice: float
    iou: float
    surface_dice: float
    instance_f1: float
    failed: bool
    confidence: float
    box_iou: float
    box_mask_iou: float
    named_modality: bool
    claims: tuple[Claim, ...]
    facts: Facts | None

    @property
    def group(self) -> str:
        """The patient, as the unit of resampling."""
        return self.ask.row.patient_key


def score(ask: Ask, finding: SliceFinding, *, truth: Mask, facts: Facts | None) -> Score:
    """Return what an answer is worth.

    Args:
        ask: The question.
        finding: What was answered.
        truth: (h, w) mask of the picture that was shown.
        facts: Measured from the row whose truth counts for claims (of the shuffled picture, the row's own).
    """
    predicted = np.asarray(finding.mask, dtype=bool)
    has_mask_for_answer = ask.kind == "present" and ask.variant != "shuffled"
    overlap = metrics.dice(predicted, truth) if has_mask_for_answer else np.nan
    return Score(
        ask=ask,
        outcome=finding.outcome,
        right=finding.outcome in ask.accepted,
        drew_mask=bool(predicted.any()),
        dice=overlap,
        iou=metrics.iou(predicted, truth) if has_mask_for_answer else np.nan,
        surface_dice=metrics.surface_dice(predicted, truth, tolerance=SURFACE_TOLERANCE_PX)
        if has_mask_for_answer
        else np.nan,
        instance_f1=metrics.instance_f1(predicted, truth) if has_mask_for_answer else np.nan,
        failed=has_mask_for_answer and metrics.is_failure(overlap, readable=finding.outcome != "error"),
        confidence=float(np.clip(finding.confidence, 0.0, 1.0)),
        box_iou=_box_iou(finding, truth) if has_mask_for_answer else np.nan,
        box_mask_iou=np.nan if finding.box_mask_iou is None else float(finding.box_mask_iou),
        named_modality=_named_modality(ask, finding),
        claims=claims_of_text.check_claims(claims_of_text.read_claims(finding.reasoning), facts),
        facts=facts,
    )


def _box_iou(finding: SliceFinding, truth: Mask) -> float:
    if not finding.boxes_xyxy_px or min(finding.box_frame_wh) <= 0:
        return float("nan")
    height, width = truth.shape
    scale_x, scale_y = width / finding.box_frame_wh[0], height / finding.box_frame_wh[1]
    native: tuple[Box, ...] = tuple(
        (round(x0 * scale_x), round(y0 * scale_y), round(x1 * scale_x), round(y1 * scale_y))
        for x0, y0, x1, y1 in finding.boxes_xyxy_px
    )
    written = metrics.boxes_mask(native, height=height, width=width)
    wanted = metrics.boxes_mask(claims_of_text.boxes(truth), height=height, width=width)
    return metrics.iou(written, wanted)


def _named_modality(ask: Ask, finding: SliceFinding) -> bool:
    own = modality_of(ask.shown)
    if finding.outcome != "mismatch" or own is None:
        return False
    return understand(parse(finding.answer_text).modality).modality_family == own.group
