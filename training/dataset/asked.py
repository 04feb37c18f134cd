"""A picture with the question asked about it: what writers write about and judges judge."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from coreseg_core.answer import compose_absent, compose_mismatch, compose_present
from coreseg_core.claims import Facts, boxes, check_claims, measure, read_claims
from coreseg_core.errors import InputError
from coreseg_core.evaluation.ask import kind_of_query
from coreseg_core.evaluation.pictures import Picture, load_picture
from coreseg_core.evaluation.rows import Probe, Row
from coreseg_core.record import Claim
from training.wording import (
    DEFAULT_MIX,
    KINDS,
    Kind,
    Question,
    choose_kind,
    class_of,
    subject_of,
    write_question,
)
from training.written import WrittenWords

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
    """Return each row with a question whose outcome is known; one that a row has already stays, with its kind.

    Args:
        seed: Chooses the words.
        mixed: Ask some pictures (a quarter) a second question that does not fit: another disease, organ or modality.
            A row that was written as a question, with its kind, is asked no other.

    Raises:
        InputError: The right answer to a row's own question is not known.
    """
    asked: list[Row] = []
    for row in rows:
        asked.append(_asked(row, seed=seed))
        kind = choose_kind(random.Random(f"{seed}/{row.id}"), row, DEFAULT_MIX)
        if mixed and kind not in PLAIN and not (row.query and row.probe):
            asked.append(_newly_asked(replace(row, id=f"{row.id}#{kind}"), kind, seed=seed))
    return tuple(asked)


def load_asked(row: Row, *, seed: int) -> Asked:
    """Return a row of `questions` with its picture and what is measured in it.

    Raises:
        InputError: The right answer is not known, or the picture or mask cannot be read.
    """
    question = _question(row, seed=seed)
    picture = load_picture(row)
    return Asked(row=row, picture=picture, question=question, facts=measure(picture.mask, picture.rgb))


def class_words(row: Row) -> str:
    """Return the class of a row with its finer word where that says more."""
    name = class_of(row)
    return (
        name
        if row.disease.lower() in ("none", name.lower(), row.target.lower())
        else f"{name} ({row.disease})"
    )


def _asked(row: Row, *, seed: int) -> Row:
    if not row.query:
        return _newly_asked(row, subject_of(row).kinds[0], seed=seed)
    kind = _question(row, seed=seed).kind
    return replace(row, probe=row.probe or Probe(kind, "reader"))


def _newly_asked(row: Row, kind: Kind, *, seed: int) -> Row:
    text = _drawn(row, kind, seed=seed).text
    return replace(row, query=text, reasoning=None, answer=None, probe=Probe(kind, "generated"))


def _question(row: Row, *, seed: int) -> Question:
    """Return the question of a row with its outcome, from the row's own answer where it has one.

    Raises:
        InputError: The right answer is not known.
    """
    kind = next((kind for kind in KINDS if kind == kind_of_query(row)), None)
    if kind is None or (kind in PLAIN and kind not in subject_of(row).kinds):
        raise _unanswerable(row)
    own = WrittenWords.of(row)
    if own is not None:
        return own.question
    drawn = _drawn(row, kind, seed=seed)
    # Only its answer, or the draw that wrote it, tells which other disease was asked for.
    if kind == "wrong_disease" and drawn.text != row.query:
        raise _unanswerable(row)
    return replace(drawn, text=row.query or "")


def _drawn(row: Row, kind: Kind, *, seed: int) -> Question:
    return write_question(random.Random(f"{seed}/{row.id}/{kind}"), row, kind)


def _unanswerable(row: Row) -> InputError:
    return InputError(
        f"A row of {row.subset!r} asks a question of kind {kind_of_query(row)!r}, whose right answer about its picture "
        "is not known.",
        remedy="Add the 'answer' to the row, or take its 'query' and 'probe', or the row itself, out of the manifest.",
    )
