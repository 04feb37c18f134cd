"""What the neighbouring slices say: slices are asked one by one, a lesion goes through several of them.

A lesion is about as thick as it is wide, and one that is thicker than two steps from slice to slice crosses at least
two of them. A part that is so wide and still stands on one slice, with both neighbours asked and nothing outlined on
either near its place, is therefore doubted and left out. A narrower one may well lie on one slice alone and is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coreseg_core.claims import check_claims, read_claims
from coreseg_core.imaging import VolumeGeometry, boxes_to_native
from coreseg_core.imaging.slicing import placement_of
from coreseg_core.inference.confidence import box_mask_iou
from coreseg_core.record import Outcome, SliceFinding

DOUBT_KIND = "doubted by the neighbouring slices"
ALONE = "What was outlined stands on this slice alone: the slices beside it show nothing near its place."
PARTLY_ALONE = "A part that was outlined is left out: the slices beside this one show nothing near its place."
_ANSWERED: frozenset[Outcome] = frozenset({"present", "absent"})
_ANY_TOUCH = np.ones((3, 3))
Mask = NDArray[np.bool_]


def stacked(findings: Sequence[SliceFinding], geometry: VolumeGeometry) -> Mask:
    """Return what the findings of a volume outline, as its voxels (i, j, k) bool."""
    mask_ijk = np.zeros(geometry.shape_ijk, dtype=bool)
    for finding in findings:
        if finding.outcome == "present":
            plane: list[slice | int] = [slice(None)] * 3
            plane[finding.axis] = finding.index
            mask_ijk[tuple(plane)] = placement_of(geometry, finding.axis).unshow(finding.mask)
    return mask_ijk


def agreed(findings: Sequence[SliceFinding], geometry: VolumeGeometry) -> tuple[SliceFinding, ...]:
    """Return the findings of slices of one axis without what stands on one slice alone.

    A slice of which nothing is left is `uncertain`. A neighbour that was not asked, or does not say whether a lesion is
    there, denies nothing: beside it all is kept, as on the first and the last slice of a volume.
    """
    by_index = {finding.index: finding for finding in findings}
    return tuple(_held_against(by_index, finding, geometry) for finding in findings)


def _held_against(
    by_index: Mapping[int, SliceFinding], finding: SliceFinding, geometry: VolumeGeometry
) -> SliceFinding:
    beside = [by_index.get(finding.index - 1), by_index.get(finding.index + 1)]
    answered = [other for other in beside if other is not None and other.outcome in _ANSWERED]
    if finding.outcome != "present" or len(answered) < 2:
        return finding
    near = np.zeros_like(finding.mask)
    for other in answered:
        near |= other.mask
    alone = _alone(
        finding.mask,
        near,
        pixel_mm=_pixel_mm(geometry, finding.axis),
        apart_mm=geometry.spacing_mm[finding.axis],
    )
    return _without(finding, alone) if alone.any() else finding


def _alone(mask: Mask, beside: Mask, *, pixel_mm: tuple[float, float], apart_mm: float) -> Mask:
    """Return the parts of a mask (h, w) that are wider than two steps and have nothing beside them within one step."""
    reach = [int(apart_mm / size) + 1 for size in pixel_mm]
    # A pixel is allowed for: drawn in pixels, a disc can cover more than it is wide.
    narrow_px = math.pi / 4 * (2 * apart_mm + max(pixel_mm)) ** 2 / math.prod(pixel_mm)
    alone = np.zeros_like(mask)
    parts, _ = ndimage.label(mask, structure=_ANY_TOUCH)
    for value, window in enumerate(ndimage.find_objects(parts), start=1):
        here = parts[window] == value
        around = tuple(
            slice(max(along.start - far, 0), along.stop + far)
            for along, far in zip(window, reach, strict=True)
        )
        if np.count_nonzero(here) > narrow_px and not beside[around].any():
            alone[window] |= here
    return alone


def _without(finding: SliceFinding, alone: Mask) -> SliceFinding:
    """Return a finding without parts of its mask, and without what was said and measured of them."""
    left = finding.mask & ~alone
    claims = check_claims(read_claims(finding.reasoning), None)
    if not left.any():
        return replace(
            finding,
            mask=left,
            outcome="uncertain",
            confidence=0.0,
            confidence_kind=DOUBT_KIND,
            box_mask_iou=None,
            claims=claims,
            reason=ALONE,
        )
    height, width = left.shape
    boxes = boxes_to_native(finding.boxes_xyxy_px, finding.box_frame_wh, (width, height))
    return replace(
        finding, mask=left, box_mask_iou=box_mask_iou(boxes, left), claims=claims, reason=PARTLY_ALONE
    )


def _pixel_mm(geometry: VolumeGeometry, axis: int) -> tuple[float, float]:
    """Return the size of a displayed pixel as (row, column)."""
    first, second = (size for other, size in enumerate(geometry.spacing_mm) if other != axis)
    return (second, first) if placement_of(geometry, axis).transposed else (first, second)
