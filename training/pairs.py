"""Pairs of views that tell a model what a lesion looks like, and not which picture it is in.

Few pictures show no lesion, so a model of a few million weights soon knows all pictures by heart, and with them whether
to deny. A pair breaks that: one close window over the lesion, and the same window (size, turn, greys) moved over the
same picture to where no lesion is. Only what is seen tells the two apart.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.augment import FREE_TO_TURN, View, Window, change_greys, look_through, share_inside

MIN_LESION_KEPT = 0.5
"""A window over a lesion keeps this share of it, or is filled by it as `_FILLED` says."""
_FILLED = (0.15, 0.7)
_ZOOM = (0.3, 0.85)
_MAX_OUTSIDE = 0.15
"""How far of its length a window may reach out of the picture on each side."""
_BACKGROUND = (16.0, 240.0)
_TRIES, _SIZES, _PLACES = 4, 8, 24


def view_pair(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    modality: str,
    side_px: int,
) -> tuple[View, View] | None:
    """Return a view over the lesion and one beside it, None where no two such windows of one size are found.

    Args:
        rgb: (h, w, 3) uint8.
        mask: (h, w) bool; empty gives None.
        rng: Source of the draws.
        modality: Says how far a picture may be turned.
        side_px: Long side of the views, the segmenter's square.
    """
    source = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float()
    truth = torch.from_numpy(mask.astype(np.float32))[None]
    for _ in range(_TRIES):
        windows = _draw_pair(mask, rng, turn=modality in FREE_TO_TURN)
        if windows is None:
            return None
        over, beside = (look_through(window, source, truth, torch.zeros(3), side_px) for window in windows)
        if bool((over[1] > 0.5).any()) and not bool((beside[1] > 0.5).any()) and _shows_tissue(beside[0]):
            greys, colour = int(rng.integers(2**31)), modality in FREE_TO_TURN
            return _changed(over, greys, colour=colour), _changed(beside, greys, colour=colour)
    return None


def _shows_tissue(picture: Tensor) -> bool:
    """Return whether less than half of a picture is background, black or as white as in PET."""
    return _BACKGROUND[0] < float(picture.mean(0).median()) < _BACKGROUND[1]


def _changed(shown: tuple[Tensor, Tensor], seed: int, *, colour: bool) -> View:
    picture, outline = shown
    rng = np.random.default_rng(seed)
    return View(rgb=change_greys(picture, rng, colour=colour), mask=outline[0] > 0.5)


def _draw_pair(
    mask: NDArray[np.bool_], rng: np.random.Generator, *, turn: bool
) -> tuple[Window, Window] | None:
    """Return two windows of one size, the first over the lesion, the second with nothing of it."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    height, width = mask.shape
    long_side = max(height, width)
    extent = np.array([width, height]) / long_side
    xs, ys = columns / long_side, rows / long_side
    for _ in range(_SIZES):
        size = extent * math.exp(rng.uniform(*np.log(_ZOOM)))
        any_turn = turn and rng.random() < 0.5
        first = Window(
            centre_xy=(0.0, 0.0),
            size_wh=(float(size[0]), float(size[1])),
            angle_rad=rng.uniform(-math.pi, math.pi) if any_turn else rng.normal(0.0, 0.12),
            mirror=(bool(rng.random() < 0.5), bool(turn and rng.random() < 0.5)),
        )
        over = beside = None
        for _ in range(_PLACES):
            reach = np.maximum(extent / 2 - size * (0.5 - _MAX_OUTSIDE), 0.0)
            centre = extent / 2 + rng.uniform(-reach, reach)
            placed = replace(first, centre_xy=(float(centre[0]), float(centre[1])))
            kept = share_inside(placed, xs, ys)
            if kept == 0:
                beside = beside or placed
            elif over is None and (kept >= MIN_LESION_KEPT or _well_filled(kept * len(xs), size, long_side)):
                over = placed
            if over is not None and beside is not None:
                return over, beside
    return None


def _well_filled(lesion_px: float, size: NDArray[np.float64], long_side: int) -> bool:
    share = lesion_px / float(size[0] * size[1] * long_side**2)
    return _FILLED[0] <= share <= _FILLED[1]
