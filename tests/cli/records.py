"""Records made by hand, for what an untrained model does not say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from coreseg_core.imaging import VolumeGeometry
from coreseg_core.inference.lesions import separate_lesions
from coreseg_core.record import Claim, FindingRecord, Outcome, Scope, SliceFinding

SHAPE = (40, 48, 6)
GEOMETRY = VolumeGeometry(SHAPE, np.diag([-2.0, -2.0, 5.0, 1.0]))
CARD = {"preset": "lite", "version": "v0", "sha256": "ab" * 32}


def finding(outcome: Outcome, index: int = 3, **changes: Any) -> SliceFinding:
    """Return a finding on slice `index`; a present one has a mask of 4 x 5 pixels, 0.4 mL."""
    mask = np.zeros((48, 40), dtype=bool)
    if outcome == "present":
        mask[10:14, 20:25] = True
        made = SliceFinding(
            axis=2,
            index=index,
            outcome=outcome,
            mask=mask,
            reasoning="There is one small bright mass on the left side.",
            answer_text="The brain tumor is located at [[105,52,131,73]]. The mask is <seg>.",
            boxes_xyxy_px=((105, 52, 131, 73),),
            box_frame_wh=(210, 252),
            confidence=0.83,
            confidence_kind="predicted IoU x agreement of boxes and mask",
            box_mask_iou=0.9,
            claims=(
                Claim("small", "size", "small", "supported"),
                Claim("left side", "side", "left", "contradicted"),
            ),
        )
    else:
        made = SliceFinding(axis=2, index=index, outcome=outcome, mask=mask, confidence=0.7)
    return replace(made, **changes)


def record(*findings: SliceFinding, **changes: Any) -> tuple[FindingRecord, np.ndarray]:
    """Return the record and the label volume of findings on slices that follow each other."""
    mask = np.zeros(SHAPE, dtype=bool)
    for found in findings:
        if found.outcome == "present":
            mask[:, :, found.index] = found.mask.T
    sure = {found.index: found.confidence for found in findings}
    labels, lesions = separate_lesions(mask, GEOMETRY, axis=2, confidence=sure)
    made = FindingRecord(
        id="0123456789abcdef",
        image_id="head",
        query="Where is the brain tumor?",
        scope=Scope(2, findings[0].index, findings[-1].index + 1),
        model=CARD,
        outcome=findings[0].outcome,
        slices=findings,
        lesions=lesions,
        created="2026-01-31T12:00:00+00:00",
    )
    return replace(made, **changes), labels
