"""The picture that the language model sees: its size, and boxes on the way there and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coreseg_core.errors import InputError
from coreseg_core.record import Box


def frame_wh(
    h: int,
    w: int,
    pixel_mm: tuple[float, float],
    *,
    min_long_side_px: int,
    max_long_side_px: int,
    multiple: int = 28,
) -> tuple[int, int]:
    """Return the size (W, H) of the model's picture of an (h, w) slice, sides whole multiples of `multiple`.

    The sides keep the slice's physical proportions as near as the multiples allow, and the long one is the
    native one (counted in the finer of the two pixel sizes) within its bounds.

    Args:
        h: Rows of the slice.
        w: Columns of the slice.
        pixel_mm: Millimetres from row to row and from column to column.
        min_long_side_px: At least; rounded up to a multiple.
        max_long_side_px: At most; rounded down to a multiple.
        multiple: 28 for Qwen2.5-VL: patches of 14 pixels, merged two by two.

    Raises:
        InputError: No multiple lies within the bounds, or a size is not above zero.
    """
    if min(h, w, *pixel_mm, multiple) <= 0:
        raise InputError(f"a slice of {h} x {w} pixels of {pixel_mm} mm.", remedy="All must be above zero.")
    fewest = -(-min_long_side_px // multiple)
    most = max_long_side_px // multiple
    if not 1 <= max(fewest, 1) <= most:
        raise InputError(
            f"no multiple of {multiple} lies between {min_long_side_px} and {max_long_side_px} pixels.",
            remedy="Widen the bounds of the frame.",
        )
    height_mm, width_mm = h * pixel_mm[0], w * pixel_mm[1]
    long_mm, short_mm = max(height_mm, width_mm), min(height_mm, width_mm)
    long_units = int(np.clip(round(long_mm / min(pixel_mm) / multiple), max(fewest, 1), most))
    short_units = max(1, round(long_units * short_mm / long_mm))
    long_px, short_px = long_units * multiple, short_units * multiple
    return (long_px, short_px) if width_mm >= height_mm else (short_px, long_px)


def boxes_to_frame(
    boxes_xyxy_px: Sequence[Box], native_wh: tuple[int, int], frame_wh: tuple[int, int]
) -> tuple[Box, ...]:
    """Return boxes of the native slice in pixels of the frame, whole, inside it and never empty."""
    return _scaled(boxes_xyxy_px, native_wh, frame_wh)


def boxes_to_native(
    boxes_xyxy_px: Sequence[Box], native_wh: tuple[int, int], frame_wh: tuple[int, int]
) -> tuple[Box, ...]:
    """Return boxes of the frame in pixels of the native slice; undoes `boxes_to_frame` if that enlarged."""
    return _scaled(boxes_xyxy_px, frame_wh, native_wh)


def resize_rgb(rgb: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the picture (H, W, 3) at another size, bicubic."""
    if (rgb.shape[1], rgb.shape[0]) == size_wh:
        return rgb
    return np.asarray(Image.fromarray(rgb).resize(size_wh, Image.Resampling.BICUBIC), dtype=np.uint8)


def _scaled(
    boxes_xyxy_px: Sequence[Box], from_wh: tuple[int, int], to_wh: tuple[int, int]
) -> tuple[Box, ...]:
    scaled = []
    for x0, y0, x1, y1 in boxes_xyxy_px:
        left, right = _span(x0, x1, from_wh[0], to_wh[0])
        top, bottom = _span(y0, y1, from_wh[1], to_wh[1])
        scaled.append((left, top, right, bottom))
    return tuple(scaled)


def _span(start: int, stop: int, from_side: int, to_side: int) -> tuple[int, int]:
    """Return a half-open span at another scale, at least one pixel long and inside `0..to_side`."""
    low = min(max(round(start * to_side / from_side), 0), to_side - 1)
    high = min(max(round(stop * to_side / from_side), low + 1), to_side)
    return low, high
