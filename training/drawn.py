"""Drawn lesions: what described pictures (`training.described`) show, so that place and size can be learned from them.

Ellipses on noise; what is said of them is measured as on real pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from coreseg_core.claims import Facts, boxes, measure
from coreseg_core.imaging import boxes_to_frame
from coreseg_core.models.preset import FrameSpec
from coreseg_core.record import Box
from training.shown import frame_size_of

DRAWINGS = 4096
"""How many are drawn, each once; measuring costs more than anything else about a described picture."""
_SIDE_PX = 128
_NUMBERS, _NUMBER_CHANCES = (1, 2, 3, 4), (0.76, 0.12, 0.07, 0.05)
_SHADES = (-60, -30, 0, 30, 60)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Lesions on a picture that nobody needs to see.

    Attributes:
        facts: As measured.
        boxes_frame: Half-open boxes in the frame that answers count in, largest first.
        reach: (2 * grid,) largest lesion share of every row, then of every column of visual tokens.
    """

    facts: Facts
    boxes_frame: tuple[Box, ...]
    reach: NDArray[np.float32]


@lru_cache(maxsize=DRAWINGS)
def drawing(number: int, frame: FrameSpec, grid: int) -> Drawing:
    """Return drawing number `number`, the same for the same number."""
    rng = np.random.default_rng([number])
    while True:
        mask = _lesions(rng)
        grey = 110 + rng.normal(0, 12, mask.shape) + rng.choice(_SHADES) * mask
        facts = measure(mask, grey)
        if facts is not None:
            break
    height, width = mask.shape
    return Drawing(
        facts=facts,
        boxes_frame=boxes_to_frame(boxes(mask), (width, height), frame_size_of(height, width, frame)),
        reach=_reach(mask, grid),
    )


def _lesions(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask (h, w), long side 128, with one or more ellipses that may leave the picture."""
    short = int(rng.integers(64, _SIDE_PX + 1)) if rng.random() < 0.7 else _SIDE_PX
    shape = (short, _SIDE_PX) if rng.random() < 0.75 else (_SIDE_PX, short)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, dtype=bool)
    for _ in range(rng.choice(_NUMBERS, p=_NUMBER_CHANCES)):
        centre = rng.uniform(0.04, 0.96, 2) * shape
        radius = np.exp(rng.uniform(np.log(2.5), np.log(40)))
        stretch, angle = np.exp(rng.uniform(-0.45, 0.45)), rng.uniform(0, np.pi)
        down, right = rows - centre[0], columns - centre[1]
        along = (right * np.cos(angle) + down * np.sin(angle)) / (radius * stretch)
        across = (down * np.cos(angle) - right * np.sin(angle)) / (radius / stretch)
        # A bulge or two, so that outlines differ.
        bulge = 1 + rng.uniform(0, 0.35) * np.cos(
            rng.integers(2, 6) * np.arctan2(across, along) + rng.uniform(0, 6)
        )
        mask |= along**2 + across**2 <= bulge**2
    return mask


def _reach(mask: NDArray[np.bool_], grid: int) -> NDArray[np.float32]:
    cell = _SIDE_PX // grid
    square = np.zeros((_SIDE_PX, _SIDE_PX), np.float32)
    square[: mask.shape[0], : mask.shape[1]] = mask
    share = square.reshape(grid, cell, grid, cell).mean(axis=(1, 3))
    return np.concatenate([share.max(axis=1), share.max(axis=0)])
