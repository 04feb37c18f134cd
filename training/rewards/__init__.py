"""Rewards of CORE-Seg's second stage as pure functions of text, boxes and masks (arXiv 2603.05911, stage 2).

Each term stands in a file of its own and is logged by itself; `answer_reward` weighs and sums them. No reward reads a
file, draws a number or raises on what a model wrote.
"""

from training.rewards.absence import Prices, belief_threshold
from training.rewards.boxes import MAX_MATCHED_BOXES, box_giou, box_ious, detection_reward
from training.rewards.form import format_reward
from training.rewards.masks import DICE_SWITCH, MaskKind, mask_reward
from training.rewards.total import RewardConfig, RewardTerms, Truth, answer_reward

__all__ = [
    "DICE_SWITCH",
    "MAX_MATCHED_BOXES",
    "MaskKind",
    "Prices",
    "RewardConfig",
    "RewardTerms",
    "Truth",
    "answer_reward",
    "belief_threshold",
    "box_giou",
    "box_ious",
    "detection_reward",
    "format_reward",
    "mask_reward",
]
