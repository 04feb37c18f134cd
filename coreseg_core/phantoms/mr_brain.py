"""MR of the brain: T1 after contrast with or without a tumour, FLAIR with or without white matter lesions."""

from __future__ import annotations

import numpy as np

from coreseg_core.phantoms.fields import Array, coverage, paint, stream
from coreseg_core.phantoms.frame import Frame
from coreseg_core.phantoms.lesions import LesionBody, choose_place, depth_inside_mm, grow
from coreseg_core.phantoms.mr_head import FLAIR, T1_CONTRAST, Head, draw_head
from coreseg_core.phantoms.scanner import mr_acquire
from coreseg_core.phantoms.study import LesionSpec, Scene

Coordinates = tuple[Array, Array, Array]


def mr_frame(rng: np.random.Generator, shape_ijk: tuple[int, int, int]) -> Frame:
    """Return the scan field of a brain MR: thick axial slices, often tilted to the skull base."""
    field_mm = float(rng.uniform(206.0, 244.0))
    oblique = rng.random() < 0.6
    return Frame(
        shape_ijk=shape_ijk,
        spacing_mm=(
            round(field_mm / shape_ijk[0], 4),
            round(field_mm / shape_ijk[1], 4),
            round(84.0 / shape_ijk[2] * float(rng.uniform(0.9, 1.05)), 2),
        ),
        centre_ras_mm=(
            round(float(rng.uniform(-5, 5)), 1),
            round(float(rng.uniform(-6, 6)), 1),
            round(float(rng.uniform(18, 26)), 1),
        ),
        tilt_deg=(
            (round(float(rng.uniform(-14, 14)), 1), round(float(rng.uniform(-6, 6)), 1))
            if oblique
            else (0.0, 0.0)
        ),
    )


