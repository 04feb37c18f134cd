"""A constant ellipse at the centre, the best for each set: what a set gives away by how it was cropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from coreseg_core.evaluation.pictures import Mask, Picture, load_row
from coreseg_core.evaluation.rows import Row

SIDE_PX = 64
RADII = tuple(step / 20 for step in range(1, 11))
"""Half axes as shares of width and height."""
MAX_PICTURES = 60
"""Masks of a set that are looked at; the best of a hundred ellipses needs no more."""

Radii = tuple[float, float]


@dataclass(frozen=True)
class CentreEllipse:
    """Draws the ellipse of the picture's set, the common one for sets it does not know."""

    radii_of_set: Mapping[str, Radii]
    common: Radii

    def mask(self, picture: Picture, row: Row) -> Mask:
        """Return the (h, w) ellipse."""
        height, width = picture.mask.shape
        return ellipse(height, width, self.radii_of_set.get(row.subset, self.common))


def fit_ellipses(rows: Iterable[Row]) -> CentreEllipse:
    """Return the ellipses with the best mean Dice on training rows, one a set."""
    by_set: dict[str, list[Row]] = {}
    for row in rows:
        if not row.lesion_free:
            by_set.setdefault(row.subset, []).append(row)
    masks = {
        name: np.stack([_small(load_row(row)[1]) for row in _spread(group)]) for name, group in by_set.items()
    }
    return CentreEllipse(
        radii_of_set={name: best_radii(small) for name, small in masks.items()},
        common=best_radii(np.concatenate(list(masks.values()))),
    )


def ellipse(height: int, width: int, radii: Radii) -> Mask:
    """Return an (h, w) ellipse at the centre whose half axes are shares of width and height."""
    x = ((np.arange(width) + 0.5) / width - 0.5) / radii[0]
    y = ((np.arange(height) + 0.5) / height - 0.5) / radii[1]
    return (x[None, :] ** 2 + y[:, None] ** 2) <= 1.0


def best_radii(masks: NDArray[np.bool_]) -> Radii:
    """Return the half axes of the ellipse with the best mean Dice over masks (n, h, w)."""
    truths = masks.reshape(len(masks), -1).astype(np.float32)
    candidates = list(product(RADII, RADII))
    _, height, width = masks.shape
    drawn = np.stack([ellipse(height, width, radii).ravel() for radii in candidates]).astype(np.float32)
    dice = 2 * (truths @ drawn.T) / (truths.sum(axis=1)[:, None] + drawn.sum(axis=1)[None, :])
    return candidates[int(dice.mean(axis=0).argmax())]


def _small(mask: Mask) -> Mask:
    """Return a mask sampled at the centres of a coarse grid."""
    height, width = mask.shape
    rows = ((np.arange(SIDE_PX) + 0.5) * height / SIDE_PX).astype(int)
    columns = ((np.arange(SIDE_PX) + 0.5) * width / SIDE_PX).astype(int)
    return mask[np.ix_(rows, columns)]


def _spread(rows: list[Row]) -> list[Row]:
    return rows[:: max(1, len(rows) // MAX_PICTURES)]
