"""Breast ultrasound made as a probe makes it: scatterers, pulse, shadow along the beam, log compression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coreseg_core.phantoms.fields import Array, coverage, paint, stream
from coreseg_core.phantoms.frame import Frame
from coreseg_core.phantoms.lesions import main_piece
from coreseg_core.phantoms.study import LesionSpec, Scene
from coreseg_core.phantoms.us_beams import Beams, make_beams, scan_convert, speckle

# Brightness of tissues in decibel below the brightest echo.
SKIN, FAT, GLAND, FASCIA, MUSCLE, BONE, DUCT = -8.0, -28.0, -16.0, -8.0, -26.0, -4.0, -45.0


def us_frame(rng: np.random.Generator, shape_ijk: tuple[int, int, int]) -> Frame:
    """Return the picture field of a breast scan: 36 to 50 mm wide, frames 1 mm apart."""
    pixel = round(float(rng.uniform(36.0, 50.0)) / shape_ijk[0], 4)
    return Frame(shape_ijk=shape_ijk, spacing_mm=(pixel, pixel, 1.0))


def _layers(rng: np.random.Generator, beams: Beams) -> tuple[Array, Array, Array]:
    """Return echo strength in dB, attenuation in dB per mm, and the depth of the gland's front in mm."""
    d, field, reach = beams.depth_mm, beams.field, beams.reach_mm
    tilt = float(rng.uniform(-0.14, 0.14)) * beams.across_mm
    skin = 1.6 + 0.15 * field(rng, 20.0, 50.0, 20.0)
    gland_top = reach * float(rng.uniform(0.12, 0.36)) + tilt + 1.5 * field(rng, 9.0, 60.0, 9.0)
    gland_base = reach * float(rng.uniform(0.52, 0.70)) + tilt + 1.2 * field(rng, 12.0, 60.0, 10.0)
    muscle_top = gland_base + float(rng.uniform(1.5, 4.0)) + 0.5 * field(rng, 16.0, 60.0, 12.0)
    muscle_base = muscle_top + float(rng.uniform(6.0, 10.0)) + 0.5 * tilt

    echo = np.full(d.shape, FAT, dtype=np.float32) + 2.0 * field(rng, 6.0, 2.5, 6.0)
    # Septa between fat lobules: bright lines that lie nearly flat and break off.
    broken = coverage(-field(rng, 6.0, 5.0, 6.0) - 0.1, 0.8)
    septa = coverage(np.abs(field(rng, 8.0, 2.2, 7.0)) - 0.05, 0.10) * broken
    paint(echo, FASCIA - 2.0, 0.8 * septa)
    in_gland = coverage(gland_top - d, 1.6) * coverage(d - gland_base, 1.6)
    gland = GLAND + 3.5 * field(rng, 5.0, 1.6, 5.0) + 2.5 * field(rng, 2.4, 0.7, 3.0)
    lobules = coverage(0.8 - field(rng, 4.0, 2.0, 5.0), 0.8)
    paint(gland, FAT + 2.0, lobules * float(rng.uniform(0.3, 0.95)))
    strands = coverage(np.abs(field(rng, 7.0, 1.1, 5.0)) - 0.05, 0.12)
    paint(gland, FASCIA - 2.0, strands * coverage(-field(rng, 5.0, 3.0, 5.0), 1.0) * 0.7)
    paint(echo, gland, in_gland)
    in_muscle = coverage(muscle_top - d, 0.5) * coverage(d - muscle_base, 0.5)
    paint(echo, MUSCLE + 5.0 * field(rng, 14.0, 0.7, 10.0), in_muscle)
    for edge in (muscle_top, muscle_base):
        strength = coverage(-field(rng, 9.0, 60.0, 9.0) - 0.8, 1.2)
        paint(echo, FASCIA, 0.9 * strength * coverage(np.abs(d - edge) - 0.25, 0.3))
    paint(echo, SKIN, coverage(d - skin, 0.3))
    paint(echo, FAT + 4.0, coverage(np.abs(d - 0.55 * skin) - 0.25, 0.3))
    loss = np.full(d.shape, float(rng.uniform(0.15, 0.42)), dtype=np.float32) + 0.12 * in_gland
    loss += 0.9 * septa
    # Poor contact here and there darkens whole beams.
    loss += np.clip(field(rng, 7.0, 200.0, 9.0) - 1.0, 0.0, None) * 1.2 * coverage(d - 1.5, 0.5)
    return echo, loss, gland_top


