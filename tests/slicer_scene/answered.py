"""Findings and records as a server tells them about a small volume, for tests of what they become in a scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from CORESegLib.findings import SliceAnswer, read_record, read_slice
from CORESegLib.geometry import Matrix

SHAPE = (32, 28, 12)
LPS: Matrix = ((-1.5, 0, 0, 24.0), (0, -1.5, 0, 21.0), (0, 0, 3.0, -18.0), (0, 0, 0, 1))
HARD_TEXT = 'Seen at 10|20 %: "é", ^~\ttab\nnext line\rreturn → 左'


def found(index: int, mask: np.ndarray, axis: int = 2) -> SliceAnswer:
    flat = mask.ravel()
    edges = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    counts = ([0] if flat[0] else []) + np.diff(edges).tolist()
    runs = {"shape": list(mask.shape), "counts": counts}
    finding = {"axis": "ijk"[axis], "index": index, "outcome": "present", "reasoning": HARD_TEXT}
    return read_slice(finding, runs)


def square(first: int = 8, size: int = 6) -> np.ndarray:
    mask = np.zeros(SHAPE[:2], dtype=bool)
    mask[first : first + size, 5:9] = True
    return mask


def whole(node: Any, segment_id: str, volume: Any) -> np.ndarray:
    """Return a segment as Slicer's own way gives it, (i, j, k)."""
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).transpose(2, 1, 0) > 0


def record(**more: Any) -> Any:
    values = {"schema": "coreseg.record/1", "id": "r1", "outcome": "present", "query": HARD_TEXT, "model": {}}
    return read_record({**values, **more})
