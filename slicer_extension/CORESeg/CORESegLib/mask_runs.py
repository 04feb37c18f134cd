"""Masks as run lengths, as they come from the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from CORESegLib.trouble import Trouble

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_SIDE = 1 << 15


@dataclass(frozen=True, kw_only=True)
class MaskRuns:
    """A mask of one slice.

    Attributes:
        shape: Of the mask, in the order of `np.take(voxels_ijk, index, axis)`.
        counts: Lengths of runs, row by row, of off and on in turn, off first.
    """

    shape: tuple[int, int]
    counts: tuple[int, ...]

    @property
    def marked(self) -> int:
        """Pixels that are on."""
        return sum(self.counts[1::2])

    def decode(self) -> NDArray[np.bool_]:
        """Return the mask as an array (a, b)."""
        import numpy as np

        values = np.zeros(len(self.counts), dtype=bool)
        values[1::2] = True
        return np.repeat(values, self.counts).reshape(self.shape)


def read_runs(values: Any) -> MaskRuns:
    """Return the mask in JSON values `{shape, counts}`.

    Raises:
        Trouble: They do not make a mask.
    """
    shape = values.get("shape") if isinstance(values, dict) else None
    counts = values.get("counts") if isinstance(values, dict) else None
    if (
        not isinstance(shape, list)
        or not isinstance(counts, list)
        or len(shape) != 2
        or not all(type(side) is int and 0 < side <= MAX_SIDE for side in shape)
        or not all(type(count) is int and count >= 0 for count in counts)
        or sum(counts) != shape[0] * shape[1]
    ):
        raise Trouble(
            "not_our_server",
            "The server sends a mask that cannot be read.",
            remedy="Extension and server may be of different versions.",
        )
    return MaskRuns(shape=(shape[0], shape[1]), counts=tuple(counts))
