"""Pictures that are the same, or nearly: found across sets, patients and splits by their looks.

Two pictures count as near duplicates where their small grey copies (24 x 24, brightness and contrast taken out)
correlate at least as strongly as asked. That bears another size, another compression and another window; a mirrored or
turned copy is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.dataset.cut import Look

NEAR = 0.99
BLOCK = 2048
MIN_SPREAD = 4.0
"""Grey copies that vary less (standard deviation of 0..255) look like nothing and are compared with nothing."""


class Groups:
    """Names that belong together, directly or through others (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def join(self, first: str, second: str) -> None:
        """Make two names, and all that belong to them, one group."""
        a, b = self.of(first), self.of(second)
        # The smaller name leads, so that the order of joining does not matter.
        self._parent[max(a, b)] = min(a, b)

    def of(self, name: str) -> str:
        """Return the name that leads a group: the smallest in it."""
        path = []
        while (parent := self._parent.setdefault(name, name)) != name:
            path.append(name)
            name = parent
        for passed in path:
            self._parent[passed] = name
        return name


def near_pairs(looks: Mapping[str, Look], *, near: float = NEAR) -> Iterator[tuple[str, str]]:
    """Yield pairs of pictures that look alike, each once, in a fixed order."""
    names = sorted(looks)
    vectors, kept = _vectors([looks[name] for name in names])
    names = [names[k] for k in kept]
    for start in range(0, len(names), BLOCK):
        block = vectors[start : start + BLOCK]
        for other in range(start, len(names), BLOCK):
            alike = block @ vectors[other : other + BLOCK].T >= near
            for row, column in np.argwhere(alike):
                first, second = start + int(row), other + int(column)
                if first < second:
                    yield names[first], names[second]


def _vectors(looks: Sequence[Look]) -> tuple[NDArray[np.float32], list[int]]:
    """Return unit vectors of the looks that vary, and which these are."""
    if not looks:
        return np.zeros((0, 1), np.float32), []
    grey = np.stack([look.grey().ravel() for look in looks]).astype(np.float32)
    kept = np.flatnonzero(grey.std(axis=1) >= MIN_SPREAD)
    centred = grey[kept] - grey[kept].mean(axis=1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True), kept.tolist()
