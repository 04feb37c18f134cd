"""What each single answer was worth, as JSON lines: what two models are compared by, question by question.

Questions and patients stand there as hashes; nothing in the file names a picture or a patient.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from coreseg_core.errors import InputError
from coreseg_core.evaluation.bootstrap import json_number
from coreseg_core.evaluation.files import write_whole
from coreseg_core.evaluation.score import Score

SCHEMA = "coreseg.answers/1"


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One answer.

    Attributes:
        key: Of the question and the picture it was about, the same for every model.
        patient: Of the patient.
        kind: What the question tests.
        outcome: What was answered.
        right: Whether the outcome is right for the question.
        failed: Whether it missed the lesion altogether; False where there is none.
        dice: None where no mask is the right answer.
        iou: Likewise.
        confidence: As it was said.
        subset: The set that the picture is of.
        modality: Of the picture.
        anatomy: Likewise.
        domain: `id`, or `ood` for sets kept out of training.
    """

    key: str
    patient: str
    kind: str
    outcome: str
    right: bool
    failed: bool
    dice: float | None
    iou: float | None
    confidence: float
    subset: str
    modality: str
    anatomy: str
    domain: str


def answered(score: Score) -> Answered:
    """Return what is kept of a score."""
    ask, row = score.ask, score.ask.row
    return Answered(
        key=_hash(row.id, row.sha256, ask.shown.id, ask.variant, ask.shift_seed, ask.question),
        patient=_hash(score.group),
        kind=ask.kind,
        outcome=score.outcome,
        right=bool(score.right),
        failed=bool(score.failed),
        dice=json_number(score.dice),
        iou=json_number(score.iou),
        confidence=round(score.confidence, 6),
        subset=row.subset,
        modality=row.modality,
        anatomy=row.anatomy,
        domain=row.domain,
    )


def write_answers(path: Path, scores: Sequence[Score]) -> None:
    """Write the primary answers of a run; the file appears whole or not at all.

    Raises:
        InputError: The place cannot be written.
    """
    lines = [{"schema": SCHEMA, **asdict(answered(score))} for score in scores if score.ask.primary]
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    write_whole(path, text, what="file of answers")


def read_answers(path: Path) -> tuple[Answered, ...]:
    """Return the answers of a file.

    Raises:
        InputError: It cannot be read or is of another schema.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return tuple(_answered(line) for line in lines)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"The file of answers cannot be read, or is not of {SCHEMA}.",
            remedy="Give what `coreseg evaluate --answers FILE` wrote.",
        ) from error


def _answered(line: dict[str, Any]) -> Answered:
    if line.pop("schema") != SCHEMA:
        raise ValueError("another schema")
    return Answered(**{item.name: line[item.name] for item in fields(Answered)})


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
