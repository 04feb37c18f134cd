"""A volume as the rest of the program sees it: voxels, their place in space, and what made them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.imaging.geometry import VolumeGeometry
from coreseg_core.imaging.windowing import DisplayRange, volume_display_range

MODALITIES = ("CT", "MR", "PT", "US", "XR", "OP", "DERM", "ES", "OT")

_DTYPES = (np.uint8, np.int16, np.float32)


@dataclass(frozen=True, eq=False)
class Volume:
    """An image in memory, read-only.

    Args:
        voxels: (i, j, k) float32, int16 or uint8 grey, or (i, j, k, 3) uint8 colour.
        geometry: The grid of the first three axes.
        modality: One of `MODALITIES`, or None where the file does not say and it cannot be told.
        series_uid: DICOM SeriesInstanceUID, where known.
        study_uid: DICOM StudyInstanceUID, where known.
        content_hash: SHA-256 of voxels, grid and modality; computed when left empty. Holds no patient data.
    """

    voxels: NDArray[Any]
    geometry: VolumeGeometry
    modality: str | None
    series_uid: str | None = None
    study_uid: str | None = None
    content_hash: str = ""

    def __post_init__(self) -> None:
        if self.voxels.dtype not in _DTYPES:
            raise InputError(
                f"voxels of type {self.voxels.dtype}.", remedy="Use float32, int16, or uint8 for colour."
            )
        colour = self.voxels.ndim == 4 and self.voxels.shape[3] == 3 and self.voxels.dtype == np.uint8
        if self.voxels.ndim != 3 and not colour:
            raise InputError(
                f"voxels of shape {self.voxels.shape} and type {self.voxels.dtype}.",
                remedy="Use (i, j, k), or (i, j, k, 3) uint8 for colour.",
            )
        if self.voxels.shape[:3] != self.geometry.shape_ijk:
            raise GeometryError(
                f"voxels of shape {self.voxels.shape[:3]} on a grid of {self.geometry.shape_ijk}.",
                remedy="Give the grid of these very voxels.",
            )
        if self.modality is not None and self.modality not in MODALITIES:
            raise InputError(
                f"modality {self.modality[:16]!r} is unknown.", remedy=f"Use one of {', '.join(MODALITIES)}."
            )
        if not _any_finite(self.voxels):
            raise InputError("the image holds no finite value at all.", remedy="Export it again.")
        frozen = self.voxels.view()
        frozen.setflags(write=False)
        object.__setattr__(self, "voxels", frozen)
        if not self.content_hash:
            object.__setattr__(self, "content_hash", self._digest())

    @property
    def colour(self) -> bool:
        """True when a voxel is red, green and blue."""
        return self.voxels.ndim == 4

    @cached_property
    def display_range(self) -> DisplayRange:
        """The values shown black and white, one pair for all slices so that neighbours look alike."""
        thickest = int(np.argmax(np.round(self.geometry.spacing_mm, 3)[::-1]))
        return volume_display_range(self.voxels, modality=self.modality, slice_axis=2 - thickest)

    def _digest(self) -> str:
        digest = hashlib.sha256()
        header = (self.voxels.shape, str(self.voxels.dtype), self.modality)
        digest.update(repr(header).encode())
        digest.update(self.geometry.affine_ras.tobytes())
        # Slice by slice along the last axis: readers deliver (i, j, k) with i running fastest, so that a
        # transposed slice is contiguous and nothing large is copied.
        for index in range(self.voxels.shape[2]):
            digest.update(np.ascontiguousarray(np.swapaxes(self.voxels[:, :, index], 0, 1)).data)
        return digest.hexdigest()


def _any_finite(voxels: NDArray[Any]) -> bool:
    if np.issubdtype(voxels.dtype, np.integer):
        return True
    return any(bool(np.isfinite(voxels[:, :, index]).any()) for index in range(voxels.shape[2]))
