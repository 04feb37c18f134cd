"""A reader's own question and words are learned where they are true of the view, in other words at times as well."""

from __future__ import annotations

import random

import pytest

from coreseg_core.answer import parse
from coreseg_core.evaluation.rows import Row
from training.told import P_TOLD, told_question, told_reply

ROW = Row(
    id="x",
    image="x.png",
    mask="m.png",
    split="train",
    subset="corrections",
    modality="MRI FLAIR",
    anatomy="brain",
    disease="brain tumor",
    target="brain tumor",
    area_frac=0.1,
    query="anything odd on the left?",
    reasoning="One bright spot.",
    origin="correction",
)
BOXES = [(1, 2, 30, 40)]


def asked(row: Row = ROW, seed: int = 0):  # type: ignore[no-untyped-def]
    rng = random.Random(seed)
    return next(found for _ in range(99) if (found := told_question(rng, row, "present")) is not None)


def test_half_of_the_questions_are_the_readers_own() -> None:
    rng = random.Random(3)
    found = [told_question(rng, ROW, "present") for _ in range(1000)]
    own = [question for question in found if question is not None]
    assert abs(len(own) / 1000 - P_TOLD) < 0.06
    assert {(question.text, question.class_name, question.expect) for question in own} == {
        (ROW.query, "brain tumor", "present")
    }


@pytest.mark.parametrize("kind", ["wrong_disease", "wrong_organ", "wrong_modality"])
def test_what_a_reader_did_not_ask_is_not_put_into_her_mouth(kind: str) -> None:
    rng = random.Random(0)
    assert not any(told_question(rng, ROW, kind) for _ in range(50))  # type: ignore[arg-type]


def test_rows_without_a_question_draw_nothing_so_that_other_runs_stay_what_they_were() -> None:
    rng = random.Random(0)
    before = rng.getstate()
    plain = Row(**{**vars(ROW), "query": None, "origin": "public"})
    assert told_question(rng, plain, "present") is None
    assert rng.getstate() == before


def test_the_readers_words_stand_in_the_reply_where_they_are_true() -> None:
    said = parse(told_reply(ROW, asked(), BOXES, view=0, mode="full") or "")
    assert (said.reasoning, said.boxes_xyxy_px, said.well_formed) == (
        "One bright spot.",
        ((1, 2, 30, 40),),
        True,
    )
    # In a view that was moved or mirrored, places are others; without reasoning none is given.
    assert told_reply(ROW, asked(), BOXES, view=1, mode="full") is None
    assert told_reply(ROW, asked(), BOXES, view=0, mode="none") is None
