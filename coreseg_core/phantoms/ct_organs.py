"""Spleen, stomach, pancreas, kidneys, bowel and great vessels of a CT phantom. Levels in HU."""

from __future__ import annotations

import numpy as np

from coreseg_core.phantoms.ct_body import Trunk
from coreseg_core.phantoms.fields import Array, coverage, ellipsoid, join, meet, paint, tube
from coreseg_core.phantoms.frame import Frame


def draw_spleen_stomach_pancreas(rng: np.random.Generator, frame: Frame, trunk: Trunk, image: Array) -> None:
    """Paint stomach, pancreas and spleen on the patient's left side."""
    x, y, z = trunk.coordinates_mm
    edge = trunk.edge_mm
    inside_mm = meet(trunk.cavity_mm + 4.0, -trunk.lung_mm + 2.0)
    _draw_stomach(rng, trunk, image, inside_mm)
    path = [(28.0, 8.0, -30.0), (10.0, 6.0, -16.0), (-20.0, 0.0, -6.0), (-62.0, -22.0, 8.0)]
    pancreas = tube((x, y, z), path, [13.0, 9.0, 9.0, 7.0]) + 2.4 * frame.field(rng, 8.0)
    paint(image, 96.0 + 5.0 * frame.field(rng, 5.0), coverage(pancreas, edge))
    size = float(rng.uniform(0.85, 1.15))
    spleen = ellipsoid((x, y, z), (-98.0, -36.0, 26.0), (36.0 * size, 50.0 * size, 52.0 * size))
    bite = ellipsoid((x, y, z), (-64.0, -14.0, 20.0), (36.0, 50.0, 80.0))
    spleen = meet(spleen, -bite, inside_mm) + 1.0 * frame.field(rng, 20.0)
    paint(image, float(rng.uniform(108.0, 132.0)) + 3.0 * frame.field(rng, 6.0), coverage(spleen, edge))


def _draw_stomach(rng: np.random.Generator, trunk: Trunk, image: Array, inside_mm: Array) -> None:
    x, y, z = trunk.coordinates_mm
    full = float(rng.uniform(0.75, 1.15))
    path = [(-72.0, -6.0, 56.0), (-66.0, 26.0, 26.0), (-40.0, 52.0, -4.0), (4.0, 48.0, -22.0)]
    stomach = meet(tube((x, y, z), path, [34.0 * full, 34.0 * full, 24.0 * full, 13.0]), inside_mm)
    paint(image, 72.0, coverage(stomach, trunk.edge_mm))
    lumen = stomach + 5.0
    contents = 240.0 if rng.random() < 0.25 else float(rng.uniform(8.0, 40.0))
    paint(image, contents, coverage(lumen, trunk.edge_mm))
    # The patient lies on the back: gas collects in front, with a level surface.
    gas = meet(lumen, float(rng.uniform(38.0, 60.0)) - trunk.true_mm[1])
    paint(image, -960.0, coverage(gas, trunk.edge_mm))


def draw_kidneys(rng: np.random.Generator, frame: Frame, trunk: Trunk, image: Array) -> None:
    """Paint both kidneys with bright cortex and fatty sinus, at times with a simple cyst."""
    edge = trunk.edge_mm
    x, y, z = trunk.coordinates_mm
    cortex, medulla = float(rng.uniform(165.0, 200.0)), float(rng.uniform(115.0, 150.0))
    for side, height in ((1.0, -34.0), (-1.0, -20.0)):
        centre_x = side * float(rng.uniform(58.0, 66.0))
        # Turned so that the hilum looks forward and to the middle.
        u = (x - centre_x) * 0.82 * side + (y + 44.0) * -0.57
        v = (x - centre_x) * 0.57 * side + (y + 44.0) * 0.82
        w = z - height
        kidney = ellipsoid((u, v, w), (0.0, 0.0, 0.0), (24.0, 30.0, 54.0)) + frame.field(rng, 18.0)
        sinus = ellipsoid((u, v, w), (-18.0, 2.0, 0.0), (20.0, 11.0, 24.0))
        pyramids = meet(kidney + 7.0, frame.field(rng, 9.0) * 4.0 - 1.0)
        paint(image, cortex, coverage(kidney, edge))
        paint(image, medulla, coverage(pyramids, edge * 1.5))
        paint(image, -70.0 + 30.0 * frame.field(rng, 6.0), coverage(sinus, edge * 1.5))
        paint(image, 40.0, coverage(ellipsoid((u, v, w), (-16.0, 2.0, 0.0), (9.0, 4.0, 10.0)), edge))
        if rng.random() < 0.22:
            radius = float(rng.uniform(6.0, 16.0))
            place = (float(rng.uniform(8, 20)), float(rng.uniform(-22, 22)), float(rng.uniform(-25, 25)))
            paint(image, 3.0, coverage(ellipsoid((u, v, w), place, (radius, radius, radius)), edge))


