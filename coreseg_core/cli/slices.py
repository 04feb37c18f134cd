"""Which slices of an image a command line means."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from coreseg_core.errors import InputError
from coreseg_core.record import Scope

if TYPE_CHECKING:
    from coreseg_core.imaging import VolumeGeometry


def chosen_scope(
    geometry: VolumeGeometry, *, axis: str | None, slices: tuple[int, int] | None, every: bool
) -> Scope:
    """Return the slices to look at; without a wish the only one of a flat image, else the middle one.

    Args:
        geometry: Of the image.
        axis: A plane or an array axis; None takes the flat axis of an image of one slice, else axial.
        slices: Half-open (start, stop).
        every: All slices.

    Raises:
        InputError: Slices that the image does not have.
    """
    along = _flat_or_axial(geometry) if axis is None else geometry.array_axis(axis)
    count = geometry.shape_ijk[along]
    if every:
        return Scope(along, 0, count)
    if slices is None:
        return Scope(along, count // 2, count // 2 + 1)
    start, stop = slices
    if not 0 <= start < stop <= count:
        asked = f"slice {start}" if stop == start + 1 else f"slices {start}:{stop}"
        raise InputError(
            f"There is no {asked}: {describe_axis(geometry, along)} has slices 0 to {count - 1}.",
            remedy="Count from 0; in --slices A:B the slice B is not included, and A is less than B.",
        )
    return Scope(along, start, stop)


def describe_axis(geometry: VolumeGeometry, axis: int) -> str:
    """Return an array axis in words, with its plane where the image lies in a patient."""
    letter = "ijk"[axis]
    return f"the {geometry.plane(axis)} axis ({letter})" if geometry.located else f"axis {letter}"


def slice_range(text: str) -> tuple[int, int]:
    """Return half-open (A, B) of the words "A:B", as an argument of the command line."""
    match = re.fullmatch(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*", text)
    if match is None:
        raise argparse.ArgumentTypeError("slices are A:B with two whole numbers, for example 30:50")
    return int(match[1]), int(match[2])


def _flat_or_axial(geometry: VolumeGeometry) -> int:
    flat = [axis for axis, side in enumerate(geometry.shape_ijk) if side == 1]
    return flat[0] if len(flat) == 1 else geometry.array_axis("axial")
