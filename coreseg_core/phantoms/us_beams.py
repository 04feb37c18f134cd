"""Beam space of an ultrasound probe: where its samples lie, how echoes add up, how the picture is shown.

Arrays are (beam, sample along the beam, frame of the cine loop). A linear probe's beam space is the picture
itself; a curved probe's is bent into a fan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from coreseg_core.phantoms.fields import Array, smooth_field
from coreseg_core.phantoms.frame import Frame


@dataclass(frozen=True, kw_only=True)
class Beams:
    """Where each sample lies in the breast.

    Attributes:
        across_mm, depth_mm, sweep_mm: Place of each sample, (beam, sample, frame).
        sample_mm: Distance between samples along a beam.
        radius_mm: Radius of a curved probe, None for a linear one.
        angle_rad: Angle of each beam of a curved probe, None for a linear one.
    """

    across_mm: Array
    depth_mm: Array
    sweep_mm: Array
    sample_mm: float
    radius_mm: float | None
    angle_rad: Array | None

    @property
    def reach_mm(self) -> float:
        """Depth of the last sample."""
        return float(self.depth_mm[0, -1, 0])

    @property
    def width_mm(self) -> float:
        """Distance from the first to the last beam at the skin."""
        return float(self.across_mm[-1, 0, 0] - self.across_mm[0, 0, 0])

    def point_ras_mm(self, frame: Frame, place_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the patient point of a place given as across, depth and sweep."""
        across, depth, sweep = place_mm
        down = depth
        if self.radius_mm is not None and self.angle_rad is not None:
            from_centre = (self.radius_mm + depth) ** 2 - across**2
            down = float(np.sqrt(from_centre)) - self.radius_mm * float(np.cos(self.angle_rad[-1]))
        # Beams run to the patient's left, samples to the back, from the middle of the lattice.
        half_height = 0.5 * frame.shape_ijk[1] * frame.spacing_mm[1]
        return round(-across, 2), round(half_height - down, 2), round(sweep, 2)

    def field(self, rng: np.random.Generator, across_mm: float, depth_mm: float, sweep_mm: float) -> Array:
        """Return a smooth random field with the given structure sizes."""
        places = (self.across_mm, self.depth_mm, self.sweep_mm)
        steps = []
        for axis, (place, size) in enumerate(zip(places, (across_mm, depth_mm, sweep_mm), strict=True)):
            corner = [0, 0, 0]
            corner[axis] = -1
            extent = float(abs(place[tuple(corner)] - place[0, 0, 0]))
            steps.append(size * (place.shape[axis] - 1) / extent if extent > 0 else 1.0)
        return smooth_field(rng, self.across_mm.shape, steps)


def make_beams(frame: Frame, *, radius_mm: float | None) -> Beams:
    """Return the beams whose picture fills the lattice of `frame`.

    Args:
        radius_mm: Radius of a curved probe, None for a linear one.
    """
    count, samples, frames = shape = frame.shape_ijk
    width, height = count * frame.spacing_mm[0], samples * frame.spacing_mm[1]
    lateral = (np.arange(count) + 0.5) / count - 0.5
    axial = (np.arange(samples) + 0.5) / samples
    sweep = (np.arange(frames, dtype=np.float32) - (frames - 1) / 2) * np.float32(frame.spacing_mm[2])
    angle = None
    length = height
    if radius_mm is None:
        across = np.broadcast_to((lateral * width)[:, None], (count, samples))
    else:
        # The fan is as wide as the picture at its deepest point and as high from its shoulders down.
        for _ in range(4):
            half = float(np.arcsin(min(0.5 * width / (radius_mm + length), 0.95)))
            length = height - radius_mm * (1.0 - float(np.cos(half)))
        angle = lateral * 2 * half
        across = np.sin(angle)[:, None] * (radius_mm + axial * length)[None, :]
    return Beams(
        across_mm=np.broadcast_to(across.astype(np.float32)[:, :, None], shape),
        depth_mm=np.broadcast_to((axial * length).astype(np.float32)[None, :, None], shape),
        sweep_mm=np.broadcast_to(sweep, shape),
        sample_mm=length / samples,
        radius_mm=radius_mm,
        angle_rad=None if angle is None else angle.astype(np.float32),
    )


def speckle(rng: np.random.Generator, beams: Beams, echo_db: Array) -> Array:
    """Return the envelope of echoes from random scatterers through a pulse that widens with depth."""
    scatter = np.float32(10.0) ** (echo_db / np.float32(20.0))
    beam_mm = beams.width_mm / beams.across_mm.shape[0]
    axial = 0.10 / beams.sample_mm
    sweep = 0.8 if echo_db.shape[2] > 1 else 0.0
    share = np.linspace(0.0, 1.0, echo_db.shape[1], dtype=np.float32)[None, :, None]
    power = np.zeros(echo_db.shape, dtype=np.float32)
    for _ in range(2):
        noise = rng.standard_normal(echo_db.shape, dtype=np.float32) * scatter
        near = ndimage.gaussian_filter(noise, (0.15 / beam_mm, axial, sweep))
        far = ndimage.gaussian_filter(noise, (0.32 / beam_mm, axial, sweep))
        far *= np.float32(np.sqrt(0.32 / 0.15))
        power += (near * (1 - share) + far * share) ** 2
    return np.sqrt(power)


def scan_convert(beams: Beams, frame: Frame, values: Array, *, order: int) -> Array:
    """Return the picture of values in beam space; outside the fan of a curved probe it is zero."""
    if beams.radius_mm is None or beams.angle_rad is None:
        return values
    count, samples, _ = frame.shape_ijk
    lateral = ((np.arange(count) + 0.5) / count - 0.5) * count * frame.spacing_mm[0]
    shoulder = beams.radius_mm * float(np.cos(beams.angle_rad[-1]))
    down = shoulder + (np.arange(samples) + 0.5) * frame.spacing_mm[1]
    angle = np.arctan2(lateral[:, None], down[None, :])
    radius = np.hypot(lateral[:, None], down[None, :])
    beam_rad = float(beams.angle_rad[1] - beams.angle_rad[0])
    index = np.stack(
        [(angle - beams.angle_rad[0]) / beam_rad, (radius - beams.radius_mm) / beams.sample_mm - 0.5]
    )
    planes = [
        ndimage.map_coordinates(values[:, :, k], index, order=order, mode="constant")
        for k in range(values.shape[2])
    ]
    return np.stack(planes, axis=2)
