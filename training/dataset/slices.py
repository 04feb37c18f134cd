"""Which slices of a volume are worth showing: those with a lesion, spread out, and some far from any."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from coreseg_core.imaging import Volume
from training.dataset.sources import SliceChoice

MIN_FOREGROUND = 0.1
"""A lesion-free slice shows something on at least this share of its pixels."""


def lesion_slices(mask: NDArray[np.bool_], axis: int, choice: SliceChoice) -> tuple[int, ...]:
    """Return slices along `axis` that show enough of a mask (i, j, k): the fullest, the others spread evenly."""
    area_px = mask.sum(axis=tuple(other for other in range(3) if other != axis))
    shown = np.flatnonzero(area_px >= choice.min_px)
    if shown.size <= choice.per_volume:
        return tuple(shown.tolist())
    fullest = int(np.argmax(area_px))
    others = shown[shown != fullest]
    picked = others[_spread(others.size, choice.per_volume - 1)]
    return tuple(sorted({fullest, *picked.tolist()}))


def lesion_free_slices(
    volume: Volume, masks: Iterable[NDArray[np.bool_]], axis: int, choice: SliceChoice
) -> tuple[int, ...]:
    """Return slices that lie away from every mask and show something, spread evenly."""
    count = volume.geometry.shape_ijk[axis]
    others = tuple(other for other in range(3) if other != axis)
    near = np.zeros(count, dtype=bool)
    for mask in masks:
        for index in np.flatnonzero(mask.any(axis=others)).tolist():
            near[max(0, index - choice.gap) : index + choice.gap + 1] = True
    grey = volume.voxels if not volume.colour else volume.voxels[..., 0]
    dark = float(np.nanmin(grey)) + 0.05 * float(np.nanmax(grey) - np.nanmin(grey))
    foreground = (grey > dark).mean(axis=others)
    free = np.flatnonzero(~near & (foreground >= MIN_FOREGROUND))
    return tuple(free[_spread(free.size, choice.negatives)].tolist())


def _spread(size: int, count: int) -> NDArray[np.intp]:
    """Return up to `count` of the numbers below `size`, in the middle of equal stretches."""
    if size <= count:
        return np.arange(size)
    return ((np.arange(count) + 0.5) * size / count).astype(np.intp)
