"""What it is worth to say "nothing there" or "this question does not fit", and which belief that makes decisive."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from coreseg_core.answer import ParsedAnswer


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What denials and false alarms are worth; all at least 0. See docs/rewards.md for what they imply together.

    Attributes:
        bonus: For the right denial where no mask is the right answer (b).
        penalty: Taken for a mask, or boxes, where no mask is the right answer (c).
        abstention: Taken for a denial where there is a lesion (e).
        other_denial: Share of the bonus for the wrong one of the two denials, which alarms nobody falsely.
    """

    bonus: float = 1.0
    penalty: float = 1.0
    abstention: float = 1.0
    other_denial: float = 0.25


def absence_reward(parsed: ParsedAnswer, *, right: Set[str], prices: Prices) -> float:
    """Return what an answer's saying yes or no is worth, from -max(penalty, abstention) to bonus.

    An answer that says neither is worth 0 here: no bonus, and the other terms are lost to it.

    Args:
        right: The outcomes that are right for the question: `present`, `absent`, `mismatch`.
    """
    if parsed.kind is None:
        return 0.0
    if "present" in right:
        return 0.0 if parsed.kind == "present" else -prices.abstention
    if parsed.kind == "present":
        return -prices.penalty
    return prices.bonus * (1.0 if parsed.kind in right else prices.other_denial)


def belief_threshold(prices: Prices, *, expected_hit: float) -> float:
    """Return the belief in a lesion above which drawing a mask pays more than denying it.

    With belief p, a mask earns p r - (1 - p) c and a denial (1 - p) b - p e; they are equal at
    p* = (b + c) / (r + e + b + c).

    Args:
        expected_hit: r, what detection and mask together earn on average when there is a lesion, as weighted.
    """
    against = prices.bonus + prices.penalty
    return against / (expected_hit + prices.abstention + against)
