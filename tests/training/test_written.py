"""A row that brings its own question, reasoning and answer is learned as it is written."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coreseg_core.answer import compose_absent, compose_mismatch, compose_present, parse
from coreseg_core.claims import boxes
from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Probe, Row
from coreseg_core.models.preset import load_preset
from training.samples import Dialogue, write_dialogue
from training.views import EmbeddedView, ViewKey
from training.written import require_usable_words

FRAME = load_preset("lite").frame
REASONING = (
    "The colon wall is pale here. One spot lies in the upper left part of the picture: a polyp, I think."
)
ROW = Row(
    id="a",
    image="a.png",
    mask="a.png",
    split="train",
    subset="hospital",
    modality="endoscopy",
    anatomy="colon",
    disease="polyp",
    target="polyp",
    area_frac=0.1,
    query="pls outline teh polyp, thx",
    reasoning=REASONING,
    answer=compose_present("flat polyp", [(60, 40, 180, 120)]),
)


def _view(*, number: int = 0, mirrored: bool = False) -> EmbeddedView:
    mask = np.zeros((192, 256), bool)
    mask[20:60, 30:90] = True
    mask = mask[:, ::-1] if mirrored else mask
    grey = np.full(mask.shape, 80, np.uint8)
    grey[mask] = 160
    return EmbeddedView(
        key=ViewKey("a", number), embedding=np.zeros((256, 64, 64), np.float16), grey=grey, mask=mask
    )


def _said(row: Row, view: EmbeddedView, **asked: Any) -> list[Dialogue]:
    return [write_dialogue(random.Random(seed), row, view, FRAME, **asked) for seed in range(12)]


def test_question_reasoning_and_class_are_the_rows_own_and_boxes_those_of_the_frame() -> None:
    view = _view()
    # 256 x 192 px is shown in a frame of 252 x 196.
    scale = np.array([252 / 256, 196 / 192] * 2)
    for dialogue in _said(ROW, view, mode="full"):
        said = parse(dialogue.reply)
        assert (dialogue.question, dialogue.kind) == (ROW.query, "present")
        assert (said.reasoning, said.class_name, said.well_formed) == (REASONING, "flat polyp", True)
        ((box,), (expected,)) = said.boxes_xyxy_px, boxes(view.mask)
        assert np.abs(np.array(box) - np.array(expected) * scale).max() <= 1


def test_own_reasoning_is_what_a_full_one_is_and_no_other() -> None:
    assert {parse(dialogue.reply).reasoning for dialogue in _said(ROW, _view(), mode="none")} == {""}
    assert REASONING not in {
        parse(dialogue.reply).reasoning for dialogue in _said(ROW, _view(), mode="brief")
    }
    (brief, *_) = _said(ROW, _view(), mode="brief")
    assert brief.question == ROW.query


def test_what_a_mirrored_view_makes_untrue_is_not_said_of_it() -> None:
    for dialogue in _said(ROW, _view(number=1, mirrored=True), mode="full"):
        assert "upper right" in parse(dialogue.reply).reasoning or "top right" in dialogue.reply
    for dialogue in _said(ROW, _view(number=1), mode="full"):
        assert parse(dialogue.reply).reasoning == REASONING


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("wrong_disease", compose_absent("colon cancer")),
        ("wrong_organ", compose_mismatch("colonoscopy", "large bowel")),
        ("wrong_modality", compose_mismatch("colonoscopy", "large bowel")),
    ],
)
def test_a_question_that_does_not_fit_is_answered_as_written(kind: Any, answer: str) -> None:
    row = replace(ROW, reasoning=None, answer=answer, probe=Probe(kind, "generated"))
    for dialogue in _said(row, _view(), mode="none"):
        assert (dialogue.kind, dialogue.question, dialogue.reply) == (kind, ROW.query, answer)


def test_another_kind_of_question_is_asked_in_the_words_of_the_recipe() -> None:
    for dialogue in _said(ROW, _view(), kind="wrong_modality", mode="full"):
        assert dialogue.question != ROW.query
        assert parse(dialogue.reply).kind == "mismatch"


@pytest.mark.parametrize("missing", ["query", "answer"])
def test_half_a_dialogue_is_none(missing: str) -> None:
    row = replace(ROW, **{missing: None})
    assert len({dialogue.question for dialogue in _said(row, _view())}) > 3


@pytest.mark.parametrize(
    "answer", ["there it is", compose_absent("polyp"), "<answer>The polyp is located at here.</answer>"]
)
def test_an_answer_that_cannot_be_learned_is_refused_before_the_first_step(answer: str) -> None:
    row = replace(ROW, answer=answer, probe=Probe("present", "reader"))
    with pytest.raises(InputError, match="hospital"):
        require_usable_words([ROW, row])
    with pytest.raises(InputError, match="lesion_free"):
        require_usable_words([replace(ROW, disease="none", mask=None)])
