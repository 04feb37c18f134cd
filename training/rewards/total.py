"""One answer held against the truth: every term by itself, and their weighted sum."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from coreseg_core.answer import parse
from coreseg_core.evaluation.metrics import Mask, dice
from coreseg_core.record import Box, ReasoningMode
from training.rewards.absence import Prices, absence_reward
from training.rewards.boxes import detection_reward
from training.rewards.form import format_reward
from training.rewards.masks import MaskKind, mask_reward


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """Weights and prices; a weight of 0 takes a term out (ablation), it is logged all the same.

    Attributes:
        format: Weight of the form of the answer, 0 or 1.
        detection: Weight of the boxes, 0 to 1.
        mask: Weight of the mask, -1 to 3.
        absence: Weight of denials and false alarms.
        mask_kind: `dual` as in the paper, or `dice` (ablation).
        prices: Of denials and false alarms.
    """

    format: float = 1.0
    detection: float = 1.0
    mask: float = 1.0
    absence: float = 1.0
    mask_kind: MaskKind = "dual"
    prices: Prices = field(default_factory=Prices)

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most that an answer can earn."""
        prices = self.prices
        lowest_mask = -1.0 if self.mask_kind == "dual" else 0.0
        worst_try = self.mask * lowest_mask
        worst = min(worst_try, -self.absence * prices.abstention, -self.absence * prices.penalty)
        best = max(self.detection + 3.0 * self.mask, self.absence * prices.bonus)
        return worst, self.format + best


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is right for one question about one picture.

    Attributes:
        right: Right outcomes: `present`, or of `absent` and `mismatch`.
        boxes_xyxy_px: True boxes in the frame that answers count in; empty unless a mask is right.
        mask: (h, w) true lesions; not looked at unless a mask is right.
    """

    right: Set[str]
    boxes_xyxy_px: tuple[Box, ...]
    mask: Mask

    @property
    def present(self) -> bool:
        """Whether a mask is the right answer."""
        return "present" in self.right


@dataclass(frozen=True, kw_only=True)
class RewardTerms:
    """The terms of one answer, unweighted; None where a term does not apply.

    Attributes:
        total: Their weighted sum.
        dice: Of the mask, 0 without one; None where no mask is right.
    """

    format: float
    detection: float | None
    mask: float | None
    absence: float
    total: float
    dice: float | None


def answer_reward(
    text: str, mask: Mask | None, truth: Truth, *, reasoning: ReasoningMode, config: RewardConfig
) -> RewardTerms:
    """Return what one answer is worth; never raises on a text, and stays within `config.bounds`.

    On a lesion, an answer that denies it pays the price of abstaining and earns nothing for boxes and mask; one that
    neither denies it nor draws has an empty mask, the worst of all.

    Args:
        text: The whole answer.
        mask: (h, w) what `<seg>` led to; None without `<seg>`.
        truth: What is right.
        reasoning: How much reasoning was asked for.
        config: Weights and prices.
    """
    parsed = parse(text)
    form = format_reward(parsed, reasoning=reasoning)
    absence = absence_reward(parsed, right=truth.right, prices=config.prices)
    total = config.format * form + config.absence * absence
    if not truth.present:
        return RewardTerms(format=form, detection=None, mask=None, absence=absence, total=total, dice=None)
    detection, drawn, overlap = 0.0, 0.0, 0.0
    if parsed.kind not in ("absent", "mismatch"):
        found = (truth.mask & False) if mask is None else mask
        detection = detection_reward(parsed.boxes_xyxy_px, truth.boxes_xyxy_px)
        drawn = mask_reward(found, truth.mask, kind=config.mask_kind)
        overlap = dice(found, truth.mask)
    total += config.detection * detection + config.mask * drawn
    return RewardTerms(
        format=form, detection=detection, mask=drawn, absence=absence, total=total, dice=overlap
    )
