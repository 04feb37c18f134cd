"""How sure an answer is that was given several times: asked again with some chance, does the model say the same?

Dearer than reading the model's own estimates (`inference.confidence`), since every vote is written out; picture and
question are read once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import InputError
from coreseg_core.record import Box, SliceFinding

VOTES_KIND = "agreement of sampled answers"


@dataclass(frozen=True, kw_only=True)
class Votes:
    """What sampled answers to one question say together.

    Attributes:
        share: Of those with the outcome of the answer that is given.
        mask_agreement: Mean Dice of their masks with the mask that is given; None for an answer without one.
        box_spread: Mean distance of their boxes' edges from the mean edges, as a share of the frame; None below two
            votes with exactly one box.
        heat: (h, w) share of all votes that outline each pixel.
    """

    share: float
    mask_agreement: float | None
    box_spread: float | None
    heat: NDArray[np.float32]

    @property
    def confidence(self) -> float:
        """0..1: how many agree, and how well their masks do."""
        return self.share * (1.0 if self.mask_agreement is None else self.mask_agreement)


def count_votes(given: SliceFinding, sampled: Sequence[SliceFinding]) -> Votes:
    """Return what sampled answers say of the one that is given; an uncertain mask counts as the mask that it is.

    Raises:
        InputError: There are no votes.
    """
    if not sampled:
        raise InputError("There are no sampled answers to count.", remedy="Sample at least one.")
    agreeing = [vote for vote in sampled if _says(vote) == _says(given)]
    agreement = None
    if given.mask.any():
        agreement = float(np.mean([_dice(vote.mask, given.mask) for vote in agreeing])) if agreeing else 0.0
    return Votes(
        share=len(agreeing) / len(sampled),
        mask_agreement=agreement,
        box_spread=_spread([vote.boxes_xyxy_px for vote in sampled], given.box_frame_wh),
        heat=np.mean([vote.mask for vote in sampled], axis=0, dtype=np.float32),
    )


def with_votes(given: SliceFinding, sampled: Sequence[SliceFinding]) -> SliceFinding:
    """Return an answer with the confidence that sampled ones give it."""
    votes = count_votes(given, sampled)
    return replace(given, confidence=votes.confidence, confidence_kind=f"{VOTES_KIND} ({len(sampled)})")


def _says(finding: SliceFinding) -> str:
    return "present" if finding.mask.any() else finding.outcome


def _dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def _spread(boxes: Sequence[Sequence[Box]], frame_wh: tuple[int, int]) -> float | None:
    single = np.array([written[0] for written in boxes if len(written) == 1], dtype=np.float64)
    if len(single) < 2 or min(frame_wh) <= 0:
        return None
    sides = np.array([*frame_wh, *frame_wh], dtype=np.float64)
    return float((np.abs(single - single.mean(axis=0)) / sides).mean())
