"""What a reader asked and wrote about a picture, as a dialogue to learn from."""

from __future__ import annotations

import random
from collections.abc import Sequence

from coreseg_core.answer import compose_absent, compose_present
from coreseg_core.evaluation.rows import Row
from coreseg_core.record import Box, ReasoningMode
from training.wording import Kind, Question, class_of

P_TOLD = 0.5
"""How often a reader's own question is asked; else one in other words, so that not the wording is learned by heart."""


def told_question(rng: random.Random, row: Row, kind: Kind) -> Question | None:
    """Return the question that a reader asked about the picture; None where it is not her turn or of another kind."""
    if row.query is None or row.origin != "correction" or kind not in ("present", "lesion_free"):
        return None
    if rng.random() >= P_TOLD:
        return None
    if kind == "present":
        return Question(text=row.query, expect="present", class_name=class_of(row), kind=kind)
    return Question(text=row.query, expect="absent", class_name=class_of(row), kind=kind)


def told_reply(
    row: Row, question: Question, boxes_frame: Sequence[Box], *, view: int, mode: ReasoningMode
) -> str | None:
    """Return the reply with the reader's own reasoning; None where she wrote none, or of another view than hers.

    Args:
        row: With the reasoning.
        question: Her own.
        boxes_frame: In the frame the model sees.
        view: Number of the view; what she wrote of places is true of the picture as it is, number 0.
        mode: How much reasoning is asked for.
    """
    if not row.reasoning or view != 0 or mode == "none":
        return None
    if question.expect == "present":
        return compose_present(question.class_name, boxes_frame, row.reasoning)
    return compose_absent(question.class_name, row.reasoning)
