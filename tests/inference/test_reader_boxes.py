"""A reader's box is outlined by the segmenter as published, whatever the decoder beside it has learned since."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from discs import ball_volume, boxed_query
from small_lite import small_lite
from spelled import ABSENT, PRESENT, model_that_says

from coreseg_core.imaging import extract_slice
from coreseg_core.inference.answering import Answering, PreparedSlice
from coreseg_core.inference.reader_boxes import outline_boxes
from coreseg_core.models.build import best_encoder_dtype
from coreseg_core.models.lite_medsam import build_lite_medsam
from coreseg_core.models.load import LoadedModel, load_model
from coreseg_core.models.mask_prompts import MAX_PROMPT_BOXES
from coreseg_core.models.segmenter import SamSegmenter
from coreseg_core.record import Box, Query, ReaderPrompts, Scope

MIDDLE = Scope(2, 4, 5)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


@pytest.fixture
def estranged(segmenter: SamSegmenter) -> SamSegmenter:
    """A segmenter whose decoder has forgotten what a box is."""
    twin = segmenter.twin()
    with torch.no_grad():
        for weights in twin.mask_decoder.parameters():
            weights.mul_(0.3)
    return twin


@pytest.fixture
def prepared(segmenter: SamSegmenter, tokenizer_file) -> tuple[Answering, PreparedSlice, torch.Tensor]:  # type: ignore[no-untyped-def]
    volume, _ = ball_volume()
    model = model_that_says(PRESENT, small_lite(), parts=segmenter, tokenizer=tokenizer_file)
    answering = Answering(model, fingerprint="f")
    slice_ = answering.prepare(extract_slice(volume, 2, 4))
    return answering, slice_, segmenter.encode(slice_.square[None]).float()


@pytest.mark.parametrize("reply", [PRESENT, ABSENT])
def test_a_box_is_outlined_as_published_though_the_own_decoder_has_forgotten_how(
    reply: str,
    segmenter: SamSegmenter,
    estranged: SamSegmenter,
    tokenizer_file,  # type: ignore[no-untyped-def]
) -> None:
    volume, ball = ball_volume()
    image = extract_slice(volume, 2, 4)
    truth = image.voxels_to_mask(ball[:, :, 4])
    query = boxed_query(volume, ball, MIDDLE)
    model = model_that_says(reply, small_lite(), parts=estranged, tokenizer=tokenizer_file)
    masks = {}
    for name, published in (("published", segmenter), ("own", None)):
        answering = Answering(model, fingerprint="f", published=published)
        (finding,) = answering.answer([answering.prepare(image)], query)
        masks[name] = finding.mask
        assert answering.counts.encodes == 1
    assert dice(masks["published"], truth) > 0.8
    assert dice(masks["own"], truth) < 0.5


def test_clicks_without_a_box_stay_with_the_decoder_that_follows_words(
    segmenter: SamSegmenter,
    estranged: SamSegmenter,
    tokenizer_file,  # type: ignore[no-untyped-def]
) -> None:
    volume, _ = ball_volume()
    model = model_that_says(PRESENT, small_lite(), parts=segmenter, tokenizer=tokenizer_file)
    query = Query("liver tumor", "none", ReaderPrompts(points_xy_px=((20.0, 20.0),), points_inside=(True,)))
    masks = []
    for published in (None, estranged):
        answering = Answering(model, fingerprint="f", published=published)
        (finding,) = answering.answer([answering.prepare(extract_slice(volume, 2, 4))], query)
        masks.append(finding.mask)
    assert np.array_equal(*masks)


def test_several_boxes_are_each_outlined_by_themselves(
    segmenter: SamSegmenter, prepared: tuple[Answering, PreparedSlice, torch.Tensor]
) -> None:
    _, slice_, embedding = prepared
    boxes: tuple[Box, ...] = ((4, 6, 22, 20), (30, 8, 44, 30))

    def drawn(*some: Box) -> torch.Tensor:
        return outline_boxes(segmenter, embedding, ReaderPrompts(boxes_xyxy_px=some), slice_.view)[0]

    assert torch.allclose(drawn(*boxes), torch.maximum(drawn(boxes[0]), drawn(boxes[1])), atol=1e-4)
    assert not torch.allclose(drawn(*boxes), drawn(boxes[0]))


def test_no_box_of_a_reader_is_left_out_however_many_there_are(
    segmenter: SamSegmenter, prepared: tuple[Answering, PreparedSlice, torch.Tensor]
) -> None:
    _, slice_, embedding = prepared
    last: Box = (30, 8, 44, 30)
    many = ReaderPrompts(boxes_xyxy_px=(*[(4, 6, 22, 20)] * (MAX_PROMPT_BOXES + 4), last))
    few = ReaderPrompts(boxes_xyxy_px=((4, 6, 22, 20), last))
    drawn = [outline_boxes(segmenter, embedding, prompts, slice_.view)[0] for prompts in (many, few)]
    assert torch.allclose(*drawn, atol=1e-4)


def test_a_click_beside_a_box_counts_half(
    segmenter: SamSegmenter, prepared: tuple[Answering, PreparedSlice, torch.Tensor]
) -> None:
    _, slice_, embedding = prepared
    alone = ReaderPrompts(boxes_xyxy_px=((10, 10, 40, 40),))
    clicked = replace(alone, points_xy_px=((14.0, 35.0),), points_inside=(False,))
    drawn = outline_boxes(segmenter, embedding, clicked, slice_.view)[0]
    with torch.inference_mode():
        whole, without = (
            segmenter.decode(embedding, segmenter.reader_tokens(prompts, slice_.view))[0]
            for prompts in (clicked, alone)
        )
    assert not torch.allclose(whole, without)
    assert torch.allclose(drawn, (whole + without) / 2, atol=1e-4)


@pytest.fixture(scope="module")
def lite() -> LoadedModel:
    return load_model("lite")


def test_the_weights_that_ship_stand_beside_the_published_decoder_on_one_encoder(lite: LoadedModel) -> None:
    packaged = build_lite_medsam(encoder_dtype=best_encoder_dtype()).mask_decoder.state_dict()
    published = lite.published.mask_decoder.state_dict()
    trained = lite.model.segmenter.mask_decoder.state_dict()
    assert all(torch.equal(published[name], values) for name, values in packaged.items())
    assert any(not torch.equal(published[name], values) for name, values in trained.items())
    assert lite.published.image_encoder is lite.model.segmenter.image_encoder
    assert not any(weights.requires_grad for weights in lite.published.mask_decoder.parameters())
