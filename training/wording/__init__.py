"""Questions, reasoning and answers in words, written from manifest rows and measurements.

Everything draws from a `random.Random` that the caller seeds, so that a data set can be written again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from coreseg_core.answer import compose_absent, compose_mismatch, compose_present
from coreseg_core.claims import CONTRAST, NUMBER, OUTLINE, PLACE, SIZE, Facts
from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Row
from coreseg_core.record import REASONING_MODES, Box, ReasoningMode
from training.wording.captions import write_reasoning
from training.wording.catalogue import KINDS, Kind, Subject, class_of, subject_of
from training.wording.negatives import DEFAULT_MIX, KindMix, choose_kind
from training.wording.questions import Question, write_question

__all__ = [
    "DEFAULT_MIX",
    "KINDS",
    "Kind",
    "KindMix",
    "Question",
    "Subject",
    "choose_kind",
    "class_of",
    "corpus",
    "subject_of",
    "target_text",
    "write_question",
    "write_reasoning",
]


def target_text(
    rng: random.Random,
    row: Row,
    facts: Facts | None,
    boxes_frame: Sequence[Box],
    kind: Kind,
    question: Question,
    mode: ReasoningMode,
) -> str:
    """Return the whole assistant text that is right for this question about this picture.

    Args:
        facts: Measured on the picture as the model sees it; needed for kind "present".
        boxes_frame: Half-open boxes in the frame the model sees, largest first; needed for kind "present".

    Raises:
        InputError: The kind is "present" but there is no box.
    """
    subject = subject_of(row)
    reasoning = write_reasoning(
        rng, facts, subject.modality, subject.anatomy, question.class_name, mode, kind
    )
    if kind == "present":
        if not boxes_frame:
            raise InputError(
                "A present answer needs at least 1 box; 0 were given.", remedy="Ask another kind."
            )
        return compose_present(question.class_name, boxes_frame, reasoning)
    if question.expect == "mismatch":
        return compose_mismatch(subject.modality, subject.anatomy, reasoning)
    return compose_absent(question.class_name, reasoning)


def corpus(rng: random.Random, rows: Sequence[Row], n: int) -> Iterator[str]:
    """Yield `n` texts (question, then answer) to train a tokenizer on, with invented measurements."""
    for _ in range(n):
        row = rng.choice(rows)
        kind = choose_kind(rng, row)
        question = write_question(rng, row, kind)
        mode: ReasoningMode = rng.choice(REASONING_MODES)
        boxes = [_invented_box(rng) for _ in range(rng.choice((1, 1, 1, 2, 4)))]
        answer = target_text(rng, row, _invented_facts(rng), boxes, kind, question, mode)
        yield f"{question.text}\n{answer}"


def _invented_box(rng: random.Random) -> Box:
    """Return a box somewhere in a frame of 252 pixels."""
    x0, y0 = rng.randrange(0, 240), rng.randrange(0, 240)
    return x0, y0, rng.randrange(x0 + 1, 253), rng.randrange(y0 + 1, 253)


def _invented_facts(rng: random.Random) -> Facts:
    """Return facts that were not measured on any picture."""
    place = rng.choice(sorted(PLACE))
    return Facts(
        number=rng.choice(sorted(NUMBER)),
        side=place.split()[-1],
        place=place,
        size=rng.choice(sorted(SIZE)),
        contrast=rng.choice(sorted(CONTRAST)),
        outline=rng.choice(sorted(OUTLINE)),
        area_fraction=0.0,
        centre_xy=(0.5, 0.5),
        effect=None,
        solidity=None,
    )
