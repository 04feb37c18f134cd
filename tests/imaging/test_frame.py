from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreseg_core.errors import InputError
from coreseg_core.imaging import boxes_to_frame, boxes_to_native, frame_wh, resize_rgb

sides = st.integers(1, 900)


@settings(deadline=None)
@given(h=sides, w=sides, row_mm=st.floats(0.1, 8), column_mm=st.floats(0.1, 8))
def test_frame_is_made_of_whole_patches_with_its_long_side_in_bounds(
    h: int, w: int, row_mm: float, column_mm: float
) -> None:
    width, height = frame_wh(h, w, (row_mm, column_mm), min_long_side_px=252, max_long_side_px=504)
    assert width % 28 == height % 28 == 0
    assert 252 <= max(width, height) <= 504
    assert min(width, height) >= 28
    aspect = (w * column_mm) / (h * row_mm)
    if 0.2 < aspect < 5:
        short = min(width, height)
        assert abs(np.log(width / height / aspect)) <= np.log((short + 14.001) / (short - 14.001)) + 1e-6


@pytest.mark.parametrize(
    ("h", "w", "pixel_mm", "wanted"),
    [
        (512, 512, (1, 1), (252, 252)),
        (100, 200, (1, 1), (252, 112)),
        (100, 200, (2, 1), (252, 252)),
        (30, 34, (5.5, 5.5), (252, 224)),
        (200, 10, (1, 1), (28, 252)),
    ],
)
def test_lite_frame_has_a_long_side_of_252(
    h: int, w: int, pixel_mm: tuple[float, float], wanted: tuple[int, int]
) -> None:
    assert frame_wh(h, w, pixel_mm, min_long_side_px=252, max_long_side_px=252) == wanted


def test_native_size_is_kept_within_bounds() -> None:
    bounds = {"min_long_side_px": 224, "max_long_side_px": 504}
    assert frame_wh(280, 336, (1, 1), **bounds) == (336, 280)
    assert frame_wh(280, 168, (1, 2), **bounds) == (336, 280)


@pytest.mark.parametrize("bounds", [(300, 300), (252, 27), (280, 252)])
def test_refuses_bounds_without_a_multiple(bounds: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="no multiple"):
        frame_wh(10, 10, (1, 1), min_long_side_px=bounds[0], max_long_side_px=bounds[1])


@settings(deadline=None)
@given(data=st.data(), native=st.tuples(sides, sides), scale=st.floats(1, 4))
def test_boxes_come_back_exactly_from_a_larger_frame(
    data: st.DataObject, native: tuple[int, int], scale: float
) -> None:
    frame = (int(np.ceil(native[0] * scale)), int(np.ceil(native[1] * scale * 1.1)))
    x0, y0 = data.draw(st.integers(0, native[0] - 1)), data.draw(st.integers(0, native[1] - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, native[0])), data.draw(st.integers(y0 + 1, native[1]))
    there = boxes_to_frame([(x0, y0, x1, y1)], native, frame)
    assert boxes_to_native(there, native, frame) == ((x0, y0, x1, y1),)


@settings(deadline=None)
@given(
    box=st.tuples(*[st.integers(-50, 2000)] * 4),
    native=st.tuples(sides, sides),
    frame=st.tuples(sides, sides),
)
def test_any_box_becomes_a_box_inside_that_is_not_empty(
    box: tuple[int, int, int, int], native: tuple[int, int], frame: tuple[int, int]
) -> None:
    ((x0, y0, x1, y1),) = boxes_to_native([box], native, frame)
    assert 0 <= x0 < x1 <= native[0]
    assert 0 <= y0 < y1 <= native[1]


def test_resizing_keeps_what_needs_no_change() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    assert resize_rgb(rgb, (9, 7)) is rgb
    assert resize_rgb(rgb, (18, 21)).shape == (21, 18, 3)
