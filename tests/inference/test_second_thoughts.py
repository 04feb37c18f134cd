"""A refusal that contradicts itself is answered anew; every other refusal stands."""

from __future__ import annotations

import pytest
from discs import ball_volume
from spelled import MISFIT, Speaker

from coreseg_core.imaging import extract_slice
from coreseg_core.inference.fitting import contradicts_itself
from coreseg_core.record import Query

FITTING = [
    ("THE SKIN TUMOR ON THIS SLICE", "dermoscopy", "skin"),
    ("outline the polyp on this endoscopy", "endoscopy", "colon"),
    ("Is there a bleed in the head?", "CT", "brain"),
    ("ms plaques in the brain on this MRI", "MRI FLAIR", "brain"),
    ("Is there a hepatic lesion?", "CT", "abdomen"),
]
NOT_FITTING = [
    # Another modality, another organ.
    ("skin lesion on this sonogram", "dermoscopy", "skin"),
    ("Is there a polyp?", "dermoscopy", "skin"),
    ("Is there a brain tumor in the breast?", "ultrasound", "breast"),
    # What is not understood, or says nothing of the place, may be what does not fit.
    ("anything conspicuous?", "MRI T1", "limb soft tissue"),
    ("Is there a wibble?", "CT", "brain"),
    ("Is there a kidney stone near the liver lesion?", "CT", "liver"),
    ("the bowel polyp in us, for treatment planning", "endoscopy", "colon"),
    # What the reply says is not understood.
    ("Is there a polyp?", "camera", "somewhere"),
]


@pytest.mark.parametrize(("question", "modality", "anatomy"), FITTING)
def test_a_refusal_that_says_what_the_question_said_contradicts_itself(
    question: str, modality: str, anatomy: str
) -> None:
    assert contradicts_itself(question, modality=modality, anatomy=anatomy)


@pytest.mark.parametrize(("question", "modality", "anatomy"), NOT_FITTING)
def test_any_other_refusal_does_not(question: str, modality: str, anatomy: str) -> None:
    assert not contradicts_itself(question, modality=modality, anatomy=anatomy)


@pytest.mark.parametrize(
    ("question", "outcome", "prefills"),
    [("liver tumor", "mismatch", 1), ("bleed in the head", "uncertain", 2)],
)
def test_only_what_contradicts_itself_is_answered_anew(
    says: Speaker, question: str, outcome: str, prefills: int
) -> None:
    volume, _ = ball_volume()
    answering = says(MISFIT).answering
    prepared = answering.prepare(extract_slice(volume, 2, 4))
    (finding,) = answering.answer([prepared], Query(question, "none"))
    # This model can write nothing but its one sentence; kept from it, it has no words left.
    assert finding.outcome == outcome
    assert "question" not in finding.answer_text or outcome == "mismatch"
    assert answering.counts.question_prefills == prefills
    assert answering.counts.encodes == answering.counts.picture_prefills == 1


def test_of_several_questions_the_others_keep_their_replies(says: Speaker) -> None:
    volume, _ = ball_volume()
    answering = says(MISFIT).answering
    prepared = answering.prepare(extract_slice(volume, 2, 4))
    asked = [Query(text, "none") for text in ("liver tumor", "bleed in the head", "polyp")]
    outcomes = [finding.outcome for finding in answering.answer([prepared] * 3, asked)]
    assert outcomes == ["mismatch", "uncertain", "mismatch"]
