"""One slice, one reply: each form of reply becomes its own outcome, and the reader's marks lead the mask."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from discs import ball_volume, boxed_query
from spelled import ABSENT, GIBBERISH, MISFIT, PRESENT, Speaker

from coreseg_core.errors import InputError, LimitError
from coreseg_core.imaging import Volume, extract_slice
from coreseg_core.inference.answering import Answering
from coreseg_core.models.coreseg import CoreSegModel
from coreseg_core.models.segmenter import SamSegmenter
from coreseg_core.record import FindingRecord, Query, ReaderPrompts, Scope, SliceFinding

SLICE = Scope(2, 4, 5)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def only(findings: object) -> SliceFinding:
    (finding,) = findings  # type: ignore[misc]
    return finding


@pytest.mark.parametrize(
    ("reply", "outcome"), [(ABSENT, "absent"), (MISFIT, "mismatch"), (GIBBERISH, "uncertain")]
)
def test_a_reply_without_a_mask_becomes_what_it_says_and_nothing_readable_is_never_absence(
    says: Speaker, reply: str, outcome: str
) -> None:
    volume, _ = ball_volume()
    finding = only(says(reply).segment(volume, Query("liver tumor", "none"), SLICE))
    assert finding.outcome == outcome
    assert not finding.mask.any()
    assert finding.mask.shape == extract_slice(volume, 2, 4).rgb.shape[:2]
    assert finding.answer_text == reply.removeprefix("<answer>").removesuffix("</answer>")
    assert finding.confidence == 0 if outcome == "uncertain" else finding.confidence > 0.99
    assert bool(finding.reason) == (outcome == "uncertain")


def test_a_readers_box_beside_the_semantic_prompt_leads_the_mask_to_the_lesion(says: Speaker) -> None:
    volume, ball = ball_volume()
    finding = only(says(PRESENT).segment(volume, boxed_query(volume, ball, SLICE), SLICE))
    truth = extract_slice(volume, 2, 4).voxels_to_mask(ball[:, :, 4])
    assert finding.outcome == "present"
    assert dice(finding.mask, truth) > 0.8
    assert 0.0 < finding.confidence <= 1.0


def test_readers_clicks_reach_the_decoder_in_the_places_where_they_were_made(
    says: Speaker, segmenter: SamSegmenter
) -> None:
    volume, _ = ball_volume()
    view = says(PRESENT).answering.prepare(extract_slice(volume, 2, 4)).view
    here = ReaderPrompts(points_xy_px=((10.0, 20.0), (2.0, 2.0)), points_inside=(True, False))
    there = ReaderPrompts(points_xy_px=((30.0, 20.0), (2.0, 2.0)), points_inside=(True, False))
    other = ReaderPrompts(points_xy_px=((10.0, 20.0), (2.0, 2.0)), points_inside=(False, False))
    tokens = [segmenter.reader_tokens(prompts, view) for prompts in (here, there, other)]
    assert all(token.shape[0] == 1 and token.shape[1] >= 2 for token in tokens)
    assert not torch.equal(tokens[0][:, 0], tokens[1][:, 0])
    assert not torch.equal(tokens[0][:, 0], tokens[2][:, 0])
    assert torch.equal(tokens[0][:, 1], tokens[1][:, 1])


def test_a_readers_click_beside_a_box_is_taken_too(says: Speaker) -> None:
    volume, ball = ball_volume()
    query = boxed_query(volume, ball, SLICE)
    (x0, y0, x1, y1) = query.prompts.boxes_xyxy_px[0]
    clicked = replace(query.prompts, points_xy_px=(((x0 + x1) / 2, (y0 + y1) / 2),), points_inside=(True,))
    finding = only(says(PRESENT).segment(volume, replace(query, prompts=clicked), SLICE))
    truth = extract_slice(volume, 2, 4).voxels_to_mask(ball[:, :, 4])
    assert dice(finding.mask, truth) > 0.6


def test_the_semantic_prompt_still_counts_where_the_reader_marked_something(model: CoreSegModel) -> None:
    volume, ball = ball_volume()
    answering = Answering(model, fingerprint="f" * 64)
    prepared = answering.prepare(extract_slice(volume, 2, 4))
    reader = model.segmenter.reader_tokens(boxed_query(volume, ball, SLICE).prompts, prepared.view)
    with torch.inference_mode():
        embedding = model.segmenter.encode(prepared.square[None]).float()
        states = torch.randn(2, 6, model.language.dim)
        seg = torch.zeros(2, 6, dtype=torch.bool)
        seg[:, -1] = True
        semantic = model.adapter(states, answer=torch.ones_like(seg), seg=seg)
        prompts = torch.cat([semantic, reader.expand(2, -1, -1)], dim=1)
        logits, _ = model.segmenter.decode(embedding.expand(2, -1, -1, -1), prompts)
    assert reader.shape[1] >= 2
    assert not torch.allclose(logits[0], logits[1])


def test_nan_voxels_give_a_finite_finding_that_can_be_written(says: Speaker) -> None:
    volume, ball = ball_volume(modality="MR")
    voxels = volume.voxels.astype(np.float32)
    voxels[:20] = np.nan
    voxels[50, 10] = np.inf
    holed = Volume(voxels, volume.geometry, "MR")
    query = boxed_query(holed, ball, SLICE)
    record, labels = says(PRESENT).answer(holed, query, SLICE, image_id="a")
    assert record.outcome == "present"
    assert np.isfinite(record.slices[0].confidence)
    assert dice(labels[:, :, 4] > 0, ball[:, :, 4]) > 0.5
    json.dumps(record.to_json(), allow_nan=False)


def test_a_slice_without_one_finite_voxel_is_answered_all_the_same(says: Speaker) -> None:
    volume, _ = ball_volume(modality="MR")
    voxels = volume.voxels.astype(np.float32)
    voxels[:, :, 4] = np.nan
    holed = Volume(voxels, volume.geometry, "MR")
    finding = only(says(ABSENT).segment(holed, Query("liver tumor", "none"), SLICE))
    assert finding.outcome == "absent"


def test_a_mask_in_a_readers_box_is_trusted_as_far_as_it_fills_it(says: Speaker) -> None:
    volume, ball = ball_volume()
    query = boxed_query(volume, ball, SLICE)
    finding = only(says(PRESENT).segment(volume, query, SLICE))
    assert finding.box_mask_iou is None
    assert finding.confidence > 0.8


@pytest.mark.parametrize("text", ["", "   \n\t", "<|im_end|>", "\u200b"])
def test_an_empty_question_is_refused_before_anything_is_encoded(says: Speaker, text: str) -> None:
    volume, _ = ball_volume()
    segmenter = says(ABSENT)
    with pytest.raises(InputError):
        list(segmenter.segment(volume, Query(text), SLICE))
    assert segmenter.answering.counts.encodes == 0


def test_a_question_of_ten_kilobytes_is_refused_with_the_limit(says: Speaker) -> None:
    volume, _ = ball_volume()
    with pytest.raises(LimitError, match="10000 characters"):
        list(says(ABSENT).segment(volume, Query("x" * 10_000), SLICE))


def test_replies_stream_out_under_the_number_of_their_slice(says: Speaker) -> None:
    volume, _ = ball_volume()
    heard: dict[int, str] = {}

    def listen(index: int, text: str) -> None:
        heard[index] = heard.get(index, "") + text

    list(says(ABSENT).segment(volume, Query("liver tumor", "none"), Scope(2, 3, 6), on_token=listen))
    assert set(heard) == {3, 4, 5}
    assert set(heard.values()) == {ABSENT.removeprefix("<answer>")}


def test_a_record_of_an_answer_says_nothing_of_the_patient_but_the_series(says: Speaker) -> None:
    volume, _ = ball_volume(series_uid="1.2.3")
    record, _ = says(ABSENT).answer(volume, Query("liver tumor", "none"), SLICE, image_id="image-7")
    assert isinstance(record, FindingRecord)
    written = record.to_json()
    assert written["series_uid"] == "1.2.3"
    assert written["image_id"] == "image-7"
    assert set(written) == {
        *("schema", "id", "image_id", "query", "scope", "model", "outcome", "slices", "lesions", "created"),
        "series_uid",
    }


def test_a_model_that_draws_its_own_boxes_draws_nothing_without_one_but_what_the_reader_marks(
    says: Speaker,
) -> None:
    volume, ball = ball_volume()
    speaker = says(PRESENT)
    speaker.answering.model.mask_prompt = "boxes"
    silent = only(speaker.segment(volume, Query("liver tumor", "none"), SLICE))
    assert silent.outcome == "uncertain"
    assert not silent.mask.any()
    marked = only(speaker.segment(volume, boxed_query(volume, ball, SLICE), SLICE))
    truth = extract_slice(volume, 2, 4).voxels_to_mask(ball[:, :, 4])
    assert dice(marked.mask, truth) > 0.8
