"""A reader's clicks and boxes, in voxels of the image, on their way to the slice they were drawn on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coreseg_core.errors import InputError, LimitError
from coreseg_core.imaging import SliceImage
from coreseg_core.record import Box, ReaderPrompts

MAX_CLICKS = 64
MAX_BOXES = 16

Point = tuple[float, float, float]
BoxIjk = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What a reader marked, in voxel indices (i, j, k).

    Attributes:
        inside_ijk: Clicks on the lesion.
        outside_ijk: Clicks on what is no lesion.
        boxes_ijk: Boxes around lesions, half-open (i0, j0, k0, i1, j1, k1).
    """

    inside_ijk: tuple[Point, ...] = ()
    outside_ijk: tuple[Point, ...] = ()
    boxes_ijk: tuple[BoxIjk, ...] = ()

    @property
    def empty(self) -> bool:
        """True when the reader marked nothing."""
        return not (self.inside_ijk or self.outside_ijk or self.boxes_ijk)

    def slice_along(self, axis: int) -> int | None:
        """Return the slice along an array axis that the marks name: that of the first click, else a box's middle."""
        for point in (*self.inside_ijk, *self.outside_ijk):
            return round(point[axis])
        for box in self.boxes_ijk:
            return (box[axis] + box[axis + 3] - 1) // 2
        return None

    def on_slice(self, image: SliceImage, shape_ijk: tuple[int, int, int]) -> ReaderPrompts:
        """Return the marks in pixels of the slice they were drawn on.

        Args:
            image: The slice.
            shape_ijk: Of the whole image.

        Raises:
            InputError: A mark lies on another slice, or outside the image.
        """
        clicks = (*self.inside_ijk, *self.outside_ijk)
        for click in clicks:
            _check_click(click, image, shape_ijk)
        points = image.voxels_to_points(np.asarray(clicks, dtype=np.float64).reshape(-1, 3))
        return ReaderPrompts(
            points_xy_px=tuple((float(x), float(y)) for x, y in points),
            points_inside=(True,) * len(self.inside_ijk) + (False,) * len(self.outside_ijk),
            boxes_xyxy_px=tuple(_box_on_slice(box, image, shape_ijk) for box in self.boxes_ijk),
        )


def read_marks(request: Mapping[str, Any]) -> Marks:
    """Return the marks of a request: stock 3D Slicer's `foreground`, `background` and `roi`, and our `boxes`.

    Raises:
        InputError: Something else stands there.
        LimitError: There are more than a person draws.
    """
    inside = tuple(_points(request, "foreground"))
    outside = tuple(_points(request, "background"))
    if len(inside) + len(outside) > MAX_CLICKS:
        raise LimitError(
            f"{len(inside) + len(outside)} clicks; at most {MAX_CLICKS} are read.",
            remedy="Send fewer of them.",
        )
    return Marks(inside_ijk=inside, outside_ijk=outside, boxes_ijk=(*_roi(request), *_boxes(request)))


def _points(request: Mapping[str, Any], key: str) -> Iterator[Point]:
    for value in _list(request, key):
        i, j, k = _numbers(value, 3, key)
        yield i, j, k


def _roi(request: Mapping[str, Any]) -> Iterator[BoxIjk]:
    """Yield the box of 3D Slicer's ROI: [i0, i1, j0, j1, k0, k1], both ends included, in either order."""
    if value := _list(request, "roi"):
        numbers = _numbers(value, 6, "roi")
        low = [math.floor(min(numbers[axis : axis + 2])) for axis in (0, 2, 4)]
        high = [math.ceil(max(numbers[axis : axis + 2])) + 1 for axis in (0, 2, 4)]
        yield low[0], low[1], low[2], high[0], high[1], high[2]


def _boxes(request: Mapping[str, Any]) -> Iterator[BoxIjk]:
    given = _list(request, "boxes")
    if len(given) > MAX_BOXES:
        raise LimitError(f"{len(given)} boxes; at most {MAX_BOXES} are read.", remedy="Send fewer of them.")
    for value in given:
        i0, j0, k0, i1, j1, k1 = (int(number) for number in _numbers(value, 6, "boxes"))
        if not (i0 < i1 and j0 < j1 and k0 < k1):
            raise InputError(
                "`boxes` holds an empty box.", remedy="A box is [i0, j0, k0, i1, j1, k1], half-open, i0 < i1."
            )
        yield i0, j0, k0, i1, j1, k1


def _list(request: Mapping[str, Any], key: str) -> list[Any]:
    value = request.get(key)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise InputError(
            f"`{key}` is not a list.", remedy="Send lists of voxel indices, as the manual shows."
        )
    return value


def _numbers(value: Any, count: int, key: str) -> list[float]:
    fitting = isinstance(value, list) and len(value) == count
    if not fitting or not all(
        isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < 1e6
        for number in value
    ):
        raise InputError(
            f"`{key}` must hold lists of {count} numbers.",
            remedy="Send voxel indices i, j, k, counted from 0.",
        )
    return [float(number) for number in value]


def _check_click(click: Point, image: SliceImage, shape_ijk: tuple[int, int, int]) -> None:
    if not all(-0.5 <= value <= side - 0.5 for value, side in zip(click, shape_ijk, strict=True)):
        raise InputError(
            f"A click lies outside the image of {shape_ijk} voxels.", remedy="Count voxels from 0."
        )
    if round(click[image.axis]) != image.index:
        raise InputError(
            f"A click lies on slice {round(click[image.axis])}, the question is about slice {image.index}.",
            remedy="Send the clicks of one slice at a time.",
        )


def _box_on_slice(box: BoxIjk, image: SliceImage, shape_ijk: tuple[int, int, int]) -> Box:
    low = [max(0, start) for start in box[:3]]
    high = [min(side, stop) - 1 for side, stop in zip(shape_ijk, box[3:], strict=True)]
    if any(first > last for first, last in zip(low, high, strict=True)):
        raise InputError(
            f"A box lies outside the image of {shape_ijk} voxels.", remedy="Count voxels from 0."
        )
    if not low[image.axis] <= image.index <= high[image.axis]:
        raise InputError(
            f"A box does not reach slice {image.index}, which the question is about.",
            remedy="Send the boxes of one slice at a time.",
        )
    corners = image.voxels_to_points([low, high])
    x0, y0 = (int(value) for value in corners.min(axis=0))
    x1, y1 = (int(value) + 1 for value in corners.max(axis=0))
    return x0, y0, x1, y1
