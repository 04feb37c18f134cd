"""One slice as a person looks at it, and the exact way from its pixels back to the voxels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coreseg_core.errors import InputError
from coreseg_core.imaging.geometry import VolumeGeometry
from coreseg_core.imaging.volume import Volume
from coreseg_core.imaging.windowing import DisplayRange, ct_windows, to_grey

Channels = Literal["single", "three"]

# For slices across each anatomical axis (0 right-left, 1 front-back, 2 up-down): which axis runs down the
# rows and which along the columns, each with the letter towards which it grows on a radiological display.
_DISPLAY = {0: ((2, "I"), (1, "P")), 1: ((2, "I"), (0, "L")), 2: ((1, "P"), (0, "L"))}


@dataclass(frozen=True)
class Placement:
    """How a slice is turned for display, from the order of `np.take(voxels, index, axis)`.

    Attributes:
        transposed: The first of the two array axes runs along the columns instead of down the rows.
        flip_rows: Rows run against their array axis.
        flip_columns: Columns run against their array axis.
    """

    transposed: bool
    flip_rows: bool
    flip_columns: bool

    def show(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return a view (h, w, ...) of `plane` (a, b, ...) as it is displayed."""
        shown = np.swapaxes(plane, 0, 1) if self.transposed else plane
        return self._flip(shown)

    def unshow(self, shown: NDArray[Any]) -> NDArray[Any]:
        """Return a view (a, b, ...) of what is displayed, the inverse of `show`."""
        plane = self._flip(shown)
        return np.swapaxes(plane, 0, 1) if self.transposed else plane

    def _flip(self, array: NDArray[Any]) -> NDArray[Any]:
        return array[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


@dataclass(frozen=True, eq=False)
class SliceImage:
    """A slice in radiological orientation at its native sampling.

    Axial: patient right on the image's left, front up. Coronal: the same, head up. Sagittal: front on the
    left, head up. A flat picture stays as it is in its file.

    Attributes:
        rgb: (h, w, 3) uint8.
        pixel_mm: Millimetres from row to row and from column to column.
        axis: Array axis (0, 1, 2) the slice is perpendicular to.
        index: Its number along that axis.
        plane: "axial", "coronal" or "sagittal", the closest.
        placement: How it was turned.
        modality: As in `Volume`.
        display_ranges: The stored values shown as 0 and 255, for red, green and blue.
        located: False for a picture that lies nowhere in a patient.
    """

    rgb: NDArray[np.uint8]
    pixel_mm: tuple[float, float]
    axis: int
    index: int
    plane: str
    placement: Placement
    modality: str | None
    display_ranges: tuple[DisplayRange, DisplayRange, DisplayRange]
    located: bool = True

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.rgb.shape[1])

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the pixels as shown and their size in millimetres: a cache key without patient data."""
        digest = hashlib.sha256(repr((self.rgb.shape, self.pixel_mm)).encode())
        digest.update(np.ascontiguousarray(self.rgb).data)
        return digest.hexdigest()

    def mask_to_voxels(self, mask_hw: NDArray[Any]) -> NDArray[Any]:
        """Return a mask (h, w) in the order of `np.take(voxels, index, axis)`.

        Raises:
            InputError: The mask has another size than the slice.
        """
        if mask_hw.shape[:2] != self.rgb.shape[:2]:
            raise _wrong_size(mask_hw.shape[:2], self.rgb.shape[:2])
        return np.ascontiguousarray(self.placement.unshow(mask_hw))

    def voxels_to_mask(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return what lies in the order of `np.take(voxels, index, axis)` as it is displayed, (h, w).

        Raises:
            InputError: It has another size than the slice.
        """
        shown = self.placement.show(plane)
        if shown.shape[:2] != self.rgb.shape[:2]:
            raise _wrong_size(shown.shape[:2], self.rgb.shape[:2])
        return np.ascontiguousarray(shown)

    def points_to_voxels(self, points_xy_px: ArrayLike) -> NDArray[np.float64]:
        """Return voxel coordinates (n, 3) of points (n, 2); whole numbers are pixel and voxel centres."""
        x, y = np.asarray(points_xy_px, dtype=np.float64).reshape(-1, 2).T
        rows = self.height - 1 - y if self.placement.flip_rows else y
        columns = self.width - 1 - x if self.placement.flip_columns else x
        first, second = (columns, rows) if self.placement.transposed else (rows, columns)
        ijk = np.empty((len(x), 3))
        ijk[:, self.axis] = self.index
        ijk[:, _others(self.axis)] = np.stack([first, second], axis=1)
        return ijk

    def voxels_to_points(self, ijk: ArrayLike) -> NDArray[np.float64]:
        """Return points (n, 2) as x, y of voxel coordinates (n, 3), seen along the slice's axis."""
        first, second = np.asarray(ijk, dtype=np.float64).reshape(-1, 3)[:, _others(self.axis)].T
        rows, columns = (second, first) if self.placement.transposed else (first, second)
        y = self.height - 1 - rows if self.placement.flip_rows else rows
        x = self.width - 1 - columns if self.placement.flip_columns else columns
        return np.stack([x, y], axis=1)


