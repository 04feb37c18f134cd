"""What a model says without a word of reasoning, and how a confidence is made to hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from discs import ball_volume, boxed_query
from hypothesis import given
from hypothesis import strategies as st
from small_lite import small_lite
from spelled import ABSENT, MISFIT, PRESENT, Speaker, model_that_says

from coreseg_core.answer import ANSWER_OPEN
from coreseg_core.errors import CheckpointError
from coreseg_core.imaging import extract_slice
from coreseg_core.inference.answering import Answering
from coreseg_core.inference.continuation import Continuation
from coreseg_core.inference.second_look import second_look
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.mllm import KeyValues
from coreseg_core.models.segmenter import SamSegmenter
from coreseg_core.record import Query, Scope, SliceFinding
from coreseg_core.scaling import FACT, Scaling, read_scalings, scaled

SLICE = Scope(2, 4, 5)
QUESTIONS = ("liver tumor", "Is there a metastasis anywhere on this slice, and where is it?")
SCALINGS = {"present": Scaling(temperature=0.5, shift=1.0), "absent": Scaling(temperature=2.0, shift=-1.0)}


def prefix_of(model: CoreSegModel, copies: int) -> KeyValues:
    generator = torch.Generator().manual_seed(3)
    picture = torch.randn(copies, 256, model.language.dim, generator=generator) * 0.1
    with torch.inference_mode():
        return model.language.prefill_pictures(picture, (16, 16))


def test_chances_are_those_of_one_plain_pass_whatever_stands_beside_them_in_the_batch(
    model: CoreSegModel,
) -> None:
    language, prefix = model.language, prefix_of(model, 2)
    together = second_look(language, prefix, QUESTIONS)
    first, said = language.tokenizer.encode("No")[0], language.tokenizer.encode("The question")
    for row, (question, chances) in enumerate(zip(QUESTIONS, together, strict=True)):
        alone = KeyValues(
            layers=tuple((key[row : row + 1], value[row : row + 1]) for key, value in prefix.layers),
            next_position=prefix.next_position,
        )
        ids = language.tokenizer.question_ids(question, "none") + language.tokenizer.encode(ANSWER_OPEN)
        with torch.inference_mode():
            states = Continuation(language, alone).open([[*ids, said[0]]])[0, -2:]
            answer, behind = language.logits(states).double().softmax(dim=-1)
        present, absent, misfit = (
            float(answer[said[0]] * (1 - behind[said[1]])),
            float(answer[first]),
            float(answer[said[0]] * behind[said[1]]),
        )
        whole = present + absent + misfit
        expected = {"present": present / whole, "absent": absent / whole, "mismatch": misfit / whole}
        assert chances == pytest.approx(expected, rel=1e-3)
        assert sum(chances.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("reply", "kind"), [(PRESENT, "present"), (ABSENT, "absent"), (MISFIT, "mismatch")])
def test_a_model_that_always_says_one_thing_says_it_at_a_second_look_too(
    reply: str, kind: str, segmenter: SamSegmenter, tokenizer_file: Path
) -> None:
    model = model_that_says(reply, small_lite(), parts=segmenter, tokenizer=tokenizer_file)
    (chances,) = second_look(model.language, prefix_of(model, 1), ["liver tumor"])
    assert chances[kind] > 0.99  # type: ignore[index]


@pytest.mark.parametrize(("reply", "outcome"), [(ABSENT, "absent"), (MISFIT, "mismatch")])
def test_a_denial_is_as_sure_as_the_second_look(says: Speaker, reply: str, outcome: str) -> None:
    volume, _ = ball_volume()
    (finding,) = says(reply).segment(volume, Query("liver tumor", "none"), SLICE)
    assert finding.outcome == outcome
    assert finding.confidence > 0.99
    assert finding.confidence_kind == "chance of the answer at a second look"


def answered(query: Query, model: CoreSegModel, **options: object) -> SliceFinding:
    answering = Answering(model, fingerprint="x", **options)  # type: ignore[arg-type]
    prepared = answering.prepare(extract_slice(ball_volume()[0], 2, 4))
    return answering.answer([prepared], query)[0]


@pytest.mark.parametrize("reply", [PRESENT, ABSENT])
def test_fitted_scalings_change_the_confidence_and_nothing_else(
    reply: str, segmenter: SamSegmenter, tokenizer_file: Path
) -> None:
    model = model_that_says(reply, small_lite(), parts=segmenter, tokenizer=tokenizer_file)
    query = Query("liver tumor", "none")
    plain, fitted = answered(query, model), answered(query, model, scalings=SCALINGS)
    assert fitted.outcome == plain.outcome
    assert np.array_equal(fitted.mask, plain.mask)
    if plain.outcome in SCALINGS:
        wanted = SCALINGS[plain.outcome](np.array([plain.confidence]))[0]
        assert fitted.confidence == pytest.approx(float(wanted))
        assert fitted.confidence_kind == f"calibrated chance of being right, from {plain.confidence_kind}"
    else:
        assert (fitted.confidence, fitted.confidence_kind) == (plain.confidence, plain.confidence_kind)


def test_what_a_reader_marks_is_not_weighed_by_what_the_model_would_have_said(
    segmenter: SamSegmenter, tokenizer_file: Path
) -> None:
    volume, ball = ball_volume()
    query = boxed_query(volume, ball, SLICE)
    told = [
        answered(
            query, model_that_says(reply, small_lite(), parts=segmenter, tokenizer=tokenizer_file), **options
        )
        for reply in (PRESENT, ABSENT)
        for options in ({}, {"scalings": SCALINGS})
    ]
    assert all(finding.confidence_kind == "predicted IoU x agreement of boxes and mask" for finding in told)
    assert told[0].confidence == told[1].confidence > 0
    assert told[2].confidence == told[3].confidence > 0


@given(temperature=st.floats(0.05, 100), shift=st.floats(-5, 5), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_scaling_keeps_the_order_and_stays_a_probability(
    temperature: float, shift: float, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    one, other = Scaling(temperature=temperature, shift=shift)(np.array([low, high]))
    assert 0 <= one <= other <= 1


def test_an_outcome_without_a_scaling_stays_as_it_is() -> None:
    finding = SliceFinding(axis=2, index=0, outcome="mismatch", mask=np.zeros((2, 2), bool), confidence=0.4)
    assert scaled(finding, SCALINGS) is finding


def test_scalings_are_read_from_a_manifest_and_refused_where_they_are_none() -> None:
    stated = {name: {"temperature": 2.0, "shift": 0.5} for name in ("present", "absent")}
    assert read_scalings({}) == {}
    assert read_scalings({FACT: {"scalings": stated}})["absent"] == Scaling(temperature=2.0, shift=0.5)
    for broken in (
        {"present": stated["present"]},
        {**stated, "absent": {"temperature": 0.0, "shift": 0.0}},
        {**stated, "absent": {"temperature": float("nan"), "shift": 0.0}},
        {**stated, "absent": {"temperature": "2", "shift": 0.0}},
        {**stated, "absent": {"warmth": 2.0}},
    ):
        with pytest.raises(CheckpointError, match="scaling of confidences"):
            read_scalings({FACT: {"scalings": broken}})
    with pytest.raises(CheckpointError, match="scaling of confidences"):
        read_scalings({FACT: "high"})
