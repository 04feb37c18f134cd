"""What a scanner does to tissue: blur, noise and, for MR, the coil's uneven sensitivity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coreseg_core.phantoms.fields import Array
from coreseg_core.phantoms.frame import Frame


def ct_acquire(
    rng: np.random.Generator, hounsfield: Array, *, noise_hu: float, grain_px: float
) -> NDArray[np.int16]:
    """Return Hounsfield units (i, j, k) as a CT with correlated noise gives them."""
    blurred = ndimage.gaussian_filter(hounsfield, (0.55, 0.55, 0.0))
    noise = ndimage.gaussian_filter(
        rng.standard_normal(hounsfield.shape, dtype=np.float32), (grain_px, grain_px, 0.0)
    )
    noise *= np.float32(noise_hu / max(float(noise.std()), 1e-6))
    # Streaks between dense bones: noise that is long in one direction.
    streaks = ndimage.gaussian_filter(
        rng.standard_normal(hounsfield.shape, dtype=np.float32), (6.0, 0.6, 0.0)
    )
    streaks *= np.float32(0.3 * noise_hu / max(float(streaks.std()), 1e-6))
    inside = ndimage.gaussian_filter((hounsfield > -700).astype(np.float32), (2.0, 2.0, 0.0))
    image = blurred + noise * (0.35 + 0.65 * inside) + streaks * inside
    return np.clip(np.rint(image), -1024, 3000).astype(np.int16)


def mr_acquire(
    rng: np.random.Generator, frame: Frame, signal: Array, *, noise: float, bias: float, scale: float
) -> NDArray[np.int16]:
    """Return magnitude voxels (i, j, k) of an MR scan with a bias field and Rician noise.

    Args:
        signal: Tissue signal, white matter about 1.
        noise: Standard deviation of each quadrature channel, in units of `signal`.
        bias: Relative strength of the bias field (0.2 means about 20 per cent up and down).
        scale: Stored value of a signal of 1.
    """
    coil = np.clip(1.0 + np.float32(bias) * frame.field(rng, 110.0), 0.4, 1.8)
    blurred = ndimage.gaussian_filter(signal * coil, (0.5, 0.5, 0.0))
    real = blurred + np.float32(noise) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(noise) * rng.standard_normal(signal.shape, dtype=np.float32)
    magnitude = np.sqrt(real * real + imaginary * imaginary) * np.float32(scale)
    return np.clip(np.rint(magnitude), 0, 32000).astype(np.int16)
