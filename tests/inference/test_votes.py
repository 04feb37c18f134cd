"""Several sampled answers tell how sure one is: agreement raises it, contradiction lowers it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from coreseg_core.errors import InputError
from coreseg_core.inference.votes import count_votes, with_votes
from coreseg_core.record import Outcome, Query, SliceFinding

if TYPE_CHECKING:
    from coreseg_core.models.coreseg import CoreSegModel


def finding(outcome: Outcome, x: int | None = None, **values: Any) -> SliceFinding:
    mask = np.zeros((10, 10), bool)
    if x is not None:
        mask[2:6, x : x + 4] = True
    return SliceFinding(axis=2, index=0, outcome=outcome, mask=mask, box_frame_wh=(20, 20), **values)


def test_all_saying_the_same_is_certain_and_none_is_not() -> None:
    given = finding("present", 3)
    assert count_votes(given, [given] * 4).confidence == 1
    assert count_votes(given, [finding("absent")] * 4).confidence == 0
    assert count_votes(finding("absent"), [finding("absent"), given]).confidence == 0.5


def test_masks_that_lie_elsewhere_count_by_their_overlap() -> None:
    given = finding("present", 3)
    votes = count_votes(given, [given, finding("present", 5), finding("absent")])
    assert votes.share == pytest.approx(2 / 3)
    assert votes.mask_agreement == pytest.approx((1 + 0.5) / 2)
    assert votes.confidence == pytest.approx(0.5)
    assert votes.heat[3, 5] == pytest.approx(2 / 3)
    assert votes.heat[3, 8] == pytest.approx(1 / 3)
    assert votes.heat[9, 9] == 0


def test_an_uncertain_mask_is_a_mask() -> None:
    assert count_votes(finding("present", 3), [finding("uncertain", 3)]).share == 1
    assert count_votes(finding("absent"), [finding("uncertain")]).share == 0


def test_boxes_that_differ_spread() -> None:
    boxes = [((0, 0, 10, 10),), ((2, 0, 12, 10),), (), ((0, 0, 5, 5), (6, 6, 9, 9))]
    votes = [finding("present", 3, boxes_xyxy_px=written) for written in boxes]
    assert count_votes(votes[0], votes).box_spread == pytest.approx((1 + 0 + 1 + 0) / 4 / 20)
    assert count_votes(votes[0], votes[:1]).box_spread is None


def test_confidence_says_what_it_is() -> None:
    told = with_votes(finding("absent", confidence=0.1), [finding("absent")] * 3)
    assert (told.confidence, told.confidence_kind) == (1.0, "agreement of sampled answers (3)")
    with pytest.raises(InputError, match="no sampled answers"):
        with_votes(finding("absent"), [])


def test_sampled_answers_come_from_one_reading_and_their_seed(model: CoreSegModel) -> None:
    from coreseg_core.imaging.pictures import picture_slice
    from coreseg_core.inference.answering import Answering

    answering = Answering(model, fingerprint="x")
    rgb = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    prepared = answering.prepare(picture_slice(rgb, pixel_mm=(1.0, 1.0)))
    query = Query(text="Is there a polyp?", reasoning="none")
    texts = [
        [vote.answer_text for vote in answering.sampled(prepared, query, count=3, seed=seed)]
        for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert len(texts[0]) == 3
    assert answering.counts.encodes == answering.counts.picture_prefills == 1
    assert answering.counts.question_prefills == 3
