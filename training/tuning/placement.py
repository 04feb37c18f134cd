"""Whether outlines lie where the pictures change: a batch of masks that were moved gives itself away.

A mask that was saved on another grid, flipped back wrongly or shifted by a script looks like any other mask. Over many
patients it does not: on average the outlined region stands out from what is around it most when it is moved back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from coreseg_core.evaluation.rows import Row

SIDE_PX = 96
REACH = 0.15
"""Moves that are tried, as a share of the picture's long side."""
MIN_MOVE = 0.04
"""A best place nearer than this, as a share of the long side, is no move: readers draw a little outside or inside."""
MIN_PATIENTS = 5
DRAWS = 500
CERTAIN = 0.99
_RING_PX = 3

Loader = Callable[[Row], tuple[NDArray[np.uint8], NDArray[np.bool_]]]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where outlines would fit best, together.

    Attributes:
        move_xy: From where they are to where they stand out most, as shares of the long side.
        certainty: Share of draws of patients in which that place is at least `MIN_MOVE` away and better.
        patients: How many were looked at.
    """

    move_xy: tuple[float, float]
    certainty: float
    patients: int

    @property
    def astray(self) -> bool:
        """Whether the outlines lie beside what they outline."""
        distance = float(np.hypot(*self.move_xy))
        return self.patients >= MIN_PATIENTS and distance >= MIN_MOVE and self.certainty >= CERTAIN

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "move_xy": [round(float(part), 4) for part in self.move_xy],
            "certainty": round(self.certainty, 4),
            "patients": self.patients,
            "astray": self.astray,
        }


def placement_of(rows: Sequence[Row], load: Loader) -> Placement:
    """Return where the masks of some rows would fit their pictures best."""
    maps: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for row in rows:
        found = _stands_out(*load(row))
        if found is not None:
            maps[row.patient_key].append(found)
    if not maps:
        return Placement(move_xy=(0.0, 0.0), certainty=0.0, patients=0)
    each = np.stack([np.mean(found, axis=0) for found in maps.values()])
    drawn = np.random.default_rng(0).integers(0, len(each), (DRAWS, len(each)))
    away = [_moved(each[numbers].mean(axis=0)) for numbers in drawn]
    best = _moved(each.mean(axis=0))
    certainty = float(np.mean([np.hypot(*move) >= MIN_MOVE for move in away]))
    return Placement(move_xy=best, certainty=certainty, patients=len(each))


def _moved(standing_out: NDArray[np.float64]) -> tuple[float, float]:
    """Return the move (x, y), as shares of the long side, by which outlines stand out most."""
    reach = standing_out.shape[0] // 2
    y, x = np.unravel_index(int(np.argmax(standing_out)), standing_out.shape)
    return (float(x) - reach) / SIDE_PX, (float(y) - reach) / SIDE_PX


def _stands_out(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Return, for each move (y, x), by how much the moved mask's inside differs from the ring around it.

    None for a mask that leaves no room to be moved, or a picture without contrast.
    """
    scale = SIDE_PX / max(mask.shape)
    grey = ndimage.zoom(rgb.mean(axis=2), scale, order=1)
    small = ndimage.zoom(mask.astype(np.float32), scale, order=1)[: grey.shape[0], : grey.shape[1]] > 0.5
    spread = float(grey.std())
    if not 4 <= small.sum() <= small.size / 4 or spread < 1.0:
        return None
    ring = ndimage.binary_dilation(small, iterations=_RING_PX) & ~small
    padded = np.pad(grey / spread, int(REACH * SIDE_PX), mode="reflect")
    inside, outside = (
        signal.fftconvolve(padded, part[::-1, ::-1] / part.sum(), mode="valid") for part in (small, ring)
    )
    difference = np.abs(inside - outside)
    result: NDArray[np.float64] = (difference - difference.mean()) / max(float(difference.std()), 1e-6)
    return result
