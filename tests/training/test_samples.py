"""A dialogue becomes tokens in which exactly the reply is learned and the state before `<seg>` is marked."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from coreseg_core.answer import parse
from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Row
from coreseg_core.models.chat import ChatTokenizer
from coreseg_core.models.load import packaged_folder
from coreseg_core.models.preset import load_preset
from training.described import Described
from training.samples import BatchSource, collate, write_dialogue
from training.views import EmbeddedView, ViewKey, shown_rows
from training.wording import DEFAULT_MIX

GRID = (16, 16)
FRAME = load_preset("lite").frame


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer.from_file(packaged_folder("lite") / "tokenizer.json", vocab_rows=1536)


def _row(name: str = "a", *, lesion_free: bool = False) -> Row:
    return Row(
        id=name,
        image="a.png",
        split="train",
        subset="kvasir" if not lesion_free else "busi",
        modality="endoscopy" if not lesion_free else "ultrasound",
        anatomy="colon" if not lesion_free else "breast",
        disease="polyp" if not lesion_free else "none",
        target="polyp" if not lesion_free else "breast tumor",
        mask="a.png",
        area_frac=0.0 if lesion_free else 0.1,
        folder=Path(),
    )


def _view(name: str = "a", *, lesion_free: bool = False) -> EmbeddedView:
    mask = np.zeros((192, 256), bool)
    if not lesion_free:
        mask[40:90, 30:120] = True
    grey = np.full((192, 256), 80, np.uint8)
    grey[mask] = 160
    return EmbeddedView(
        key=ViewKey(name, 0), embedding=np.zeros((256, 64, 64), np.float16), grey=grey, mask=mask
    )


def test_only_the_reply_is_learned_and_the_state_before_seg_is_marked(tokenizer: ChatTokenizer) -> None:
    dialogue = write_dialogue(random.Random(0), _row(), _view(), FRAME, kind="present", mode="brief")
    batch = collate([dialogue], [_view()], [1.0], tokenizer=tokenizer, grid_hw=GRID, side_px=256).teacher
    ids = batch.ids[0].tolist()
    learned = [token for token, flag in zip(ids, batch.target[0].tolist(), strict=True) if flag]
    assert tokenizer.decode(learned) == dialogue.reply
    assert learned[-1] == tokenizer.end_id
    (place,) = batch.seg[0].nonzero()[:, 0].tolist()
    assert ids[place + 1] == tokenizer.seg_id
    answer = batch.answer[0].nonzero()[:, 0].tolist()
    assert answer == list(range(answer[0], place + 1))
    assert tokenizer.decode(ids[answer[0] : place + 1]).startswith("<answer>The polyp")


def test_answer_without_a_mask_marks_no_state(tokenizer: ChatTokenizer) -> None:
    row, view = _row(lesion_free=True), _view(lesion_free=True)
    dialogue = write_dialogue(random.Random(0), row, view, FRAME, kind="lesion_free", mode="none")
    batch = collate([dialogue], [view], [1.0], tokenizer=tokenizer, grid_hw=GRID, side_px=256)
    assert not batch.teacher.seg.any()
    assert parse(dialogue.reply).kind == "absent"
    assert not batch.masks.any()


def test_boxes_of_a_reply_lie_in_the_frame_round_the_lesion(tokenizer: ChatTokenizer) -> None:
    dialogue = write_dialogue(random.Random(0), _row(), _view(), FRAME, kind="present", mode="none")
    ((x0, y0, x1, y1),) = parse(dialogue.reply).boxes_xyxy_px
    # 192 x 256 px is shown in a frame of 252 x 196: 30..120 across and 40..90 down, scaled.
    expected = np.array([30 * 252 / 256, 40 * 196 / 192, 120 * 252 / 256, 90 * 196 / 192])
    assert np.abs(np.array([x0, y0, x1, y1]) - expected).max() <= 1


class _Store:
    def __init__(self, views: list[EmbeddedView]) -> None:
        self._views = views
        self.keys = [view.key for view in views]
        self.frame_whs = [None] * len(views)

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, number: int) -> EmbeddedView:
        return self._views[number]


def test_a_batch_depends_on_seed_and_step_alone(tokenizer: ChatTokenizer) -> None:
    views = [_view("a"), _view("b", lesion_free=True)]
    rows = {"a": _row("a"), "b": _row("b", lesion_free=True)}

    def source() -> BatchSource:
        return BatchSource(
            _Store(views),  # type: ignore[arg-type]
            rows,
            tokenizer=tokenizer,
            frame=FRAME,
            grid_hw=lambda _: GRID,
            side_px=256,
            batch_size=4,
            described_size=3,
            described=Described(tokenizer=tokenizer, frame=FRAME, dim=8, grid=16),
            balance=0.5,
            lesion_free_weight=2.0,
            mix=DEFAULT_MIX,
            seed=7,
        )

    drawn, again = source().batch(5), source().batch(5)
    first = drawn.teacher.ids
    assert torch.equal(first, again.teacher.ids)
    assert drawn.described is not None and again.described is not None
    assert torch.equal(drawn.described.ids, again.described.ids)
    assert torch.equal(drawn.described.content, again.described.content)  # type: ignore[arg-type]
    other = source().batch(6).teacher.ids
    assert first.shape != other.shape or not torch.equal(first, other)


def test_views_of_a_picture_that_no_manifest_names_are_refused() -> None:
    store = _Store([_view("a"), _view("b")])
    with pytest.raises(InputError, match="1 of 2"):
        shown_rows(store, {"a": _row("a")})  # type: ignore[arg-type]
