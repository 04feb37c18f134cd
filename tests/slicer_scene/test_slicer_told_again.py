"""The server tells a slice again where its neighbours leave less of it; the reader may have drawn there meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from answered import LPS, SHAPE, found, record, square, whole
from headless import HeadlessSlicer

from CORESegLib.findings import Findings
from CORESegLib.scene_answers import SceneAnswer
from CORESegLib.scene_masks import set_slice

NOTHING = np.zeros(SHAPE[:2], dtype=bool)


@pytest.fixture
def volume(desktop: HeadlessSlicer) -> Any:
    return desktop.volume(np.zeros(SHAPE[::-1], dtype=np.int16), LPS)


def test_a_slice_told_again_with_nothing_left_is_emptied_and_the_original_with_it(
    desktop: HeadlessSlicer, volume: Any
) -> None:
    answer = SceneAnswer(volume, "q", axis=2)
    answer.add_slice(found(7, NOTHING))
    assert answer.segment is None, "nothing to draw makes no segment"
    for index in (2, 3, 9):
        answer.add_slice(found(index, square()))
    answer.add_slice(found(9, NOTHING))
    answer.ask_again()
    answer.add_slice(found(3, NOTHING))  # A new question leaves what the reader had.
    for node in (answer.segmentation, answer.original):
        mask = whole(node, answer.segment_id, volume)
        assert not mask[:, :, 9].any()
        assert mask.sum() == 2 * square().sum()


def test_what_the_reader_drew_meanwhile_survives_a_slice_told_again(
    desktop: HeadlessSlicer, volume: Any
) -> None:
    saved: list[Any] = []
    answer = SceneAnswer(volume, "q", axis=2, save_for_undo=saved.append)
    answer.add_slice(found(9, square()))
    both = square() | square(20, 3)
    set_slice(answer.segmentation, answer.segment_id, volume, both, axis=2, index=9)
    saved.clear()
    answer.add_slice(found(9, NOTHING))
    assert (whole(answer.segmentation, answer.segment_id, volume)[:, :, 9] == square(20, 3)).all()
    assert len(saved) == 1, "the reader can undo it"
    assert not whole(answer.original, answer.segment_id, volume).any()


def test_an_answer_of_which_nothing_is_left_leaves_no_segment(desktop: HeadlessSlicer, volume: Any) -> None:
    answer = SceneAnswer(volume, "q", axis=2)
    answer.add_slice(found(9, square()))
    answer.add_slice(found(9, NOTHING))
    answer.finish(record(outcome="uncertain"), Findings(slices={(2, 9): found(9, square())}))
    assert answer.segment is None and answer.original is None
    assert answer.text_node is not None
