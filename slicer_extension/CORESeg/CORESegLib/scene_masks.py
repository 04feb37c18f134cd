"""Masks of segments as arrays and back, only the part where something is marked: whole volumes take too long.

Slices replace slices: what Slicer's own call with an extent does is to clear everything outside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import slicer
import vtk

from CORESegLib.scene_images import ijk_to_ras, shape_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PartMask:
    """A mask, as much of it as is marked.

    Attributes:
        values: (i, j, k), true on what is marked; may be of no size.
        offset_ijk: Of its first voxel in the volume.
    """

    values: NDArray[np.bool_]
    offset_ijk: tuple[int, int, int]

    def within(self, offset_ijk: tuple[int, int, int], shape_ijk: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return the mask on a box of the volume, what lies outside of the box left out."""
        import numpy as np

        box = np.zeros(shape_ijk, dtype=bool)
        here, there = [], []
        for own, start, side, extent in zip(
            self.offset_ijk, offset_ijk, shape_ijk, self.values.shape, strict=True
        ):
            first, last = max(own, start), min(own + extent, start + side)
            if first >= last:
                return box
            here.append(slice(first - start, last - start))
            there.append(slice(first - own, last - own))
        box[tuple(here)] = self.values[tuple(there)]
        return box


def mask_of(segmentation: Any, segment_id: str, volume: Any) -> PartMask:
    """Return the mask of a segment on a volume's grid."""
    import numpy as np

    image = slicer.vtkOrientedImageData()
    empty = PartMask(values=np.zeros((0, 0, 0), dtype=bool), offset_ijk=(0, 0, 0))
    if segmentation.GetSegmentation().GetSegment(segment_id) is None:
        return empty
    if not segmentation.GetBinaryLabelmapRepresentation(segment_id, image):
        return empty
    first_i, last_i, first_j, last_j, first_k, last_k = image.GetExtent()
    if last_i < first_i or last_j < first_j or last_k < first_k or image.GetPointData().GetScalars() is None:
        return empty
    if _same_grid(image, volume):
        values = _array_ijk(image) > 0
        return _trimmed(PartMask(values=values, offset_ijk=(first_i, first_j, first_k)))
    # Drawn on another grid, for instance a finer one: resampled, at the price of the whole volume.
    kji = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume)
    return _trimmed(PartMask(values=kji.transpose(2, 1, 0) > 0, offset_ijk=(0, 0, 0)))


def set_mask(segmentation: Any, segment_id: str, volume: Any, mask: PartMask) -> None:
    """Let a segment be a mask on a volume's grid; other segments stay as they are, also where both overlap."""
    from vtk.util import numpy_support

    trimmed = _trimmed(mask)
    if not trimmed.values.size:
        slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(segmentation, segment_id)
        return
    first = trimmed.offset_ijk
    last = [start + side - 1 for start, side in zip(first, trimmed.values.shape, strict=True)]
    image = slicer.vtkOrientedImageData()
    image.SetExtent(first[0], last[0], first[1], last[1], first[2], last[2])
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    image.SetGeometryFromImageToWorldMatrix(matrix)
    flat = trimmed.values.transpose(2, 1, 0).astype("uint8").ravel()
    image.GetPointData().SetScalars(
        numpy_support.numpy_to_vtk(flat, deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    )
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        image, segmentation, segment_id, slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE
    )


def set_slice(
    segmentation: Any, segment_id: str, volume: Any, plane: NDArray[np.bool_], *, axis: int, index: int
) -> None:
    """Let one slice of a segment be a mask, and the other slices stay.

    Args:
        segmentation: With the segment.
        segment_id: Of it.
        volume: On whose grid.
        plane: In the order of `np.take(voxels_ijk, index, axis)`.
        axis: Array axis across which the slice lies.
        index: Its number from 0.
    """
    import numpy as np

    before = mask_of(segmentation, segment_id, volume)
    shape = shape_of(volume)
    drawn = PartMask(
        values=np.expand_dims(plane, axis),
        offset_ijk=(index if axis == 0 else 0, index if axis == 1 else 0, index if axis == 2 else 0),
    )
    trimmed = _trimmed(drawn)
    first, last = _box_around(before, trimmed)
    sides = tuple(stop - start for start, stop in zip(first, last, strict=True))
    values = before.within(first, sides)
    if 0 <= index - first[axis] < sides[axis]:
        spot: list[Any] = [slice(None)] * 3
        spot[axis] = index - first[axis]
        values[tuple(spot)] = drawn.within(first, sides)[tuple(spot)]
    assert all(start >= 0 and stop <= side for start, stop, side in zip(first, last, shape, strict=True))
    set_mask(segmentation, segment_id, volume, PartMask(values=values, offset_ijk=first))


def both_on_one_box(
    first: PartMask, second: PartMask
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], tuple[int, int, int]]:
    """Return two masks on the smallest box that holds both, and its offset."""
    start, stop = _box_around(first, second)
    sides = tuple(last - begin for begin, last in zip(start, stop, strict=True))
    return first.within(start, sides), second.within(start, sides), start


def _box_around(*masks: PartMask) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    filled = [mask for mask in masks if mask.values.size]
    if not filled:
        return (0, 0, 0), (0, 0, 0)
    first = [min(mask.offset_ijk[axis] for mask in filled) for axis in range(3)]
    last = [max(mask.offset_ijk[axis] + mask.values.shape[axis] for mask in filled) for axis in range(3)]
    return (first[0], first[1], first[2]), (last[0], last[1], last[2])


def _trimmed(mask: PartMask) -> PartMask:
    import numpy as np

    marked = np.nonzero(mask.values)
    if not len(marked[0]):
        return PartMask(values=np.zeros((0, 0, 0), dtype=bool), offset_ijk=(0, 0, 0))
    first = [int(along.min()) for along in marked]
    last = [int(along.max()) + 1 for along in marked]
    i, j, k = (own + start for own, start in zip(mask.offset_ijk, first, strict=True))
    box = tuple(slice(start, stop) for start, stop in zip(first, last, strict=True))
    return PartMask(values=mask.values[box], offset_ijk=(i, j, k))


def _array_ijk(image: Any) -> NDArray[Any]:
    from vtk.util import numpy_support

    i, j, k = image.GetDimensions()
    flat = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return flat.reshape(k, j, i).transpose(2, 1, 0)


def _same_grid(image: Any, volume: Any) -> bool:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    first_i, last_i, first_j, last_j, first_k, last_k = image.GetExtent()
    inside = all(
        first >= 0 and last < side
        for first, last, side in zip(
            (first_i, first_j, first_k), (last_i, last_j, last_k), shape_of(volume), strict=True
        )
    )
    own = ijk_to_ras(volume)
    return inside and all(
        abs(matrix.GetElement(row, column) - own[row][column]) < 1e-4
        for row in range(3)
        for column in range(4)
    )
