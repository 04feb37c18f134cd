"""Masks as run lengths, small enough to travel with every slice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import InputError


def mask_runs(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (a, b) as `{shape, counts}`: lengths of runs, row by row, of off and on in turn, off first."""
    flat = np.ascontiguousarray(mask, dtype=bool).ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(edges).tolist()
    if flat.size and flat[0]:
        counts = [0, *counts]
    return {"shape": [int(side) for side in mask.shape], "counts": counts}


def mask_of_runs(values: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return the mask (a, b) that `mask_runs` was given.

    Raises:
        InputError: The runs do not fill the shape.
    """
    shape, counts = tuple(values["shape"]), np.asarray(values["counts"], dtype=np.int64)
    if len(shape) != 2 or (counts < 0).any() or counts.sum() != np.prod(shape):
        raise InputError(
            "the runs of a mask do not fill its shape.", remedy="Remove the file; it is damaged."
        )
    on = np.arange(counts.size) % 2 == 1
    return np.repeat(on, counts).reshape(shape)
