"""Lesions as instances: connected parts of the label volume, each with its slices, box, volume and confidence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coreseg_core.imaging import VolumeGeometry
from coreseg_core.record import Lesion

MAX_LESIONS = 255
_ANY_TOUCH = np.ones((3, 3, 3), dtype=bool)


def separate_lesions(
    mask_ijk: NDArray[np.bool_], geometry: VolumeGeometry, *, axis: int, confidence: Mapping[int, float]
) -> tuple[NDArray[np.uint8], tuple[Lesion, ...]]:
    """Return a label volume with one value a lesion, largest first from 1, and the lesions.

    A label has 255 values: of more lesions than that the smallest are left out.

    Args:
        mask_ijk: (i, j, k) bool.
        geometry: Of the volume.
        axis: Array axis of the slices that were asked.
        confidence: Of each slice along that axis; a lesion has the mean over its voxels.
    """
    parts, count = ndimage.label(mask_ijk, structure=_ANY_TOUCH)
    labels = np.zeros(mask_ijk.shape, dtype=np.uint8)
    if not count:
        return labels, ()
    windows = ndimage.find_objects(parts)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    voxel_mm3 = float(np.prod(geometry.spacing_mm))
    lesions = []
    for value, part in enumerate(np.argsort(-sizes, kind="stable")[:MAX_LESIONS] + 1, start=1):
        window = windows[part - 1]
        here = parts[window] == part
        labels[window][here] = value
        across = tuple(other for other in range(3) if other != axis)
        per_slice = here.sum(axis=across)
        numbers = np.arange(window[axis].start, window[axis].stop)
        weights = [confidence.get(int(number), 0.0) for number in numbers]
        lesions.append(
            Lesion(
                id=value,
                label_value=value,
                slices=tuple(int(number) for number in numbers[per_slice > 0]),
                box_ijk=(*(w.start for w in window), *(w.stop for w in window)),
                volume_mm3=float(sizes[part - 1] * voxel_mm3),
                confidence=float(np.average(weights, weights=per_slice)),
            )
        )
    return labels, tuple(lesions)
