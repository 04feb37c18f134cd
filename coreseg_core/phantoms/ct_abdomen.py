"""CT of the upper abdomen in the portal venous phase, with or without liver tumours. Levels in HU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coreseg_core.phantoms.ct_body import Trunk, draw_spine, draw_trunk
from coreseg_core.phantoms.ct_organs import (
    draw_bowel,
    draw_great_vessels,
    draw_kidneys,
    draw_spleen_stomach_pancreas,
)
from coreseg_core.phantoms.fields import Array, blend, coverage, ellipsoid, meet, paint, stream
from coreseg_core.phantoms.frame import Frame
from coreseg_core.phantoms.lesions import choose_place, depth_inside_mm, grow
from coreseg_core.phantoms.scanner import ct_acquire
from coreseg_core.phantoms.study import LesionSpec, Scene
from coreseg_core.phantoms.vessels import vessel_tree

BILE = 9.0
CYST = 4.0


@dataclass(frozen=True, kw_only=True)
class _Liver:
    """The painted liver: signed distance, signed distance to its vessels, level in HU."""

    signed_mm: Array
    vessels_mm: Array
    level: float


def ct_frame(rng: np.random.Generator, shape_ijk: tuple[int, int, int]) -> Frame:
    """Return the scan field of an abdominal CT: 5 mm slices or thereabouts, sometimes tilted."""
    field_mm = float(rng.uniform(322.0, 380.0))
    thickness = 120.0 / shape_ijk[2] * float(rng.uniform(0.85, 1.0))
    tilt = round(float(rng.uniform(-6.0, 6.0)), 1) if rng.random() < 0.25 else 0.0
    return Frame(
        shape_ijk=shape_ijk,
        spacing_mm=(
            round(field_mm / shape_ijk[0], 4),
            round(field_mm / shape_ijk[1], 4),
            round(thickness, 2),
        ),
        centre_ras_mm=(round(float(rng.uniform(-8, 8)), 1), round(float(rng.uniform(-18, -8)), 1), 0.0),
        tilt_deg=(tilt, 0.0),
    )


def _draw_liver(rng: np.random.Generator, frame: Frame, trunk: Trunk, image: Array) -> _Liver:
    x, y, z = trunk.coordinates_mm
    right = ellipsoid((x, y, z), (70.0, 4.0, 18.0), (80.0, 84.0, 84.0))
    left_reach = float(rng.uniform(56.0, 82.0))
    left = ellipsoid((x, y, z + 0.15 * x), (4.0, 48.0, 26.0), (left_reach, 36.0, 46.0))
    caudate = ellipsoid((x, y, z), (18.0, -4.0, 22.0), (18.0, 16.0, 26.0))
    liver = blend(blend(right, left, 22.0), caudate, 10.0)
    hollow = ellipsoid((x, y, z), (-14.0, -44.0, 0.0), (50.0, 38.0, 900.0))
    porta = ellipsoid((x, y, z), (26.0, 12.0, -22.0), (20.0, 24.0, 26.0))
    fissure = meet(np.abs(x - 8.0 - 0.2 * (y - 50.0)) - 1.6, 44.0 - y, z - 30.0)
    under = ellipsoid((x, y, z), (46.0, 42.0, -70.0), (70.0, 60.0, 40.0))
    liver = meet(
        liver, trunk.cavity_mm + 2.5, -trunk.lung_mm + 1.5, -hollow, -porta, -fissure, -under
    ) + 1.2 * frame.field(rng, 24.0)
    level = float(rng.uniform(92.0, 122.0))
    paint(image, level + 3.5 * frame.field(rng, 7.0), coverage(liver, trunk.edge_mm))

    portal = vessel_tree(
        rng,
        frame,
        root_mm=(14.0, 6.0, -6.0),
        direction=(1.0, 0.15, 0.35),
        radius_mm=6.0,
        length_mm=34.0,
        generations=4,
    )
    hepatic = [
        vessel_tree(
            rng,
            frame,
            root_mm=(20.0, -26.0, 44.0),
            direction=direction,
            radius_mm=4.6,
            length_mm=40.0,
            generations=3,
        )
        for direction in ((1.0, 0.1, -0.45), (0.5, 0.9, -0.4), (-0.4, 1.0, -0.3))
    ]
    vessels = np.minimum.reduce([portal, *hepatic])
    enhancement = float(rng.uniform(38.0, 70.0))
    paint(image, level + enhancement, coverage(vessels, trunk.edge_mm) * coverage(liver + 4.0, trunk.edge_mm))
    _draw_gallbladder(rng, trunk, image, liver)
    return _Liver(signed_mm=liver, vessels_mm=vessels, level=level)


def _draw_gallbladder(rng: np.random.Generator, trunk: Trunk, image: Array, liver_mm: Array) -> None:
    """Paint the gall bladder into its bed: dark, round, and no lesion. Removes it from the liver."""
    x, y, z = trunk.coordinates_mm
    size = float(rng.uniform(0.75, 1.15))
    bladder = ellipsoid((x, y + 0.2 * z, z), (44.0, 44.0, -24.0), (14.0 * size, 20.0 * size, 24.0 * size))
    bladder = meet(bladder, trunk.cavity_mm + 5.0)
    paint(image, 70.0, coverage(bladder - 1.5, trunk.edge_mm))
    paint(image, BILE, coverage(bladder, trunk.edge_mm))
    np.maximum(liver_mm, -bladder + 3.0, out=liver_mm)


def _draw_cysts(
    rng: np.random.Generator, frame: Frame, trunk: Trunk, image: Array, depth_mm: Array
) -> Array | None:
    """Paint up to two simple liver cysts: water, thin sharp round edge; they are not tumours."""
    count = int(rng.choice([0, 1, 2], p=[0.62, 0.26, 0.12]))
    taken: Array | None = None
    for _ in range(count):
        radius = float(rng.uniform(3.5, 9.0))
        place = choose_place(rng, depth_mm, radius * 0.8, frame)
        if place is None:
            continue
        stretch = rng.uniform(0.9, 1.1, 3) * radius
        signed = ellipsoid(trunk.true_mm, place, [float(value) for value in stretch])
        paint(image, CYST, coverage(signed, trunk.edge_mm))
        taken = signed if taken is None else np.minimum(taken, signed)
    return taken


def _recipe(
    rng: np.random.Generator, place: tuple[float, float, float], radius_mm: float
) -> tuple[LesionSpec, float, float]:
    """Return a lesion recipe with its rim (HU above the solid part) and share of dead core."""
    radii = radius_mm * rng.uniform(0.78, 1.22, 3)
    hyper = rng.random() < 0.15
    contrast = float(rng.uniform(28.0, 55.0)) if hyper else -float(rng.uniform(30.0, 68.0))
    rim = 0.0 if hyper or rng.random() < 0.5 else float(rng.uniform(8.0, 30.0))
    core = float(rng.uniform(0.3, 0.65)) if radius_mm > 12 and rng.random() < 0.45 else 0.0
    spec = LesionSpec(
        type="hypervascular liver tumor" if hyper else "liver metastasis",
        centre_ras_mm=place,
        radii_mm=(round(float(radii[0]), 2), round(float(radii[1]), 2), round(float(radii[2]), 2)),
        irregularity=round(float(rng.uniform(0.06, 0.26)), 3),
        contrast=round(contrast, 1),
    )
    return spec, rim, core


def ct_abdomen(frame: Frame, seed: int, lesions: int) -> Scene:
    """Return an abdominal CT with `lesions` liver tumours; the same patient for any number of them."""
    anatomy, growth, scan = stream(seed, 11), stream(seed, 12), stream(seed, 13)
    image = np.empty(frame.shape_ijk, dtype=np.float32)
    trunk = draw_trunk(anatomy, frame, image)
    draw_bowel(anatomy, frame, trunk, image)
    draw_spleen_stomach_pancreas(anatomy, frame, trunk, image)
    draw_kidneys(anatomy, frame, trunk, image)
    draw_great_vessels(anatomy, trunk, image)
    liver = _draw_liver(anatomy, frame, trunk, image)
    draw_spine(anatomy, frame, trunk, image)
    depth = depth_inside_mm(liver.signed_mm < -1.0, frame)
    cysts = _draw_cysts(anatomy, frame, trunk, image, depth)
    free = depth if cysts is None else np.where(cysts < 8.0, np.float32(0.0), depth)

    label = np.zeros(frame.shape_ijk, dtype=np.uint8)
    specs = []
    for number in range(1, lesions + 1):
        radius = float(np.clip(growth.lognormal(2.6, 0.42), 6.5, 32.0))
        place = choose_place(growth, free, radius * 0.75, frame)
        if place is None:
            break
        spec, rim, core = _recipe(growth, place, radius)
        body = grow(growth, frame, trunk.true_mm, spec)
        mask = body.mask & (liver.signed_mm < 0.0)
        solid = liver.level + spec.contrast + 9.0 * frame.field(growth, max(radius * 0.4, 3.0))
        inside = coverage(body.signed_mm, trunk.edge_mm * 1.6) * coverage(liver.signed_mm, trunk.edge_mm)
        paint(image, solid, inside)
        if rim:
            paint(image, liver.level + rim, 0.8 * inside * coverage(np.abs(body.signed_mm + 1.5) - 1.5, 2.0))
        if core:
            paint(image, 22.0, inside * coverage(body.signed_mm + radius * (1.0 - core), radius * 0.3))
        label[mask] = number
        specs.append(spec)
        free = np.where(body.signed_mm < 10.0, np.float32(0.0), free)

    noise = float(scan.uniform(7.0, 17.0))
    voxels = ct_acquire(scan, image, noise_hu=noise, grain_px=float(scan.uniform(0.5, 0.9)))
    mimics = ("gall bladder", "liver vessels", "bowel loops") + (() if cysts is None else ("liver cyst",))
    return Scene(
        voxels=voxels, label=label, lesions=tuple(specs), noise=round(noise, 2), bias=0.0, mimics=mimics
    )
