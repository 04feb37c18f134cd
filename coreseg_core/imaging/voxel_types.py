"""The three number types in which voxels are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import InputError

_INT16 = np.iinfo(np.int16)


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """Return grey voxels as uint8 or int16 where they are whole and fit, else as float32.

    Raises:
        InputError: Complex or structured values.
    """
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if values.dtype.kind not in "iuf":
        raise InputError(f"voxels of type {values.dtype}.", remedy="Export real, single-channel values.")
    if values.dtype in (np.uint8, np.int16, np.float32):
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind in "iu" and values.min() >= _INT16.min and values.max() <= _INT16.max:
        return values.astype(np.int16)
    # Doubles beyond single precision become infinite, which display and models treat like a missing value.
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