def draw_great_vessels(rng: np.random.Generator, trunk: Trunk, image: Array) -> None:
    """Paint aorta, inferior vena cava, the roots of the mesentery and the portal vein."""
    x, y, z = trunk.coordinates_mm
    edge = trunk.edge_mm
    blood = float(rng.uniform(135.0, 190.0))
    aorta = np.hypot(x + 9.0, y + 19.0) - float(rng.uniform(9.0, 12.5))
    cava = np.hypot((x - 20.0) / 1.25, y + 20.0) - float(rng.uniform(8.0, 10.5))
    mesenteric = tube(
        (x, y, z), [(-8.0, -8.0, 6.0), (-6.0, 10.0, -20.0), (0.0, 22.0, -70.0)], [4.0, 3.6, 3.0]
    )
    vein = tube((x, y, z), [(8.0, 14.0, -70.0), (8.0, 8.0, -24.0), (16.0, 6.0, -6.0)], [5.0, 5.5, 6.5])
    splenic = tube((x, y, z), [(8.0, 4.0, -14.0), (-30.0, -10.0, 2.0), (-70.0, -26.0, 14.0)], [4.5, 4.0, 3.0])
    paint(image, blood, coverage(join(aorta, mesenteric), edge))
    paint(image, blood - 12.0, coverage(join(cava, vein, splenic), edge))
    if rng.random() < 0.4:
        plaque = meet(np.abs(aorta + 0.8) - 0.8, np.abs(z - 10.0) - 14.0, x + 9.0)
        paint(image, 600.0, coverage(plaque, edge))


def draw_bowel(rng: np.random.Generator, frame: Frame, trunk: Trunk, image: Array) -> None:
    """Paint small bowel loops, the colon and mesenteric vessels."""
    x, y, z = trunk.coordinates_mm
    edge = trunk.edge_mm
    inside_mm = trunk.cavity_mm + 3.0
    dots = meet(np.float32(0.0) - frame.field(rng, 9.0) * 3.0 + 5.4, inside_mm + 6.0)
    paint(image, 120.0, 0.9 * coverage(meet(dots, -y - 20.0), edge))
    for _ in range(16):
        start = np.array([rng.uniform(-92, 92), rng.uniform(4, 72), rng.uniform(-75, -4)])
        turn = rng.normal(0.0, 1.0, 3) * (1.0, 0.8, 0.8)
        stop = start + turn / np.linalg.norm(turn) * rng.uniform(18, 44)
        radius = float(rng.uniform(9.0, 14.0))
        # Only the neighbourhood is computed; the patient's own warp moves nothing further than this.
        box = frame.window(np.minimum(start, stop) - 45.0, np.maximum(start, stop) + 45.0)
        place = (x[box], y[box], z[box])
        loop = meet(tube(place, [start.tolist(), stop.tolist()], [radius, radius]), inside_mm[box])
        _draw_loop(rng, trunk.true_mm[1][box], image[box], loop, edge_mm=edge, gassy=0.12)
    ascending = [(98.0, -14.0, -90.0), (96.0, -8.0, -52.0), (82.0, 26.0, -38.0)]
    transverse = [(82.0, 26.0, -38.0), (40.0, 76.0, -46.0), (-40.0, 78.0, -34.0), (-92.0, 22.0, 2.0)]
    descending = [(-92.0, 22.0, 2.0), (-108.0, -18.0, -20.0), (-106.0, -22.0, -90.0)]
    for path, radius in ((ascending, 21.0), (transverse, 17.0), (descending, 14.0)):
        haustra = 3.0 * frame.field(rng, 16.0)
        colon = meet(tube((x, y, z), path, [radius] * len(path)) + haustra, inside_mm)
        _draw_loop(rng, trunk.true_mm[1], image, colon, edge_mm=edge, gassy=0.75)
        stool = meet(colon + 3.5, frame.field(rng, 7.0) * 5.0)
        paint(image, 45.0 + 40.0 * frame.field(rng, 4.0), 0.85 * coverage(stool, edge))


def _draw_loop(
    rng: np.random.Generator, height_mm: Array, image: Array, loop_mm: Array, *, edge_mm: float, gassy: float
) -> None:
    """Paint a loop of bowel: wall, then fluid, oral contrast or gas with a level surface."""
    paint(image, float(rng.uniform(62.0, 98.0)), coverage(loop_mm, edge_mm))
    contents = 260.0 if rng.random() < 0.15 else float(rng.uniform(14.0, 48.0))
    lumen = loop_mm + 3.0
    paint(image, contents, coverage(lumen, edge_mm))
    if rng.random() < gassy:
        gas = meet(lumen, float(rng.uniform(-14.0, 60.0)) - height_mm)
        paint(image, -950.0, coverage(gas, edge_mm))