def _draw_ribs(rng: np.random.Generator, beams: Beams, echo: Array, loss: Array) -> tuple[str, ...]:
    """Paint a rib behind the muscle in some pictures: bright arc, black shadow."""
    if rng.random() > 0.3:
        return ()
    centre = float(rng.uniform(-0.4, 0.4)) * beams.width_mm
    top = beams.reach_mm * float(rng.uniform(0.78, 0.88))
    offset = (beams.across_mm - centre) / float(rng.uniform(5.0, 8.0))
    arc = top + 1.6 * offset * offset
    here = coverage(np.abs(offset) - 1.0, 0.3)
    paint(echo, BONE, here * coverage(np.abs(beams.depth_mm - arc) - 0.35, 0.3))
    loss += 4.0 * here * coverage(arc - beams.depth_mm, 0.4)
    return ("rib shadow",)


def _draw_ducts(rng: np.random.Generator, beams: Beams, echo: Array, gland_top: Array) -> None:
    """Paint thin dark ducts and vessels, which are no masses."""
    for _ in range(int(rng.integers(1, 5))):
        level = gland_top + float(rng.uniform(1.0, 9.0)) + 1.2 * beams.field(rng, 9.0, 60.0, 10.0)
        start, length = float(rng.uniform(-20, 14)), float(rng.uniform(2.0, 10.0))
        here = coverage(np.abs(beams.across_mm - start - length / 2) - length / 2, 2.0)
        width = float(rng.uniform(0.2, 0.7))
        paint(echo, DUCT, here * coverage(np.abs(beams.depth_mm - level) - width, 0.5))


def _mass_recipe(
    rng: np.random.Generator, beams: Beams, gland_top: Array, taken: list[LesionSpec]
) -> LesionSpec | None:
    """Draw a mass beside those already there, its centre still in beam space; None where no room is found."""
    benign = rng.random() < 0.62
    for _ in range(20):
        size = float(np.clip(rng.lognormal(1.75, 0.42), 2.5, 11.0)) / (1 + 0.35 * len(taken))
        tall = float(rng.uniform(0.5, 0.8) if benign else rng.uniform(0.7, 1.2))
        x = float(rng.uniform(-0.5, 0.5)) * max(beams.width_mm - 1.6 * size, 0.0)
        column = int(np.abs(beams.across_mm[:, 0, 0] - x).argmin())
        roof = float(gland_top[column].mean())
        depth = roof + float(rng.uniform(-0.1, 0.8)) * 0.4 * beams.reach_mm + 0.4 * size * tall
        depth = float(np.clip(depth, 2.5 + size * tall, 0.85 * beams.reach_mm - 0.5 * size * tall))
        if all(abs(x - other.centre_ras_mm[0]) > 1.3 * (size + other.radii_mm[0]) for other in taken):
            return LesionSpec(
                type="benign breast mass" if benign else "malignant breast mass",
                centre_ras_mm=(round(x, 2), round(depth, 2), round(float(rng.uniform(-1.5, 1.5)), 2)),
                radii_mm=(round(size, 2), round(size * tall, 2), round(size * 1.1, 2)),
                irregularity=round(float(rng.uniform(0.03, 0.10) if benign else rng.uniform(0.12, 0.22)), 3),
                contrast=round(float(rng.uniform(-25.0, -14.0)), 1),
            )
    return None


def _outline(rng: np.random.Generator, beams: Beams, spec: LesionSpec) -> Array:
    """Return the signed distance in mm to a mass: an oval, lobed or spiculated by its irregularity."""
    benign = spec.type.startswith("benign")
    places = (beams.across_mm, beams.depth_mm, beams.sweep_mm)
    across, down, sweep = (
        (place - np.float32(centre)) / np.float32(radius)
        for place, centre, radius in zip(places, spec.centre_ras_mm, spec.radii_mm, strict=True)
    )
    down = down + float(rng.uniform(-0.3, 0.3)) * across
    rho = np.sqrt(across**2 + down**2 + sweep**2)
    size = spec.radii_mm[0]
    lobes = beams.field(rng, 0.6 * size, 0.5 * size, size)
    spikes = beams.field(rng, 0.22 * size, 0.22 * size, size)
    rough = rho - 1.0 + spec.irregularity * (lobes + (0.25 if benign else 0.6) * spikes)
    signed: Array = rough * np.float32(min(spec.radii_mm[:2]))
    return main_piece(signed)


