"""Described pictures tell what is asked of them: the reach agrees with the boxes, and words with what was drawn."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coreseg_core.answer import parse
from coreseg_core.claims import check_claims, read_claims
from coreseg_core.evaluation.rows import Row
from coreseg_core.models.chat import ChatTokenizer
from coreseg_core.models.preset import FrameSpec
from training.described import Described, describe, described_batch
from training.drawn import drawing
from training.wording import KindMix

FRAME = FrameSpec(min_long_side_px=252, max_long_side_px=252)
GRID = 16
ROW = Row(
    id="a",
    image="a.png",
    mask="a.png",
    split="train",
    subset="busi",
    modality="ultrasound",
    anatomy="breast",
    disease="benign",
    target="breast tumor",
    area_frac=0.1,
)


@pytest.fixture(scope="module")
def tokenizer(tokenizer_file: Path) -> ChatTokenizer:
    return ChatTokenizer.from_file(tokenizer_file, vocab_rows=1536)


PLAIN = KindMix(plain=1.0, wrong_disease=0.0, wrong_organ=0.0, wrong_modality=0.0)


@pytest.mark.parametrize("number", range(60))
def test_the_reach_of_a_drawing_ends_where_its_boxes_end(number: int) -> None:
    drawn = drawing(number, FRAME, GRID)
    rows, columns = drawn.reach[:GRID] > 0, drawn.reach[GRID:] > 0
    lit_rows, lit_columns = np.zeros(GRID, bool), np.zeros(GRID, bool)
    pitch = 252 / GRID
    for x0, y0, x1, y1 in drawn.boxes_frame:
        lit_columns[int(x0 / pitch) : int(np.ceil(x1 / pitch))] = True
        lit_rows[int(y0 / pitch) : int(np.ceil(y1 / pitch))] = True
    # Rounding to whole pixels moves an edge by at most one token; specks under the limit have no box.
    assert (
        abs(int(np.flatnonzero(rows)[0]) - int(np.flatnonzero(lit_rows)[0])) <= 1
        or drawn.facts.number != "one"
    )
    assert np.count_nonzero(columns & ~np.convolve(lit_columns, [1, 1, 1], "same").astype(bool)) <= 2


def _widened(lit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.convolve(lit, [1, 1, 1], "same").astype(bool)


def test_a_described_reply_is_whole_with_reach_and_cut_before_the_boxes_without(
    tokenizer: ChatTokenizer,
) -> None:
    with_reach = Described(tokenizer=tokenizer, frame=FRAME, dim=8, grid=GRID)
    words_alone = Described(tokenizer=tokenizer, frame=FRAME, dim=8, grid=None)
    for how, whole in ((with_reach, True), (words_alone, False)):
        batch = described_batch(random.Random(3), [ROW], 6, how, mix=PLAIN)
        assert (batch.reach is not None) is whole
        for ids, target in zip(batch.ids, batch.target, strict=True):
            reply = tokenizer.decode(ids[target].tolist())
            assert (parse(reply).boxes_xyxy_px != ()) is whole
            assert reply.endswith("</answer>" if whole else " located at")


def test_the_words_of_a_description_are_what_was_measured() -> None:
    drawn = drawing(7, FRAME, GRID)
    said = describe(ROW, drawn.facts, with_place=True)
    claims = check_claims(read_claims(said), drawn.facts)
    assert {claim.kind for claim in claims} >= {"number", "size"}
    assert all(claim.verdict != "contradicted" for claim in claims)
    assert said.endswith(drawn.facts.place)
    assert not describe(ROW, drawn.facts, with_place=False).endswith(drawn.facts.place)
