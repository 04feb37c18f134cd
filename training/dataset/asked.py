"""A picture with the question asked about it: what writers write about and judges judge."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from coreseg_core.answer import compose_absent, compose_mismatch, compose_present
from coreseg_core.claims import Facts, boxes, check_claims, measure, read_claims
from coreseg_core.evaluation.pictures import Picture, load_picture
from coreseg_core.evaluation.rows import Probe, Row, Wording
from coreseg_core.record import Claim
from training.wording import DEFAULT_MIX, Kind, Question, choose_kind, class_of, subject_of, write_question

PLAIN: tuple[Kind, Kind] = ("present", "lesion_free")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question about one picture.

    Attributes:
        row: With `query` and `probe` set.
        question: With its right outcome.
        facts: Measured of the outlined lesions, None without any.
    """

    row: Row
    picture: Picture
    question: Question
    facts: Facts | None

    @property
    def kind(self) -> Kind:
        """Why the question is answerable or not."""
        return self.question.kind

    def answer(self) -> str:
        """Return the right answer in the answer grammar, without reasoning; boxes are pixels of the picture."""
        if self.question.expect == "present":
            return compose_present(self.question.class_name, boxes(self.picture.mask))
        if self.question.expect == "mismatch":
            return compose_mismatch(self.row.modality, self.row.anatomy)
        return compose_absent(self.question.class_name)

    def claims(self, reasoning: str) -> tuple[Claim, ...]:
        """Return the statements of a reasoning about the lesions, each held against the mask."""
        return check_claims(read_claims(reasoning), self.facts if self.kind == "present" else None)


def questions(rows: Sequence[Row], *, seed: int, mixed: bool) -> tuple[Row, ...]:
    """Return each row with a question whose outcome is known; one that a row has already stays.

    Args:
        seed: Chooses the words.
        mixed: Ask some pictures (a quarter) a second question that does not fit: another disease, organ or modality.
    """
    asked: list[Row] = []
    for row in rows:
        asked.append(_asked(row, subject_of(row).kinds[0], seed=seed))
        kind = choose_kind(random.Random(f"{seed}/{row.id}"), row, DEFAULT_MIX)
        if mixed and kind not in PLAIN:
            second = replace(row, id=f"{row.id}#{kind}", query=None, reasoning=None, answer=None)
            asked.append(_asked(second, kind, seed=seed))
    return tuple(asked)


def load_asked(row: Row, *, seed: int) -> Asked:
    """Return a row of `questions` with its picture and what is measured in it.

    Raises:
        InputError: The picture or mask cannot be read.
    """
    kind = _kind(row)
    picture = load_picture(row)
    # The same draw as in `questions`; only the text may be the row's own.
    question = replace(_question(row, kind, seed=seed), text=row.query or "")
    return Asked(row=row, picture=picture, question=question, facts=measure(picture.mask, picture.rgb))


def class_words(row: Row) -> str:
    """Return the class of a row with its finer word where that says more."""
    name = class_of(row)
    return (
        name
        if row.disease.lower() in ("none", name.lower(), row.target.lower())
        else f"{name} ({row.disease})"
    )


def _asked(row: Row, kind: Kind, *, seed: int) -> Row:
    text = row.query or _question(row, kind, seed=seed).text
    wording: Wording = "reader" if row.query else "generated"
    return replace(row, query=text, probe=Probe(kind, wording))


def _question(row: Row, kind: Kind, *, seed: int) -> Question:
    return write_question(random.Random(f"{seed}/{row.id}/{kind}"), row, kind)


def _kind(row: Row) -> Kind:
    kinds = subject_of(row).kinds
    return next((kind for kind in kinds if row.probe is not None and kind == row.probe.kind), kinds[0])