def extract_slice(
    volume: Volume,
    axis: int,
    index: int,
    *,
    region: str | None = None,
    channels: Channels = "single",
    display_range: DisplayRange | None = None,
) -> SliceImage:
    """Return slice `index` along array axis `axis`, windowed and turned for display.

    Args:
        volume: Grey or colour.
        axis: 0, 1 or 2 (i, j, k); `volume.geometry.array_axis("axial")` finds one.
        index: From 0.
        region: Body region in free words; chooses the CT windows.
        channels: "single" shows CT through its region's first window; "three" shows the region's three
            windows as red, green and blue. Other modalities have one range in either case.
        display_range: Black and white instead of the window or the volume's own range.

    Raises:
        InputError: An axis or slice that does not exist, or an unknown way of channels.
    """
    if axis not in (0, 1, 2):
        raise InputError(f"axis {axis} does not exist.", remedy="Use 0, 1 or 2 (i, j or k).")
    count = volume.geometry.shape_ijk[axis]
    if not 0 <= index < count:
        raise InputError(
            f"slice {index} does not exist: axis {'ijk'[axis]} has {count} slices.",
            remedy=f"Ask for 0 to {count - 1}.",
        )
    if channels not in ("single", "three"):
        raise InputError(f"channels {channels!r} is unknown.", remedy="Use single or three.")
    placement = placement_of(volume.geometry, axis)
    # The same as np.take, which copies the whole volume when i runs fastest.
    shown = placement.show(np.moveaxis(volume.voxels, axis, 0)[index])
    ranges = _display_ranges(volume, region=region, channels=channels, display_range=display_range)
    return SliceImage(
        rgb=np.ascontiguousarray(shown) if volume.colour else _grey_channels(shown, ranges, volume.modality),
        pixel_mm=_pixel_mm(volume.geometry, axis, placement),
        axis=axis,
        index=index,
        plane=volume.geometry.plane(axis),
        placement=placement,
        modality=volume.modality,
        display_ranges=ranges,
        located=volume.geometry.located,
    )


def placement_of(geometry: VolumeGeometry, axis: int) -> Placement:
    """Return how slices along array axis `axis` are turned to face a radiologist."""
    rows, columns = _DISPLAY[geometry.anatomical_axes[axis]]
    row_axis = geometry.anatomical_axes.index(rows[0])
    column_axis = geometry.anatomical_axes.index(columns[0])
    codes = geometry.axis_codes
    return Placement(
        transposed=row_axis > column_axis,
        flip_rows=codes[row_axis] != rows[1],
        flip_columns=codes[column_axis] != columns[1],
    )


def _display_ranges(
    volume: Volume, *, region: str | None, channels: str, display_range: DisplayRange | None
) -> tuple[DisplayRange, DisplayRange, DisplayRange]:
    if display_range is not None:
        low, high = display_range
        if not (np.isfinite([low, high]).all() and low < high):
            raise InputError(f"a display range from {low} to {high}.", remedy="Give two rising numbers.")
        return display_range, display_range, display_range
    if volume.modality != "CT" or volume.voxels.dtype == np.uint8:
        return volume.display_range, volume.display_range, volume.display_range
    windows = ct_windows(region)
    first, second, third = windows if channels == "three" else (windows[0],) * 3
    return first.display_range, second.display_range, third.display_range


def _grey_channels(
    shown: NDArray[Any], ranges: tuple[DisplayRange, ...], modality: str | None
) -> NDArray[np.uint8]:
    greys = {pair: to_grey(shown, pair, inverted=modality == "PT") for pair in set(ranges)}
    return np.stack([greys[pair] for pair in ranges], axis=-1)


def _pixel_mm(geometry: VolumeGeometry, axis: int, placement: Placement) -> tuple[float, float]:
    first, second = (geometry.spacing_mm[other] for other in _others(axis))
    return (second, first) if placement.transposed else (first, second)


def _others(axis: int) -> list[int]:
    return [other for other in range(3) if other != axis]


def _wrong_size(given: tuple[int, ...], wanted: tuple[int, ...]) -> InputError:
    return InputError(
        f"a mask of {given} pixels on a slice of {wanted}.", remedy="Give the mask of this very slice."
    )
