"""Boxes on the command line: in pixels of the slice as it is displayed, the pixels that answers speak of."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from coreseg_core.errors import InputError
from coreseg_core.record import Box, Query, ReaderPrompts, Scope

if TYPE_CHECKING:
    from coreseg_core.imaging import Volume


def box_px(text: str) -> Box:
    """Return the box of an option X0,Y0,X1,Y1, half-open; raises `ArgumentTypeError` if it is none."""
    try:
        x0, y0, x1, y1 = (int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not X0,Y0,X1,Y1 in whole pixels") from None
    if not (0 <= x0 < x1 and 0 <= y0 < y1):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no box; X0 < X1, Y0 < Y1, none below 0")
    return x0, y0, x1, y1


def marked(query: Query, boxes: Sequence[Box], volume: Volume, scope: Scope) -> Query:
    """Return a query with a reader's boxes.

    Raises:
        InputError: Several slices are asked about, or a box begins beyond the slice.
    """
    from coreseg_core.imaging import extract_slice

    if not boxes:
        return query
    if len(scope.indices) != 1:
        raise InputError(
            f"--box marks one slice, but {len(scope.indices)} are asked about.",
            remedy="Name one with --slice.",
        )
    image = extract_slice(volume, scope.axis, scope.start)
    cut = []
    for x0, y0, x1, y1 in boxes:
        if x0 >= image.width or y0 >= image.height:
            raise InputError(
                f"The box {x0},{y0},{x1},{y1} lies beyond the slice, which is {image.width} pixels wide and "
                f"{image.height} high.",
                remedy="Count pixels from the upper left of the slice as it is displayed (--overlay shows it).",
            )
        cut.append((x0, y0, min(x1, image.width), min(y1, image.height)))
    return replace(query, prompts=ReaderPrompts(boxes_xyxy_px=tuple(cut)))
