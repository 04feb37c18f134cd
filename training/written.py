"""What a row brings along: its own question, reasoning and answer, from a built data set or from a reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coreseg_core.answer import ParsedAnswer, compose_absent, compose_mismatch, compose_present, parse
from coreseg_core.claims import Facts, check_claims, read_claims
from coreseg_core.errors import InputError
from coreseg_core.evaluation.ask import kind_of_query
from coreseg_core.evaluation.rows import Row
from coreseg_core.record import Box
from training.wording import KINDS, Kind


@dataclass(frozen=True, kw_only=True)
class WrittenWords:
    """A row's own words.

    Attributes:
        kind: Why its question is answerable or not.
        question: As it is typed.
        reasoning: Empty where the row has none.
        answer: As it was read.
    """

    kind: Kind
    question: str
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
        if not answer.well_formed or (answer.kind == "present") is not (kind == "present"):
            raise InputError(
                f"A row of {row.subset!r} asks a question of kind {kind!r}, but its answer "
                + (f"says {answer.kind!r}." if answer.well_formed else "has none of the three forms."),
                remedy="Mend the answer (docs/dataset.md), or take 'query' and 'answer' out of the row.",
            )
        return cls(kind=kind, question=row.query, reasoning=row.reasoning or "", answer=answer)

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


def require_usable_words(rows: Iterable[Row]) -> None:
    """Raise unless the own words of all rows can be learned.

    Raises:
        InputError: An answer cannot be read, or locates what its row does not outline.
    """
    for row in rows:
        WrittenWords.of(row)
