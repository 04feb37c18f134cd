"""What is learned from: groups that teach anything, and how much of a step's loss each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.groups import GroupBatch
from training.grpo_math import Normaliser
from training.processes import gathered, process_count


@dataclass(kw_only=True)
class Lesson:
    """A group, and what is known of it before the policy moves.

    Attributes:
        batch: The answers as tensors.
        advantages: (G,).
        teaches: Whether anything is learned from it; other groups have no share.
        reference: (G, C) log-probabilities under the model of stage 1; None where no KL is asked for.
        old: (G, C) those under the policy that wrote the answers; None until the first step that learns from them.
    """

    batch: GroupBatch
    advantages: Tensor
    teaches: bool = True
    reference: Tensor | None = None
    old: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Share:
    """How much a group counts among all of a step, so that the groups' own means add up to the step's.

    Attributes:
        tokens: Its share of the written tokens.
        policy: Its share of the policy loss: of the tokens, or of the answers, as the normaliser says.
        masks: Its share of the learned masks.
    """

    tokens: float
    policy: float
    masks: float


def lesson_shares(lessons: Sequence[Lesson], *, normaliser: Normaliser) -> list[Share]:
    """Return the share of each lesson among those of all processes, whose losses are averaged: hence their number."""
    here = torch.tensor(
        [
            [1.0, float(lesson.batch.written.sum()), float(len(lesson.batch.with_mask))]
            if lesson.teaches
            else [0.0, 0.0, 0.0]
            for lesson in lessons
        ],
        dtype=torch.float64,
    ).view(-1, 3)
    all_of_them = gathered(here).sum(dim=0).clamp_min(1.0)
    parts = here / all_of_them * process_count()
    return [
        Share(tokens=tokens, policy=tokens if normaliser == "dapo" else groups, masks=masks)
        for groups, tokens, masks in parts.tolist()
    ]
