"""From stored values to the 8-bit greys that a model and a person look at.

CT is shown through fixed windows in Hounsfield units. Everything else is stretched between two values that
are taken once from the whole volume, so that a lesion keeps its grey from one slice to the next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DisplayRange = tuple[float, float]


class CtWindow(NamedTuple):
    """A window in Hounsfield units: half a width below the level is black, half a width above it white."""

    level_hu: float
    width_hu: float

    @property
    def display_range(self) -> DisplayRange:
        """The values shown black and white."""
        return self.level_hu - self.width_hu / 2, self.level_hu + self.width_hu / 2


# The first window of a region is the one for a single channel; soft tissue is the default.
CT_WINDOWS: dict[str, tuple[CtWindow, CtWindow, CtWindow]] = {
    "soft tissue": (CtWindow(40, 400), CtWindow(40, 150), CtWindow(400, 1800)),
    "head": (CtWindow(40, 80), CtWindow(80, 200), CtWindow(600, 2800)),
    "lung": (CtWindow(-600, 1500), CtWindow(40, 400), CtWindow(-200, 2000)),
    "abdomen": (CtWindow(40, 400), CtWindow(60, 150), CtWindow(30, 80)),
    "bone": (CtWindow(400, 1800), CtWindow(40, 400), CtWindow(600, 2800)),
}

_REGION_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("soft tissue", ("soft tissue", "neck", "mediastin", "limb", "muscle")),
    ("head", ("head", "brain", "skull", "cereb", "intracranial")),
    ("lung", ("lung", "pulmon")),
    ("bone", ("bone", "spine", "vertebra", "skelet")),
    ("abdomen", ("abdom", "liver", "kidney", "pancrea", "spleen", "colon", "adrenal")),
)

# Measured against the public pictures the lite preset learns from: those stretch each MR slice from its 1st
# to its 99.7th percentile and each PET slice from zero to its 99.8th. The middle of the slices' lower ends
# and the quantiles of their upper ends below come nearest to that with one pair for the whole volume.
_LOW_PERCENTILE = 1.0
_HIGH_PERCENTILE = {"PT": 99.8}
_DEFAULT_HIGH_PERCENTILE = 99.7
_HIGH_SLICE_QUANTILE = {"PT": 0.95}
_DEFAULT_HIGH_SLICE_QUANTILE = 0.75
_MAX_SAMPLED_SLICES = 96
_MAX_SAMPLED_PIXELS = 65_536


def ct_windows(region: str | None) -> tuple[CtWindow, CtWindow, CtWindow]:
    """Return the three windows of a body region named in free words, the primary one first."""
    words = (region or "").lower()
    for name, keys in _REGION_WORDS:
        if any(key in words for key in keys):
            return CT_WINDOWS[name]
    return CT_WINDOWS["soft tissue"]


def volume_display_range(voxels: NDArray[Any], *, modality: str | None, slice_axis: int) -> DisplayRange:
    """Return the values shown black and white in every slice of a volume.

    Args:
        voxels: (i, j, k) grey, or colour, which is shown as it is.
        modality: As in `Volume`.
        slice_axis: The axis along which the volume was acquired.

    At least one voxel must be finite, as `Volume` makes sure.
    """
    if voxels.ndim == 4 or _shown_as_stored(voxels, modality):
        return 0.0, 255.0
    low_high = [
        (
            float(np.percentile(values, _LOW_PERCENTILE)),
            float(np.percentile(values, _HIGH_PERCENTILE.get(modality or "", _DEFAULT_HIGH_PERCENTILE))),
        )
        for values in _sampled_slices(voxels, slice_axis)
    ]
    if low_high:
        lows, highs = np.array(low_high).T
        quantile = _HIGH_SLICE_QUANTILE.get(modality or "", _DEFAULT_HIGH_SLICE_QUANTILE)
        low = min(0.0, float(lows.min())) if modality == "PT" else float(np.median(lows))
        high = float(np.quantile(highs, quantile))
        if high > low:
            return low, high
    return _finite_range(voxels)


def to_grey(
    values: NDArray[Any], display_range: DisplayRange, *, inverted: bool = False
) -> NDArray[np.uint8]:
    """Return 8-bit grey of any real values; what is not finite is shown as the lowest value.

    Args:
        values: Any shape.
        display_range: The values that become 0 and 255.
        inverted: Show high values dark, as PET is read.
    """
    low, high = display_range
    finite = np.asarray(values, dtype=np.float64)
    if not np.issubdtype(values.dtype, np.integer):
        finite = np.where(np.isfinite(finite), finite, low)
    scaled = np.clip((finite - low) / (high - low), 0.0, 1.0) * 255.0
    grey = np.rint(255.0 - scaled if inverted else scaled)
    return grey.astype(np.uint8)


def _shown_as_stored(voxels: NDArray[Any], modality: str | None) -> bool:
    """Return True for 8-bit values that already are display greys: pictures, ultrasound, windowed CT."""
    return voxels.dtype == np.uint8 and modality not in ("MR", "PT") and int(voxels.max()) >= 128


def _sampled_slices(voxels: NDArray[Any], slice_axis: int) -> list[NDArray[np.float64]]:
    """Return the finite values of evenly spread slices that are not constant."""
    count = voxels.shape[slice_axis]
    indices = np.unique(np.linspace(0, count - 1, min(count, _MAX_SAMPLED_SLICES)).round().astype(int))
    samples: list[NDArray[np.float64]] = []
    for index in indices:
        plane = np.moveaxis(voxels, slice_axis, 0)[index]
        step = max(1, int(np.ceil(np.sqrt(plane.size / _MAX_SAMPLED_PIXELS))))
        values = plane[::step, ::step].astype(np.float64).ravel()
        values = values[np.isfinite(values)]
        if values.size and values.min() < values.max():
            samples.append(values)
    return samples


def _finite_range(voxels: NDArray[Any]) -> DisplayRange:
    """Return lowest and highest finite value, a little apart at least."""
    finite = voxels[np.isfinite(voxels)]
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + max(1.0, 1e-6 * abs(low)))
