"""What the neighbouring slices say: slices are asked one by one, a lesion goes through several of them.

A lesion is about as thick as it is wide. A part that is wider than the slices lie apart and still stands on one slice
alone, with neighbours that were asked and show nothing there, is therefore doubted and left out; one that is narrower
may well fit between two slices and is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coreseg_core.imaging import VolumeGeometry
from coreseg_core.imaging.slicing import placement_of
from coreseg_core.record import Outcome, SliceFinding

ALONE = "What was outlined stands on this slice alone: the slices beside it show nothing in that place."
_ANSWERED: frozenset[Outcome] = frozenset({"present", "absent", "mismatch"})
_ANY_TOUCH = np.ones((3, 3, 3))


def stacked(findings: Sequence[SliceFinding], geometry: VolumeGeometry) -> NDArray[np.bool_]:
    """Return what the findings of a volume outline, as its voxels (i, j, k) bool."""
    mask_ijk = np.zeros(geometry.shape_ijk, dtype=bool)
    for finding in findings:
        if finding.outcome == "present":
            mask_ijk[_plane(finding)] = placement_of(geometry, finding.axis).unshow(finding.mask)
    return mask_ijk


def agreed(findings: Sequence[SliceFinding], geometry: VolumeGeometry) -> tuple[SliceFinding, ...]:
    """Return the findings of slices of one axis without what stands on one slice alone.

    A slice of which nothing is left is `uncertain`. A neighbour that was not asked, or gave no clear answer, denies
    nothing: beside it a part is kept.
    """
    outcomes = {finding.index: finding.outcome for finding in findings}
    mask_ijk = stacked(findings, geometry)
    alone = np.zeros_like(mask_ijk)
    parts, _ = ndimage.label(mask_ijk, structure=_ANY_TOUCH)
    for value, window in enumerate(ndimage.find_objects(parts), start=1):
        axis = findings[0].axis
        index = window[axis].start
        if window[axis].stop - index == 1 and _denied(index, geometry.shape_ijk[axis], outcomes):
            here = parts[window] == value
            if _wider_than_apart(here, geometry, axis):
                alone[window] |= here
    return tuple(_without(finding, alone, geometry) for finding in findings)


def _without(finding: SliceFinding, alone_ijk: NDArray[np.bool_], geometry: VolumeGeometry) -> SliceFinding:
    alone = placement_of(geometry, finding.axis).show(alone_ijk[_plane(finding)])
    if not alone.any():
        return finding
    left = finding.mask & ~alone
    return (
        replace(finding, mask=left)
        if left.any()
        else replace(finding, mask=left, outcome="uncertain", reason=ALONE)
    )


def _denied(index: int, count: int, outcomes: Mapping[int, Outcome]) -> bool:
    """Return whether all neighbours that a slice has in its volume were asked and answered clearly."""
    beside = [number for number in (index - 1, index + 1) if 0 <= number < count]
    return bool(beside) and all(outcomes.get(number) in _ANSWERED for number in beside)


def _wider_than_apart(part_ijk: NDArray[np.bool_], geometry: VolumeGeometry, axis: int) -> bool:
    """Return whether the circle of a part's area is wider than the slices lie apart."""
    apart_mm = geometry.spacing_mm[axis]
    area_mm2 = np.count_nonzero(part_ijk) * math.prod(geometry.spacing_mm) / apart_mm
    return 2 * math.sqrt(area_mm2 / math.pi) > apart_mm


def _plane(finding: SliceFinding) -> tuple[slice | int, ...]:
    """Return where the slice of a finding lies in an array (i, j, k)."""
    plane: list[slice | int] = [slice(None)] * 3
    plane[finding.axis] = finding.index
    return tuple(plane)
