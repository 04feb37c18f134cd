"""A reply about something else than was asked, by its own words, is no answer: neither a finding nor an absence."""

from __future__ import annotations

import pytest
from discs import ball_volume
from spelled import ABSENT, PRESENT, Speaker

from coreseg_core.imaging import extract_slice
from coreseg_core.inference.decode import Reply
from coreseg_core.inference.fitting import MAX_HEADING_WORDS, strays
from coreseg_core.inference.second_look import Chances
from coreseg_core.record import Query, ReaderPrompts, Scope

SKIN = "Dermoscopy of skin: one big dark region in the middle part of the picture."
SLICE = Scope(2, 4, 5)


@pytest.mark.parametrize(
    ("question", "reasoning", "class_name", "told"),
    [
        ("?ICH in this dermoscopic image", SKIN, "skin lesion", "another part of the body"),
        ("determine the hepatic lesion", SKIN, "", "another part of the body"),
        ("determine the hepatic lesion", "", "skin lesion", "another part of the body"),
        ("known pigmented spot, sonogram", SKIN, "skin lesion", "speaks of ultrasound"),
        ("pigmented spot on this mammogram", SKIN, "skin lesion", "speaks of"),
    ],
)
def test_a_reply_about_another_organ_or_kind_of_image_strays(
    question: str, reasoning: str, class_name: str, told: str
) -> None:
    assert told in strays(question, reasoning=reasoning, class_name=class_name)


@pytest.mark.parametrize(
    ("question", "reasoning", "class_name"),
    [
        ("Mark the melanoma on dermoscopy", SKIN, "skin lesion"),
        ("Mark the melanoma", "", "skin lesion"),
        ("anything abnormal?", SKIN, "skin lesion"),
        # More is asked than what is named.
        ("Known breast cancer, anything abnormal?", SKIN, "skin lesion"),
        (
            "Known lung cancer. Is there a brain metastasis?",
            "MRI T1 of brain: a single dark area.",
            "brain tumor",
        ),
        # What nobody has a word for.
        ("Is there a wibble?", SKIN, "skin lesion"),
        ("Is there a foot ulcer?", "photograph of foot: one area.", "foot ulcer"),
        ("liver tumor", "", ""),
        # Prose that names other organs on its way to a colon.
        (
            "liver tumor",
            "The lungs and the brain are not shown here, while the abdomen is seen in full: a dark area.",
            "liver lesion",
        ),
    ],
)
def test_a_reply_that_may_be_an_answer_does_not(question: str, reasoning: str, class_name: str) -> None:
    assert strays(question, reasoning=reasoning, class_name=class_name) == ""


def test_prose_is_longer_than_a_heading() -> None:
    assert len(["MRI", "T1", "contrast", "of", "limb", "soft", "tissue"]) <= MAX_HEADING_WORDS


def test_it_is_a_mismatch_that_marks_nothing_and_keeps_the_models_words(says: Speaker) -> None:
    volume, _ = ball_volume()
    (finding,) = says(ABSENT).segment(volume, Query("Is there a polyp?", "none"), SLICE)
    assert finding.outcome == "mismatch"
    assert not finding.mask.any()
    assert "liver tumor" in finding.answer_text
    assert "another part of the body" in finding.reason
    assert finding.confidence < 0.5


@pytest.mark.parametrize(("modality", "outcome"), [("MR", "uncertain"), (None, "mismatch")])
def test_where_the_header_shows_that_the_model_is_wrong_about_the_image_the_question_is_not_to_blame(
    says: Speaker, modality: str | None, outcome: str
) -> None:
    volume, _ = ball_volume(modality=modality)
    answering = says(ABSENT).answering
    prepared = answering.prepare(extract_slice(volume, 2, 4))
    text = "<think>CT of liver: nothing focal.</think><answer>No liver lesion is seen.</answer>"
    reply = Reply(text=text, ids=(), log_probs=(), answer_states=None)
    chances: Chances = {"present": 0.1, "absent": 0.8, "mismatch": 0.1}
    # Spelled replies have no reasoning, so this one comes in behind the decoding.
    embedding = answering._embedding(prepared)
    finding = answering._finding(prepared, embedding, reply, Query("Is there a brain tumor?"), chances)
    assert finding.outcome == outcome
    assert "CT" in finding.reason or "body" in finding.reason


def test_who_points_gets_her_mask_whatever_the_words_stray_to(says: Speaker) -> None:
    volume, _ = ball_volume()
    marks = ReaderPrompts(boxes_xyxy_px=((10, 10, 40, 40),))
    (finding,) = says(PRESENT).segment(volume, Query("Is there a polyp?", "none", marks), SLICE)
    assert finding.mask.any()
    assert finding.outcome == "present"
