"""Masks as run lengths, small enough to travel with every slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mask_runs(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (a, b) as `{shape, counts}`: lengths of runs, row by row, of off and on in turn, off first."""
    flat = np.ascontiguousarray(mask, dtype=bool).ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(edges).tolist()
    if flat.size and flat[0]:
        counts = [0, *counts]
    return {"shape": [int(side) for side in mask.shape], "counts": counts}
