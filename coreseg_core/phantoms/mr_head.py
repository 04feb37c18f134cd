"""The head of an MR phantom: scalp, skull, folded cortex, ventricles, deep grey matter, dura and vessels.

Tissues are painted with the levels of a contrast table, so that T1 after contrast and FLAIR share an anatomy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from coreseg_core.phantoms.fields import Array, coverage, ellipsoid, join, meet, paint, tube
from coreseg_core.phantoms.frame import Frame

Levels = Mapping[str, float]

# Signal relative to white matter.
T1_CONTRAST: Levels = {
    "air": 0.02, "skin": 0.75, "fat": 1.75, "bone": 0.10, "marrow": 0.70, "muscle": 0.62, "csf": 0.24,
    "grey": 0.76, "white": 1.00, "deep": 0.86, "dura": 1.15, "blood": 1.55, "choroid": 1.45,
}  # fmt: skip
FLAIR: Levels = {
    "air": 0.02, "skin": 0.85, "fat": 1.45, "bone": 0.12, "marrow": 0.75, "muscle": 0.60, "csf": 0.16,
    "grey": 1.22, "white": 1.00, "deep": 1.16, "dura": 0.50, "blood": 0.30, "choroid": 0.85,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Head:
    """The build of one head.

    Attributes:
        coordinates_mm: Patient coordinates after the patient's own warp, each (i, j, k).
        brain_mm: Signed distance to the surface of the brain.
        white: Share of white matter, 0..1.
        ventricles_mm: Signed distance to the ventricles.
        edge_mm: Width of a soft edge.
    """

    coordinates_mm: tuple[Array, Array, Array]
    brain_mm: Array
    white: Array
    ventricles_mm: Array
    edge_mm: float


def draw_head(
    rng: np.random.Generator,
    frame: Frame,
    levels: Levels,
    image: Array,
    coordinates_mm: tuple[Array, Array, Array],
) -> Head:
    """Paint a head into `image`; return where its parts are.

    Args:
        coordinates_mm: Patient coordinates with the mass effect of tumours already in them.
    """
    size = float(rng.uniform(0.93, 1.06))
    wide = float(rng.uniform(0.95, 1.05))
    x, y, z = (axis / np.float32(size) for axis in coordinates_mm)
    x = x / np.float32(wide) + 1.4 * frame.field(rng, 55.0)
    y = y + 1.4 * frame.field(rng, 55.0)
    z = z + 1.8 * frame.field(rng, 55.0)
    edge = 1.1 * frame.spacing_mm[0]
    # Egg-shaped: wider behind than in front.
    breadth = x * (1.0 + 0.0016 * (y + 10.0))
    brain_mm = ellipsoid((breadth, y, z), (0.0, 0.0, -4.0), (66.0, 83.0, 72.0)) + 0.6 * frame.field(rng, 30.0)

    image[...] = levels["air"]
    _draw_scalp_and_skull(rng, frame, levels, image, brain_mm, y, edge)
    paint(image, levels["csf"], coverage(brain_mm - 0.8, edge))
    white = _draw_cortex(rng, frame, levels, image, (x, y, z), brain_mm, edge)
    _draw_deep_grey(rng, frame, levels, image, (x, y, z), edge)
    ventricles_mm = _draw_ventricles(rng, frame, levels, image, (x, y, z), edge)
    _draw_dura_and_sinus(rng, frame, levels, image, (x, y, z), brain_mm, edge)
    return Head(
        coordinates_mm=(x, y, z), brain_mm=brain_mm, white=white, ventricles_mm=ventricles_mm, edge_mm=edge
    )


def _draw_scalp_and_skull(
    rng: np.random.Generator,
    frame: Frame,
    levels: Levels,
    image: Array,
    brain_mm: Array,
    y: Array,
    edge_mm: float,
) -> None:
    skull = float(rng.uniform(5.0, 7.5)) + 0.8 * frame.field(rng, 40.0)
    scalp = skull + 1.5 + float(rng.uniform(2.0, 4.5)) + 0.5 * frame.field(rng, 30.0)
    side = np.clip(1.0 - ((y + 5.0) / 50.0) ** 2, 0.0, 1.0) ** 2
    texture = 0.10 * frame.field(rng, 5.0)
    outer = brain_mm - 2.5 - scalp - 5.0 * side
    paint(image, levels["skin"] + texture, coverage(outer, edge_mm))
    paint(image, levels["fat"] + 2.0 * texture, coverage(outer + 2.0, edge_mm))
    # Temporal muscle lies between fat and bone at the sides.
    temporal = meet(brain_mm - 2.5 - skull - 5.0 * side, 0.1 - side)
    paint(image, levels["muscle"] + texture, coverage(temporal, edge_mm))
    bone = brain_mm - 2.5 - skull
    paint(image, levels["bone"], coverage(bone - 0.8, edge_mm))
    marrow = meet(bone + 2.0, -(brain_mm - 4.3))
    paint(image, levels["marrow"] + 3.0 * texture, coverage(marrow, edge_mm))
    paint(image, levels["dura"] * 0.8, coverage(meet(brain_mm - 2.6, -(brain_mm - 1.7)), edge_mm) * 0.7)


def _fold_distance(field: Array, spacing_mm: tuple[float, float, float]) -> Array:
    """Distance in mm to the zero set of a field: the meandering lines of the sulci."""
    gradient = np.float32(0.0)
    for axis in range(2):
        slope = np.gradient(field, spacing_mm[axis], axis=axis)
        gradient = gradient + slope * slope
    result: Array = np.abs(field) / np.sqrt(gradient + np.float32(0.0025))
    return result


def _draw_cortex(
    rng: np.random.Generator,
    frame: Frame,
    levels: Levels,
    image: Array,
    place: tuple[Array, Array, Array],
    brain_mm: Array,
    edge_mm: float,
) -> Array:
    """Paint grey and white matter and the sulci; return the share of white matter."""
    x, y, z = place
    depth = -brain_mm
    fold = frame.field(rng, 8.5) + 0.4 * frame.field(rng, 17.0)
    to_sulcus = _fold_distance(fold, frame.spacing_mm)
    reach = 17.0 + 5.0 * frame.field(rng, 25.0)
    beyond = np.clip(depth - reach, 0.0, None)
    to_sulcus = np.sqrt(to_sulcus * to_sulcus + beyond * beyond)
    atrophy = float(rng.uniform(0.5, 1.5))
    sulcus_mm = to_sulcus - atrophy * np.clip(1.25 - depth / 18.0, 0.25, None)
    # The cleft between the hemispheres, above and beside the corpus callosum.
    wander = x + 0.8 * frame.field(rng, 30.0)
    callosum = ellipsoid((x, y, z), (0.0, -4.0, 12.0), (30.0, 37.0, 17.0))
    cleft = meet(np.abs(wander) - 0.55 - 0.4 * atrophy, -callosum)
    sylvian = meet(
        np.abs(z - 2.0 - 0.25 * (y - 5.0) + 2.0 * frame.field(rng, 14.0)) - 1.3,
        38.0 - np.abs(x),
        np.abs(y - 4.0) - 28.0,
    )
    insula = meet(np.abs(np.abs(x) - 39.0 + 1.5 * frame.field(rng, 9.0)) - 1.0, np.abs(y - 4.0) - 22.0)
    insula = meet(insula, np.abs(z - 4.0) - 15.0)
    clefts = join(sulcus_mm, cleft, sylvian, insula)
    ribbon = meet(join(clefts - 2.6, depth - 3.2), -callosum)
    grey = coverage(ribbon, edge_mm * 1.3)
    inside = coverage(brain_mm, edge_mm)
    white = (1.0 - grey) * inside
    tissue = levels["white"] + (levels["grey"] - levels["white"]) * grey
    tissue = tissue + 0.012 * frame.field(rng, 4.0) + 0.02 * frame.field(rng, 20.0)
    paint(image, tissue, inside)
    paint(image, levels["csf"], coverage(meet(clefts, brain_mm), edge_mm))
    # Vessels in the sulci, bright after contrast.
    chosen = np.abs(frame.field(rng, 12.0)) * 5.0 - 0.5
    paint(image, levels["blood"], 0.75 * coverage(meet(clefts - 0.2, chosen, brain_mm - 2.0), edge_mm))
    return white


def _draw_deep_grey(
    rng: np.random.Generator,
    frame: Frame,
    levels: Levels,
    image: Array,
    place: tuple[Array, Array, Array],
    edge_mm: float,
) -> None:
    x, y, z = place
    side = np.abs(x)
    thalamus = ellipsoid((side, y, z), (11.0, -14.0, 4.0), (9.0, 14.0, 9.5))
    caudate = ellipsoid((side, y + 0.4 * z, z), (14.0, 22.0, 9.0), (5.5, 12.0, 10.0))
    lentiform = ellipsoid((side - 0.25 * (y - 4.0), y, z), (25.0, 4.0, 1.0), (7.0, 17.0, 10.0))
    nuclei = join(thalamus, caudate, lentiform) + 0.5 * frame.field(rng, 10.0)
    paint(image, levels["deep"], coverage(nuclei, 2.0 * edge_mm))
    claustrum = meet(np.abs(side - 34.5) - 0.5, np.abs(y - 4.0) - 15.0, np.abs(z - 3.0) - 10.0)
    paint(image, levels["deep"], 0.7 * coverage(claustrum, edge_mm))


def _draw_ventricles(
    rng: np.random.Generator,
    frame: Frame,
    levels: Levels,
    image: Array,
    place: tuple[Array, Array, Array],
    edge_mm: float,
) -> Array:
    x, y, z = place
    size = float(rng.uniform(0.7, 1.45))
    horns = []
    for side in (-1.0, 1.0):
        width = size * float(rng.uniform(0.85, 1.15))
        path = [(15, 37, 7), (9, 18, 15), (11, -8, 21), (20, -34, 15), (25, -52, 8), (24, -64, 5)]
        points = [(side * px, py, pz) for px, py, pz in path]
        radii = [1.2, 4.4, 4.8, 6.6, 4.2, 1.2]
        horns.append(tube((x, y, z), points, [radius * width for radius in radii]))
        temporal = [(side * 24, -34, 8), (side * 33, -20, -12), (side * 31, -2, -20)]
        horns.append(tube((x, y, z), temporal, [3.5 * width, 1.8 * width, 1.2]))
    septum = 0.7 - np.abs(x)
    lateral = meet(join(*horns), septum)
    third = meet(np.abs(x) - 1.6 * size, ellipsoid((x, y, z), (0.0, -8.0, -2.0), (30.0, 17.0, 11.0)))
    ambient = meet(np.abs(np.hypot(x, y + 26.0) - 15.0) - 0.9, np.abs(z + 14.0) - 8.0, y + 20.0)
    ventricles = join(lateral, third, ambient) + 0.3 * frame.field(rng, 9.0)
    paint(image, levels["csf"], coverage(ventricles, edge_mm))
    plexus = ellipsoid((np.abs(x), y, z), (20.0, -36.0, 14.0), (2.6, 8.0, 2.8))
    plexus = meet(plexus + frame.field(rng, 4.0), lateral + 0.4)
    paint(image, levels["choroid"], 0.85 * coverage(plexus, edge_mm))
    if rng.random() < 0.5:
        pineal = ellipsoid((x, y, z), (0.0, -31.0, 3.0), (3.2, 4.0, 3.5))
        paint(image, levels["choroid"], 0.8 * coverage(pineal, edge_mm))
    return ventricles


def _draw_dura_and_sinus(
    rng: np.random.Generator,
    frame: Frame,
    levels: Levels,
    image: Array,
    place: tuple[Array, Array, Array],
    brain_mm: Array,
    edge_mm: float,
) -> None:
    x, y, z = place
    wander = x + 0.8 * frame.field(rng, 40.0)
    free_edge = ellipsoid((x, y, z), (0.0, -4.0, 6.0), (60.0, 56.0, 36.0))
    falx = meet(np.abs(wander) - 0.45, brain_mm - 1.0, -free_edge)
    paint(image, levels["dura"], 0.8 * coverage(falx, edge_mm))
    radius = float(rng.uniform(3.2, 4.8))
    behind = np.where((y < 0) | (z > 30), np.float32(0.0), np.float32(3.0))
    sinus = np.hypot(wander, brain_mm + 0.6) - radius + behind + 0.07 * np.clip(y, 0.0, None)
    sinus = meet(sinus, brain_mm - 3.2)
    paint(image, levels["blood"], coverage(sinus, edge_mm))
    for side in (-1.0, 1.0):
        bridging = tube(
            (x, y, z), [(side * 4.0, -2.0, 66.0), (side * 22.0, 10.0, 61.0), (side * 34.0, 22.0, 50.0)],
            [1.6, 1.3, 0.8],
        )  # fmt: skip
        paint(image, levels["blood"], 0.9 * coverage(bridging + 0.6 * frame.field(rng, 14.0), edge_mm))
