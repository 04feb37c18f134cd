"""A reader's clicks and boxes land on the pixel where they were drawn, whichever way the slice is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreseg_core.errors import InputError, LimitError
from coreseg_core.imaging import Volume, VolumeGeometry, extract_slice
from lib.marks import MAX_BOXES, MAX_CLICKS, Marks, read_marks
from lib.params import CLICK_QUESTION, parse_ask

SHAPE = (7, 9, 5)
SIGNS = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)
ORDERS = st.permutations(range(3))


def volume(order: list[int], signs: tuple[float, ...]) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order] * signs
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    return Volume(voxels=voxels, geometry=VolumeGeometry(SHAPE, affine), modality="MR")


@settings(max_examples=80, deadline=None)
@given(ORDERS, SIGNS, st.sampled_from([0, 1, 2]), st.data())
def test_a_click_lands_on_the_pixel_that_shows_its_voxel(
    order: list[int], signs: tuple[float, ...], axis: int, data: st.DataObject
) -> None:
    voxel = [data.draw(st.integers(0, side - 1)) for side in SHAPE]
    image = extract_slice(volume(order, signs), axis, voxel[axis])
    prompts = read_marks({"foreground": [voxel]}).on_slice(image, SHAPE)
    mask = np.zeros((image.height, image.width), dtype=bool)
    ((x, y),) = prompts.points_xy_px
    mask[round(y), round(x)] = True
    plane = np.zeros([side for number, side in enumerate(SHAPE) if number != axis], dtype=bool)
    plane[tuple(place for number, place in enumerate(voxel) if number != axis)] = True
    assert np.array_equal(image.mask_to_voxels(mask), plane)
    assert prompts.points_inside == (True,)


@settings(max_examples=80, deadline=None)
@given(ORDERS, SIGNS, st.sampled_from([0, 1, 2]), st.data())
def test_a_box_covers_exactly_the_pixels_that_show_its_voxels(
    order: list[int], signs: tuple[float, ...], axis: int, data: st.DataObject
) -> None:
    low = [data.draw(st.integers(0, side - 1)) for side in SHAPE]
    high = [data.draw(st.integers(start + 1, side)) for start, side in zip(low, SHAPE, strict=True)]
    image = extract_slice(volume(order, signs), axis, low[axis])
    ((x0, y0, x1, y1),) = read_marks({"boxes": [[*low, *high]]}).on_slice(image, SHAPE).boxes_xyxy_px
    mask = np.zeros((image.height, image.width), dtype=bool)
    mask[y0:y1, x0:x1] = True
    whole = np.zeros(SHAPE, dtype=bool)
    whole[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = True
    assert np.array_equal(image.mask_to_voxels(mask), whole.take(low[axis], axis))


def test_the_roi_of_stock_slicer_may_be_reversed_and_reach_outside() -> None:
    image = extract_slice(volume([0, 1, 2], (1, 1, 1)), 2, 3)
    marks = read_marks({"roi": [4, 2, -5, 3, 2, 30]})
    assert marks.boxes_ijk == ((2, -5, 2, 5, 4, 31),)
    ((x0, y0, x1, y1),) = marks.on_slice(image, SHAPE).boxes_xyxy_px
    assert (x1 - x0) * (y1 - y0) == 3 * 4


def test_the_slice_is_that_of_the_marks_where_none_is_named() -> None:
    geometry = volume([0, 1, 2], (1, 1, 1)).geometry
    request = {"foreground": [[1, 2, 4]], "query": "liver tumor"}
    assert parse_ask(request, model="coreseg_click").scope_in(geometry).start == 4
    assert parse_ask({**request, "axis": "j"}).scope_in(geometry).start == 2
    assert Marks(boxes_ijk=((0, 0, 1, 2, 2, 4),)).slice_along(2) == 2


def test_a_click_without_words_asks_the_plain_question_and_words_are_kept() -> None:
    click = {"foreground": [[1, 2, 4]]}
    assert parse_ask(click, model="coreseg_click").query.text == CLICK_QUESTION
    assert parse_ask({**click, "query": "liver cyst"}, model="coreseg_click").query.text == "liver cyst"
    with pytest.raises(InputError, match="empty"):
        parse_ask(click)


@pytest.mark.parametrize(
    "params",
    [
        {"foreground": [[0, 0, 4]]},
        {"foreground": [[0, 0, 3], [0, 0, 2]]},
        {"foreground": [[7, 0, 3]]},
        {"background": [[0, -1, 3]]},
        {"boxes": [[0, 0, 0, 2, 2, 3]]},
        {"boxes": [[8, 0, 3, 9, 2, 4]]},
    ],
)
def test_marks_on_another_slice_or_outside_the_image_are_refused(params: dict[str, Any]) -> None:
    image = extract_slice(volume([0, 1, 2], (1, 1, 1)), 2, 3)
    with pytest.raises(InputError):
        read_marks(params).on_slice(image, SHAPE)


@pytest.mark.parametrize("key", ["foreground", "background", "roi", "boxes"])
@pytest.mark.parametrize(
    "value", [3, "3", {"i": 1}, [1, 2], [[1, 2]], [["1", "2", "3"]], [[True, 1, 1]], [[1e9, 0, 0]], [None]]
)
def test_marks_of_the_wrong_kind_are_named(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=key):
        read_marks({key: value})


def test_more_marks_than_a_person_draws_are_refused() -> None:
    with pytest.raises(LimitError):
        read_marks({"foreground": [[0, 0, 0]] * MAX_CLICKS, "background": [[0, 0, 0]]})
    with pytest.raises(LimitError):
        read_marks({"boxes": [[0, 0, 0, 1, 1, 1]] * (MAX_BOXES + 1)})


def test_marks_belong_to_one_slice_and_a_click_model_needs_some() -> None:
    with pytest.raises(InputError, match="scope"):
        parse_ask({"query": "x", "scope": "volume", "foreground": [[0, 0, 0]]})
    with pytest.raises(InputError, match="click"):
        parse_ask({"query": "x", "slice": 3}, model="coreseg_click")
