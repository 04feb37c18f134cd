"""The picture and the mask of a manifest row, as a reader of the program sees them, and moved copies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Row, SliceRef
from coreseg_core.imaging import CT_WINDOWS, Volume, extract_slice, read_label, read_volume
from coreseg_core.models.preset import Preset
from coreseg_core.terms import ct_region

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]

MAX_SHIFT = 0.2
"""A moved copy is moved by at most this share of its width and height."""


@dataclass(frozen=True, kw_only=True)
class CtDisplay:
    """How slices of CT volumes are shown, so that a model is measured on the pictures it is served.

    Attributes:
        channels: One window three times, or a region's three windows as red, green and blue.
        regions: Regions with a window of their own; others are shown in the soft-tissue window.
    """

    channels: Literal["single", "three"] = "single"
    regions: tuple[str, ...] = tuple(CT_WINDOWS)

    @classmethod
    def of(cls, preset: Preset) -> CtDisplay:
        """Return how the slices are shown that a preset is served."""
        return cls(channels=preset.ct_channels, regions=preset.ct_regions)

    def region(self, words: str) -> str | None:
        """Return whose window suits what is asked or described, None for soft tissue."""
        return ct_region(words, among=self.regions)


EVERY_REGION = CtDisplay()


@dataclass(frozen=True, eq=False)
class Picture:
    """What a row shows.

    Attributes:
        rgb: (h, w, 3) uint8, windowed and turned as on a display.
        mask: (h, w) bool, true on what is outlined; all false on a lesion-free picture.
        pixel_mm: Size of a pixel as (row, column).
    """

    rgb: Rgb
    mask: Mask
    pixel_mm: tuple[float, float]


def load_row(row: Row, *, ct: CtDisplay = EVERY_REGION) -> tuple[Rgb, Mask]:
    """Return the picture (h, w, 3) uint8 and the mask (h, w) bool of a row."""
    picture = load_picture(row, ct=ct)
    return picture.rgb, picture.mask


def load_picture(row: Row, *, ct: CtDisplay = EVERY_REGION, question: str | None = None) -> Picture:
    """Return what a row shows, cut from its volume by the code that serves readers.

    Args:
        row: What is shown.
        ct: How CT is shown.
        question: What is asked, whose words choose the CT window as in serving; those of the row without one.

    Raises:
        InputError: A file that cannot be read, a volume without a slice number, or a mask on another grid.
    """
    volume = _volume(row.image_path)
    where = _slice_of(row, volume)
    region = ct.region(f"{row.target} {row.anatomy}" if question is None else question)
    shown = extract_slice(volume, where.axis, where.index, region=region, channels=ct.channels)
    if row.mask_path is None:
        mask = np.zeros(shown.rgb.shape[:2], dtype=bool)
    else:
        outlined = _outlined(row.image_path, row.mask_path)
        mask = shown.voxels_to_mask(np.take(outlined, where.index, axis=where.axis))
    # Copies: what is kept of the volume is read-only and shared.
    return Picture(rgb=shown.rgb.copy(), mask=mask.copy(), pixel_mm=shown.pixel_mm)


def moved(picture: Picture, *, seed: int, max_shift: float = MAX_SHIFT) -> Picture:
    """Return the picture moved by a random share of its sides, of the same size, with the whole lesion kept.

    What comes in at the border takes the border's median colour, which is black on a scan and skin on skin. A
    model that has learnt where lesions lie, instead of what they look like, loses on such copies.

    Args:
        picture: What is moved.
        seed: Chooses the way.
        max_shift: Largest share of width and height.
    """
    height, width = picture.mask.shape
    rng = np.random.default_rng(seed)
    rows, columns = (np.flatnonzero(picture.mask.any(axis=axis)) for axis in (1, 0))
    down = _step(rng, lesion=rows, side=height, max_shift=max_shift)
    right = _step(rng, lesion=columns, side=width, max_shift=max_shift)
    border = np.concatenate([picture.rgb[0], picture.rgb[-1], picture.rgb[:, 0], picture.rgb[:, -1]])
    rgb = np.empty_like(picture.rgb)
    rgb[:] = np.median(border, axis=0).astype(np.uint8)
    mask = np.zeros_like(picture.mask)
    to_rows, from_rows = _overlap(down, height)
    to_columns, from_columns = _overlap(right, width)
    rgb[to_rows, to_columns] = picture.rgb[from_rows, from_columns]
    mask[to_rows, to_columns] = picture.mask[from_rows, from_columns]
    return Picture(rgb=rgb, mask=mask, pixel_mm=picture.pixel_mm)


def _step(rng: np.random.Generator, *, lesion: NDArray[np.intp], side: int, max_shift: float) -> int:
    reach = int(side * max_shift)
    low, high = -reach, reach
    if lesion.size:
        low, high = max(low, -int(lesion[0])), min(high, side - 1 - int(lesion[-1]))
    return int(rng.integers(low, high + 1))


def _overlap(step: int, side: int) -> tuple[slice, slice]:
    """Return where the kept part goes to and where it comes from."""
    return slice(max(step, 0), side + min(step, 0)), slice(max(-step, 0), side - max(step, 0))


def _slice_of(row: Row, volume: Volume) -> SliceRef:
    if row.slice is not None:
        return row.slice
    shape = volume.geometry.shape_ijk
    if 1 not in shape:
        raise InputError(
            f"A row names a volume of {shape} voxels without saying which slice.",
            remedy="Add the field 'slice' with its axis and index.",
        )
    return SliceRef(axis=2 - shape[::-1].index(1), index=0)


def _volume(path: Path) -> Volume:
    return _volume_once(path, _changed_ns(path))


def _outlined(image: Path, mask: Path) -> Mask:
    """Return the voxels (i, j, k) of an image that its mask outlines."""
    return _outlined_once(image, _changed_ns(image), mask, _changed_ns(mask))


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise InputError(
            f"An image or mask of the manifest cannot be opened ({error.strerror}).",
            remedy="Check that the folder the manifest's paths start from is complete.",
        ) from error


# Slices of one volume follow each other in a manifest: its image and its mask are kept.
@lru_cache(maxsize=1)
def _volume_once(path: Path, _changed: int) -> Volume:
    return read_volume(path)


@lru_cache(maxsize=1)
def _outlined_once(image: Path, image_changed: int, mask: Path, _mask_changed: int) -> Mask:
    geometry = _volume_once(image, image_changed).geometry
    if geometry.located:
        return read_label(mask, geometry) != 0
    # A flat picture lies nowhere in a patient, and its mask is a picture too.
    truth = read_volume(mask)
    if truth.geometry.shape_ijk != geometry.shape_ijk:
        raise InputError(
            f"A mask of {truth.geometry.shape_ijk} voxels on an image of {geometry.shape_ijk}.",
            remedy="Name the mask of this very image in the manifest.",
        )
    lit = truth.voxels != 0
    return np.asarray(lit.any(axis=-1) if truth.colour else lit)
