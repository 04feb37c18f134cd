"""The trunk of a CT phantom: skin, fat, muscle wall, ribs, spine, lung bases, table. Levels in HU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coreseg_core.phantoms.fields import Array, coverage, ellipsoid, join, meet, paint
from coreseg_core.phantoms.frame import Frame

AIR = -1000.0
LUNG = -860.0
FAT = -100.0
MUSCLE = 58.0


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """The build of one patient.

    Attributes:
        coordinates_mm: Patient coordinates after the patient's own warp and scale, each (i, j, k).
        true_mm: Patient coordinates without the warp.
        cavity_mm: Signed distance to the inner wall of the abdomen.
        lung_mm: Signed distance to the lung bases.
        edge_mm: Width of a soft edge.
    """

    coordinates_mm: tuple[Array, Array, Array]
    true_mm: tuple[Array, Array, Array]
    cavity_mm: Array
    lung_mm: Array
    edge_mm: float


def _superellipse(x: Array, y: Array, radii_mm: tuple[float, float], power: float) -> Array:
    rho = (np.abs(x / np.float32(radii_mm[0])) ** power + np.abs(y / np.float32(radii_mm[1])) ** power) ** (
        1.0 / power
    )
    result: Array = (rho - 1.0) * np.float32(min(radii_mm))
    return result


def draw_trunk(rng: np.random.Generator, frame: Frame, image: Array) -> Trunk:
    """Paint air, table, fat, wall and lungs into `image`; return where the rest goes."""
    true_mm = frame.coordinates_mm()
    scale = float(rng.uniform(0.9, 1.08))
    wide = float(rng.uniform(0.94, 1.06))
    x, y, z = (axis / np.float32(scale) for axis in true_mm)
    x = x / np.float32(wide) + 4.0 * frame.field(rng, 70.0)
    y = y + 4.0 * frame.field(rng, 70.0)
    z = z + 4.0 * frame.field(rng, 70.0) + np.float32(rng.uniform(-8, 8))
    edge = frame.spacing_mm[0] * 1.1

    fat_mm = float(rng.uniform(9.0, 26.0))
    # Fat is thicker in front and at the flanks than over the back.
    wall_radii = (158.0 - fat_mm, 108.0 - 0.8 * fat_mm)
    skin_mm = _superellipse(x, y + 2.0, (158.0, 110.0), 2.35)
    wall_mm = _superellipse(x, y + 2.0 + 0.3 * fat_mm, wall_radii, 2.3) + 1.5 * frame.field(rng, 40.0)
    thickness = float(rng.uniform(8.0, 12.0))
    cavity_mm = wall_mm + thickness

    image[...] = AIR
    _draw_table(rng, true_mm, image, edge)
    texture = 7.0 * frame.field(rng, 9.0)
    paint(image, FAT + texture, coverage(skin_mm, edge))
    paint(image, 15.0, coverage(np.abs(skin_mm + 1.2) - 1.1, edge))
    strands = np.abs(frame.field(rng, 14.0)) < 0.05
    paint(image, -60.0, strands * coverage(meet(skin_mm + 4.0, -wall_mm), edge) * 0.7)
    paint(image, MUSCLE + texture, coverage(wall_mm, edge))
    _draw_muscle_layers(image, wall_mm, y, thickness, edge)
    cavity_fat = FAT - 4.0 + texture + 6.0 * frame.field(rng, 16.0)
    paint(image, cavity_fat, coverage(cavity_mm, edge))
    ribs = _ribs(rng, x, y, z, wall_mm + 0.5 * thickness)
    lung_mm = _lung_bases(rng, x, y, z, cavity_mm)
    paint(image, LUNG + 35.0 * frame.field(rng, 5.0), coverage(lung_mm, edge))
    paint(image, 420.0, coverage(ribs, edge))
    paint(image, 190.0, coverage(ribs + 1.8, edge))
    return Trunk(
        coordinates_mm=(x, y, z), true_mm=true_mm, cavity_mm=cavity_mm, lung_mm=lung_mm, edge_mm=edge
    )


def _draw_table(
    rng: np.random.Generator, true_mm: tuple[Array, Array, Array], image: Array, edge_mm: float
) -> None:
    x, y, _ = true_mm
    sag = np.float32(rng.uniform(0.0009, 0.0014))
    surface = y + 122.0 + float(rng.uniform(0, 8)) - sag * x * x
    table = meet(np.abs(surface) - 1.2, np.abs(x) - 185.0)
    paint(image, 40.0, 0.7 * coverage(table, edge_mm))


def _draw_muscle_layers(image: Array, wall_mm: Array, y: Array, thickness: float, edge_mm: float) -> None:
    """Thin fat planes between the three flank muscles."""
    for share in (0.36, 0.68):
        plane = meet(np.abs(wall_mm + share * thickness) - 0.5, -y - 40.0, y - 60.0)
        paint(image, -30.0, 0.6 * coverage(plane, edge_mm))


def _ribs(rng: np.random.Generator, x: Array, y: Array, z: Array, middle_mm: Array) -> Array:
    """Signed distance to ribs running forward and down inside the wall."""
    from_back = np.arctan2(np.abs(x), -(y + 5.0))
    descent = 62.0 * (1.0 - np.cos(from_back * 0.9)) / 1.3
    spacing = 27.0
    offset = float(rng.uniform(0.0, spacing))
    along = z + descent - offset
    beside = along - spacing * np.rint(along / spacing)
    rod = np.sqrt((beside * 0.72) ** 2 + (middle_mm * 1.15) ** 2) - 4.6
    # Ribs end at the costal margin, which rises towards the front.
    margin = -62.0 + 95.0 * np.clip((from_back - 1.0) / 1.5, 0.0, 1.0)
    return meet(rod, margin - z, (from_back - 2.35) * 60.0)


def _lung_bases(rng: np.random.Generator, x: Array, y: Array, z: Array, cavity_mm: Array) -> Array:
    height = float(rng.uniform(60.0, 82.0))
    right = height - ((x - 62.0) / 88.0) ** 2 * 46.0 - ((y - 5.0) / 92.0) ** 2 * 78.0
    left = height - 6.0 - ((x + 62.0) / 88.0) ** 2 * 46.0 - ((y - 5.0) / 92.0) ** 2 * 78.0
    dome = np.where(x > 0, right, left)
    mediastinum = ellipsoid((x, y, z), (0.0, -30.0, 60.0), (46.0, 62.0, 200.0))
    return meet((dome - z) * 0.7, cavity_mm + 2.0, -mediastinum)


def draw_spine(rng: np.random.Generator, frame: Frame, trunk: Trunk, image: Array) -> Array:
    """Paint spine and back muscles; return the signed distance to the vertebral bodies, in mm."""
    x, y, z = trunk.coordinates_mm
    edge = trunk.edge_mm
    texture = frame.field(rng, 6.0)
    muscles = []
    for side in (-1.0, 1.0):
        muscles.append(ellipsoid((x, y, z), (side * 33.0, -80.0, 0.0), (27.0, 17.0, 900.0)))
        muscles.append(ellipsoid((x, y, z), (side * 63.0, -76.0, 0.0), (17.0, 10.0, 900.0)))
        psoas = 11.0 + 7.0 / (1.0 + np.exp(np.clip((z + 10.0) / 12.0, -20.0, 20.0)))
        muscles.append(np.hypot((x - side * 33.0) / 0.8, y + 47.0) - psoas)
    paint(image, MUSCLE + 6.0 * texture, coverage(join(*muscles), edge))

    level = z - float(rng.uniform(0, 36.0))
    beside = level - 36.0 * np.rint(level / 36.0)
    disc = np.abs(np.abs(beside) - 18.0) - 4.0
    waist = 1.0 + 0.10 * np.cos(beside * np.float32(np.pi / 18.0))
    body = (np.hypot(x * waist / 23.0, (y + 46.0) * waist / 17.0) - 1.0) * 17.0
    body = meet(body, -(np.hypot(x / 12.0, (y + 66.0) / 8.0) - 1.0) * 8.0)
    between = meet(body, disc)
    bone = meet(body, -disc)
    paint(image, 430.0, coverage(bone, edge))
    paint(image, 185.0 + 45.0 * texture, coverage(bone + 2.2, edge))
    paint(image, 85.0 + 6.0 * texture, coverage(between, edge))
    _draw_arch(x, y, beside, image, edge, texture)
    return body


def _draw_arch(x: Array, y: Array, beside: Array, image: Array, edge_mm: float, texture: Array) -> None:
    """Paint the canal with its bony ring, transverse and spinous processes."""
    canal = np.hypot(x / 1.15, y + 69.0) - 8.0
    side = np.abs(x)
    ring = meet(np.abs(canal - 3.5) - 3.2, -(y + 58.0) - 3.0)
    facets = ellipsoid((side, y, beside), (15.0, -74.0, 10.0), (6.5, 8.0, 11.0))
    transverse = ellipsoid((side, y, beside), (28.0, -69.0, -2.0), (19.0, 4.2, 7.0))
    spinous = meet(np.abs(x) - 3.2, np.abs(y + 90.0) - 13.0, np.abs(beside + 4.0) - 11.0)
    arch = join(meet(ring, np.abs(beside) - 15.0), facets, transverse, spinous)
    arch = meet(arch, -canal)
    paint(image, 420.0, coverage(arch, edge_mm))
    paint(image, 230.0 + 40.0 * texture, coverage(arch + 2.0, edge_mm))
    paint(image, 25.0, coverage(canal, edge_mm))
    paint(image, 42.0, coverage(canal + 3.5, edge_mm))