def _draw_mass(
    rng: np.random.Generator, beams: Beams, spec: LesionSpec, echo: Array, loss: Array
) -> NDArray[np.bool_]:
    """Paint a mass with what it does to the beams behind it; return its voxels in beam space."""
    signed = _outline(rng, beams, spec)
    inside = coverage(signed, 0.35)
    size, height = spec.radii_mm[0], 2 * spec.radii_mm[1]
    per_mm = np.float32(6.0 / max(height, 4.0))
    level = GLAND + spec.contrast + 2.5 * beams.field(rng, 0.5 * size, 0.4 * size, size)
    if spec.type.startswith("benign"):
        paint(echo, FASCIA - 2.0, 0.6 * coverage(np.abs(signed - 0.25) - 0.2, 0.3))
        loss -= float(rng.uniform(0.3, 1.2)) * per_mm * inside
        # Refraction shadows under both shoulders.
        shoulder = coverage(np.abs(np.abs(beams.across_mm - spec.centre_ras_mm[0]) - 0.95 * size) - 0.2, 1.6)
        loss += float(rng.uniform(0.0, 1.2)) * shoulder * coverage(np.abs(signed) - 0.8, 0.8)
    else:
        paint(echo, GLAND + 5.0, 0.8 * coverage(signed - float(rng.uniform(0.6, 1.6)), 1.4))
        loss += float(rng.uniform(0.1, 1.4)) * per_mm * inside
    paint(echo, level, inside)
    if not spec.type.startswith("benign") and rng.random() < 0.35:
        specks = coverage(2.2 - beams.field(rng, 0.5, 0.5, 1.0), 0.3)
        paint(echo, FASCIA, 0.8 * specks * inside)
    mask: NDArray[np.bool_] = signed < 0
    return mask


def us_breast(frame: Frame, seed: int, lesions: int) -> Scene:
    """Return a breast ultrasound with `lesions` masses; the same breast for any number of them."""
    anatomy, growth, scan = stream(seed, 41), stream(seed, 42), stream(seed, 43)
    curved = anatomy.random() < 0.25
    beams = make_beams(frame, radius_mm=float(anatomy.uniform(38.0, 60.0)) if curved else None)
    echo, loss, gland_top = _layers(anatomy, beams)
    _draw_ducts(anatomy, beams, echo, gland_top)
    mimics = ("fat lobules", "ducts", *_draw_ribs(anatomy, beams, echo, loss))
    usual_loss = float(np.median(loss))
    truth = np.zeros(frame.shape_ijk, dtype=np.uint8)
    specs: list[LesionSpec] = []
    for _ in range(lesions):
        spec = _mass_recipe(growth, beams, gland_top, specs)
        if spec is None:
            break
        mask = _draw_mass(growth, beams, spec, echo, loss) & (truth == 0)
        specs.append(spec)
        truth[mask] = len(specs)
    range_db = float(scan.uniform(44.0, 58.0))
    picture = _develop(scan, beams, echo, loss, usual_loss=usual_loss, range_db=range_db)
    shown = scan_convert(beams, frame, picture, order=1)
    label = scan_convert(beams, frame, truth.astype(np.float32), order=0)
    return Scene(
        voxels=np.clip(np.rint(shown), 0, 255).astype(np.uint8),
        label=label.astype(np.uint8),
        lesions=tuple(
            replace(spec, centre_ras_mm=beams.point_ras_mm(frame, spec.centre_ras_mm)) for spec in specs
        ),
        noise=round(range_db, 2),
        bias=0.0,
        mimics=mimics,
    )


def _develop(
    rng: np.random.Generator, beams: Beams, echo: Array, loss: Array, *, usual_loss: float, range_db: float
) -> Array:
    """Return grey values 0..255 in beam space: speckle, gain along depth, receiver noise, log scale."""
    compensation = usual_loss * float(rng.uniform(0.35, 0.95))
    fading = np.cumsum(loss - compensation, axis=1) * np.float32(1.2 * beams.sample_mm)
    envelope = speckle(rng, beams, echo - np.clip(fading, -14.0, 60.0))
    bright = np.float32(np.percentile(envelope[:, ::3], 99.0))
    envelope += bright * np.float32(10 ** (-range_db / 20.0)) * rng.random(envelope.shape, dtype=np.float32)
    decibel = 20.0 * np.log10(envelope / bright + np.float32(1e-5))
    gain = float(rng.uniform(-6.0, 2.0))
    grey = np.clip((decibel + gain + range_db) / range_db, 0.0, 1.0) * 240.0 + 4.0
    return np.asarray(ndimage.gaussian_filter(grey, (0.6, 0.6, 0.0)), dtype=np.float32)
