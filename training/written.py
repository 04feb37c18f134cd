"""What a row brings along: its own question, reasoning and answer, from a built data set or from a reader."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coreseg_core.answer import ParsedAnswer, compose_absent, compose_mismatch, compose_present, parse
from coreseg_core.claims import Facts, check_claims, read_claims
from coreseg_core.errors import InputError
from coreseg_core.evaluation.ask import kind_of_query
from coreseg_core.evaluation.rows import Row
from coreseg_core.record import Box
from training.wording import KINDS, Kind, KindMix, Question, choose_kind, write_question

P_OWN_QUESTION = 0.5
"""How often a corrected picture is asked what its reader asked, and not any other question that fits it."""


@dataclass(frozen=True, kw_only=True)
class WrittenWords:
    """A row's own words.

    Attributes:
        question: As it is typed, with its right outcome.
        reasoning: Empty where the row has none.
        answer: As it was read.
    """

    question: Question
    reasoning: str
    answer: ParsedAnswer

    @classmethod
    def of(cls, row: Row) -> WrittenWords | None:
        """Return the words of a row, None where it lacks a question or an answer, or asks what is never learned.

        Raises:
            InputError: Its answer cannot be read, or locates what the row does not outline.
        """
        if row.query is None or row.answer is None:
            return None
        kind = next((kind for kind in KINDS if kind == kind_of_query(row)), None)
        if kind is None:
            return None
        answer = parse(row.answer)
        said = answer.kind if answer.well_formed else None
        if said is None or (said == "present") is not (kind == "present"):
            raise InputError(
                f"A row of {row.subset!r} asks a question of kind {kind!r}, but its answer "
                + (f"says {said!r}." if said else "has none of the three forms."),
                remedy="Mend the answer (docs/dataset.md), or take 'query' and 'answer' out of the row.",
            )
        question = Question(text=row.query, expect=said, class_name=answer.class_name, kind=kind)
        return cls(question=question, reasoning=row.reasoning or "", answer=answer)

    def fits(self, facts: Facts | None) -> bool:
        """Return whether the reasoning says nothing that is untrue of a view; without facts nothing is."""
        return all(
            claim.verdict != "contradicted" for claim in check_claims(read_claims(self.reasoning), facts)
        )

    def reply(self, boxes_frame: Sequence[Box], reasoning: str) -> str:
        """Return the answer with a reasoning before it.

        Args:
            boxes_frame: Half-open boxes in the frame that is looked at: those of the row are pixels of its picture.
            reasoning: Empty for none.
        """
        answer = self.answer
        if answer.kind == "present":
            return compose_present(answer.class_name, boxes_frame, reasoning)
        if answer.kind == "mismatch":
            return compose_mismatch(answer.modality, answer.anatomy, reasoning)
        return compose_absent(answer.class_name, reasoning)


def question_about(
    rng: random.Random, row: Row, *, kind: Kind | None, mix: KindMix
) -> tuple[Question, WrittenWords | None]:
    """Return what is asked of a row: its own question with its words, or one of the recipe's and None.

    Args:
        rng: Source of the draws.
        row: What is asked about.
        kind: Of the question; that of the row's own, or drawn with the shares of `mix`, where not given.
        mix: Shares of the kinds.
    """
    own = WrittenWords.of(row)
    if own is not None and row.origin == "correction" and rng.random() >= P_OWN_QUESTION:
        own = None
    if own is not None and kind in (None, own.question.kind):
        return own.question, own
    return write_question(rng, row, kind or choose_kind(rng, row, mix)), None


def require_usable_words(rows: Iterable[Row]) -> None:
    """Raise unless the own words of all rows can be learned.

    Raises:
        InputError: An answer cannot be read, or locates what its row does not outline.
    """
    for row in rows:
        WrittenWords.of(row)
