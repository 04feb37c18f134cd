"""What is computed how often: promises in counts, which do not depend on the machine."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from discs import ball_volume, boxed_query
from spelled import ABSENT, PRESENT, Heard, Speaker

from coreseg_core.imaging import extract_slice
from coreseg_core.inference.counts import OperationCounts
from coreseg_core.record import Query, Scope

QUESTIONS = ("liver tumor", "outline the liver lesion", "is there a metastasis?", "anything else?")
ONE_SLICE = Scope(2, 4, 5)


def test_a_slice_is_encoded_and_prefilled_once_whatever_the_number_of_questions(
    says: Speaker, encoder: Heard
) -> None:
    volume, _ = ball_volume()
    segmenter = says(ABSENT)
    for text in QUESTIONS:
        list(segmenter.segment(volume, Query(text, "none"), ONE_SLICE))
    assert encoder.slices == 1
    assert segmenter.answering.counts == OperationCounts(
        encodes=1,
        picture_prefills=1,
        question_prefills=len(QUESTIONS),
        second_looks=len(QUESTIONS),
        mask_decodes=0,
    )


def test_a_second_question_encodes_nothing_and_prefills_no_picture(says: Speaker, encoder: Heard) -> None:
    volume, ball = ball_volume()
    segmenter = says(PRESENT)
    list(segmenter.segment(volume, boxed_query(volume, ball, ONE_SLICE), ONE_SLICE))
    first = replace(segmenter.answering.counts)
    list(segmenter.segment(volume, boxed_query(volume, ball, ONE_SLICE, "the metastasis"), ONE_SLICE))
    second = segmenter.answering.counts
    assert encoder.slices == first.encodes == second.encodes == 1
    assert first.picture_prefills == second.picture_prefills == 1
    assert second.question_prefills == first.question_prefills + 1
    assert second.mask_decodes == first.mask_decodes + 1
    # A reader who points needs no second look.
    assert second.second_looks == 0


@pytest.mark.parametrize("reasoning", ["brief", "full"])
def test_another_reasoning_mode_uses_the_same_picture_prefill(says: Speaker, reasoning: str) -> None:
    volume, _ = ball_volume()
    segmenter = says(ABSENT)
    for mode in ("none", reasoning):
        list(segmenter.segment(volume, Query("liver tumor", mode), ONE_SLICE))  # type: ignore[arg-type]
    assert segmenter.answering.counts.encodes == 1
    assert segmenter.answering.counts.picture_prefills == 1


def test_each_slice_of_a_range_is_encoded_once_for_two_questions(says: Speaker, encoder: Heard) -> None:
    volume, _ = ball_volume()
    segmenter = says(ABSENT)
    for text in QUESTIONS[:2]:
        list(segmenter.segment(volume, Query(text, "none"), Scope(2, 1, 6)))
    assert encoder.slices == segmenter.answering.counts.encodes == 5
    assert segmenter.answering.counts.picture_prefills == 5


def test_slices_of_one_batch_share_one_question_prefill(says: Speaker) -> None:
    volume, _ = ball_volume()
    segmenter = says(ABSENT)
    list(segmenter.segment(volume, Query("liver tumor", "none"), Scope(2, 0, 2)))
    assert segmenter.answering.counts.question_prefills == 1


def test_a_mask_is_decoded_once_for_each_answer_that_has_one(says: Speaker) -> None:
    volume, ball = ball_volume()
    scope = Scope(2, 4, 6)
    segmenter = says(PRESENT)
    list(segmenter.segment(volume, boxed_query(volume, ball, scope), scope))
    assert segmenter.answering.counts.mask_decodes == 2


def test_cache_keys_are_hashes_of_weights_and_pixels_and_carry_no_patient_data(says: Speaker) -> None:
    answering = says(ABSENT).answering
    keys = set()
    for uid in (None, "1.2.826.0.1.3680043.2.1125.1", "1.2.840.99"):
        volume, _ = ball_volume(series_uid=uid)
        keys.add(answering.prepare(extract_slice(volume, 2, 4)).key)
    assert len(keys) == 1
    assert re.fullmatch(r"[0-9a-f]{64}/[0-9a-f]{64}", keys.pop())


def test_slices_that_look_different_have_different_keys(says: Speaker) -> None:
    volume, _ = ball_volume()
    answering = says(ABSENT).answering
    keys = {answering.prepare(extract_slice(volume, axis, 3)).key for axis in range(3)}
    assert len(keys) == 3