def _tumour_recipes(rng: np.random.Generator, frame: Frame, count: int) -> list[LesionSpec]:
    """Draw up to `count` tumours that keep apart from one another."""
    x, y, z = frame.coordinates_mm()
    host = (x / 60.0) ** 2 + (y / 76.0) ** 2 + ((z + 4.0) / 66.0) ** 2 < 1.0
    depth = depth_inside_mm(host, frame)
    recipes: list[LesionSpec] = []
    for _ in range(count):
        several = count > 1
        radius = float(np.clip(rng.lognormal(2.1 if several else 2.5, 0.38), 4.5, 25.0))
        meningioma = not several and rng.random() < 0.3
        if meningioma:
            shell = np.where(depth < 7.0, depth, np.float32(0.0))
            place = choose_place(rng, shell, 0.5, frame)
        else:
            place = choose_place(rng, depth, radius * 1.05 + 3.0, frame)
        if place is None:
            break
        radii = radius * rng.uniform(0.8, 1.2, 3)
        recipes.append(
            LesionSpec(
                type="meningioma" if meningioma else ("brain metastasis" if several else "glioma"),
                centre_ras_mm=place,
                radii_mm=(round(float(radii[0]), 2), round(float(radii[1]), 2), round(float(radii[2]), 2)),
                irregularity=round(float(rng.uniform(0.04, 0.12) * (1.0 if meningioma else 2.5)), 3),
                contrast=round(float(rng.uniform(0.25, 0.9)), 3),
            )
        )
        gap = (x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2
        depth = np.where(gap < (radius + 14.0) ** 2, np.float32(0.0), depth)
    return recipes


def _push(coordinates_mm: Coordinates, recipes: list[LesionSpec], strength: float) -> Coordinates:
    """Return coordinates bent by the mass effect: the tissue round a tumour is pushed away from it."""
    x, y, z = coordinates_mm
    for spec in recipes:
        cx, cy, cz = (np.float32(value) for value in spec.centre_ras_mm)
        reach = np.float32(2.6 * max(spec.radii_mm))
        distance = np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
        pull = np.float32(strength) * np.clip(1.0 - distance / reach, 0.0, 1.0) ** 2
        x, y, z = x - (x - cx) * pull, y - (y - cy) * pull, z - (z - cz) * pull
    return x, y, z


def _draw_tumour(
    rng: np.random.Generator,
    frame: Frame,
    image: Array,
    head: Head,
    spec: LesionSpec,
    body: LesionBody,
) -> None:
    radius = float(np.mean(spec.radii_mm))
    edge = head.edge_mm
    brain = coverage(head.brain_mm, edge)
    swelling = float(rng.uniform(0.0, 0.9)) * radius
    fingers = body.signed_mm - swelling - 0.35 * radius * frame.field(rng, max(radius * 0.8, 5.0))
    oedema = coverage(fingers, 0.5 * radius + 3.0) * head.white * brain
    paint(image, 0.66, 0.85 * oedema)
    solid = 0.95 + spec.contrast + 0.09 * frame.field(rng, max(radius * 0.35, 2.5))
    inside = coverage(body.signed_mm, edge * 1.2) * brain
    paint(image, solid, inside)
    necrotic = spec.type != "meningioma" and radius > 6.0 and rng.random() < 0.65
    if necrotic:
        wall = float(rng.uniform(2.2, 0.3 * radius + 2.4))
        rough = 0.22 * radius * frame.field(rng, max(radius * 0.5, 3.0))
        # Some enhancing wall stays all round.
        core = coverage(np.maximum(body.signed_mm + wall + rough, body.signed_mm + 1.6), edge * 1.5)
        paint(image, float(rng.uniform(0.35, 0.6)), core * inside)


def mr_brain(frame: Frame, seed: int, lesions: int) -> Scene:
    """Return a T1 scan after contrast with `lesions` tumours; the same head for any number of them."""
    anatomy, growth, scan = stream(seed, 21), stream(seed, 22), stream(seed, 23)
    recipes = _tumour_recipes(growth, frame, lesions)
    straight = frame.coordinates_mm()
    bent = _push(straight, recipes, float(growth.uniform(0.2, 0.5)))
    image = np.empty(frame.shape_ijk, dtype=np.float32)
    head = draw_head(anatomy, frame, T1_CONTRAST, image, bent)
    label = np.zeros(frame.shape_ijk, dtype=np.uint8)
    kept = []
    for spec in recipes:
        body = grow(growth, frame, straight, spec)
        mask = body.mask & (head.brain_mm < 0.5)
        if not mask.any():
            continue
        _draw_tumour(growth, frame, image, head, spec, body)
        kept.append(spec)
        label[mask] = len(kept)
    noise, bias = float(scan.uniform(0.012, 0.045)), float(scan.uniform(0.04, 0.14))
    voxels = mr_acquire(scan, frame, image, noise=noise, bias=bias, scale=float(scan.uniform(250, 700)))
    return Scene(
        voxels=voxels,
        label=label,
        lesions=tuple(kept),
        noise=round(noise, 4),
        bias=round(bias, 3),
        mimics=("choroid plexus", "venous sinus", "sulcal vessels"),
    )


def mr_flair(frame: Frame, seed: int, lesions: int) -> Scene:
    """Return a FLAIR scan; each of `lesions` stands for a small group of white matter lesions."""
    anatomy, growth, scan = stream(seed, 31), stream(seed, 32), stream(seed, 33)
    image = np.empty(frame.shape_ijk, dtype=np.float32)
    straight = frame.coordinates_mm()
    head = draw_head(anatomy, frame, FLAIR, image, straight)
    # Caps of the ventricles are a little bright in everyone.
    caps = coverage(head.ventricles_mm - 1.0, 2.5) * coverage(-head.ventricles_mm, head.edge_mm)
    image += np.float32(0.12) * caps * coverage(head.brain_mm + 15.0, 4.0)
    near = coverage(head.ventricles_mm - 14.0, 10.0)
    host = (head.white > 0.6) & (head.brain_mm < -8.0) & (head.ventricles_mm > 1.0) & (near > 0.1)
    label = np.zeros(frame.shape_ijk, dtype=np.uint8)
    kept: list[LesionSpec] = []
    for _ in range(lesions * 4 if lesions else 0):
        place = choose_place(growth, host.astype(np.float32), 0.5, frame)
        if place is None:
            break
        radius = float(np.clip(growth.lognormal(1.15, 0.4), 2.0, 9.0))
        radii = radius * growth.uniform(0.7, 1.35, 3)
        spec = LesionSpec(
            type="white matter lesion",
            centre_ras_mm=place,
            radii_mm=(round(float(radii[0]), 2), round(float(radii[1]), 2), round(float(radii[2]), 2)),
            irregularity=round(float(growth.uniform(0.1, 0.3)), 3),
            contrast=round(float(growth.uniform(0.45, 0.85)), 3),
        )
        body = grow(growth, frame, straight, spec)
        tissue = coverage(-head.ventricles_mm, head.edge_mm) * coverage(head.brain_mm + 4.0, 2.0)
        paint(image, 1.0 + spec.contrast, coverage(body.signed_mm, 1.6) * tissue)
        mask = body.mask & (head.ventricles_mm > 0.0) & (head.brain_mm < -4.0)
        if mask.any():
            kept.append(spec)
            label[mask] = len(kept)
    noise, bias = float(scan.uniform(0.015, 0.05)), float(scan.uniform(0.04, 0.14))
    voxels = mr_acquire(scan, frame, image, noise=noise, bias=bias, scale=float(scan.uniform(150, 500)))
    return Scene(
        voxels=voxels,
        label=label,
        lesions=tuple(kept),
        noise=round(noise, 4),
        bias=round(bias, 3),
        mimics=("grey matter folds", "ventricular caps", "choroid plexus"),
    )
