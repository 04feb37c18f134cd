"""What the reasoning claims about a lesion: measured from mask and picture, read back from text, compared.

The same phrases serve for writing (training captions) and for reading, so that every claim the model was
taught to make can be checked against the mask afterwards. Sides and places are those OF THE PICTURE: the
model does not know the patient's left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coreseg_core.record import Box, Claim, Verdict

MAX_BOXES = 8
MIN_COMPONENT_PX = 10
MIN_COMPONENT_FRACTION = 1e-4
WORKING_LONG_SIDE_PX = 256
"""Contrast is measured on a picture sampled down to this long side."""
OUTLINE_LONG_SIDE_PX = 64
"""The outline is judged on the largest lesion scaled to this long side."""
MIN_OUTLINE_PX = 40
"""Below this many pixels a component has no outline worth judging."""

SMALL_BELOW, LARGE_FROM = 0.03, 0.12
"""Area of the largest lesion as a fraction of the picture: small < 0.03 <= medium < 0.12 <= large."""
GRID = (0.4, 0.6)
"""Where the 3 x 3 grid divides rows and columns: a narrow middle, as readers speak. Side means column."""
CONTRAST_EFFECT = 0.5
"""Robust effect size (difference of medians over pooled spread) from which a lesion is darker or brighter."""
SMOOTH_SOLIDITY = 0.93
"""Area over convex hull from which an outline is smooth."""

POSITION_MARGIN, SIZE_MARGIN, EFFECT_MARGIN, SOLIDITY_MARGIN = 0.05, 0.15, 0.2, 0.02
"""How near a threshold (size: relative) a measurement may lie for both words to count as right."""

_Phrases = Mapping[str, tuple[str, ...]]
NUMBER: _Phrases = {
    "one": ("one", "a single"),
    "two": ("two", "a pair of"),
    "several": ("several", "multiple"),
}
SIZE: _Phrases = {
    "small": ("small", "little"),
    "medium": ("medium-sized", "mid-sized"),
    "large": ("large", "big"),
}
CONTRAST: _Phrases = {
    "darker": ("darker than the surroundings", "dark against the surroundings", "dark"),
    "brighter": ("brighter than the surroundings", "bright against the surroundings", "bright"),
    "similar": ("about as bright as the surroundings", "similar in brightness to the surroundings"),
}
OUTLINE: _Phrases = {
    "smooth": ("a smooth outline", "smooth margins", "an even border"),
    "irregular": ("an irregular outline", "irregular margins", "an uneven border"),
}
PLACE: _Phrases = {
    f"{row} {column}": (f"{row} {column}", f"{other} {column}")
    for row, other in (("upper", "top"), ("lower", "bottom"))
    for column in ("left", "centre", "right")
} | {
    "middle left": ("middle left", "left middle"),
    "centre": ("centre", "middle"),
    "middle right": ("middle right", "right middle"),
}
SIDE: _Phrases = {"left": ("left side", "left half"), "right": ("right side", "right half")}
KINDS = ("number", "side", "place", "size", "contrast", "outline")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is measured of the lesions of one picture.

    Attributes:
        number: "one", "two" or "several" lesions (components as in `boxes`, without a ceiling).
        side: Column of the largest lesion's centroid: "left", "centre" or "right" of the picture.
        place: Its cell of the 3 x 3 grid, "upper left" to "lower right".
        size: "small", "medium" or "large", by the largest lesion's share of the picture.
        contrast: "darker", "brighter" or "similar" to a ring around the lesions; None without a ring.
        outline: "smooth" or "irregular", by solidity of the largest lesion; None when it is too small.
        area_fraction, centre_xy, effect, solidity: The measurements behind the words (centre in 0..1).
    """

    number: str
    side: str
    place: str
    size: str
    contrast: str | None
    outline: str | None
    area_fraction: float
    centre_xy: tuple[float, float]
    effect: float | None
    solidity: float | None


def boxes(
    mask: NDArray[Any], *, max_boxes: int = MAX_BOXES, min_px: int = MIN_COMPONENT_PX
) -> tuple[Box, ...]:
    """Return half-open `[x0, y0, x1, y1)` boxes of the components of `mask` (h, w), largest first.

    Components under `min_px` pixels or 0.01 % of the picture are dropped, unless nothing else is there: then
    the largest one stays.
    """
    found = _components(np.asarray(mask, dtype=bool), min_px=min_px)[1]
    return tuple(
        (part.window[1].start, part.window[0].start, part.window[1].stop, part.window[0].stop)
        for part in found[:max_boxes]
    )


def measure(mask: NDArray[Any], grey: NDArray[Any]) -> Facts | None:
    """Return the facts of the lesions, or None when the mask is empty.

    Args:
        mask: (h, w), true on lesions.
        grey: (h, w) or (h, w, 3) picture as it is shown, any scale.
    """
    lesions = np.asarray(mask, dtype=bool)
    labels, found = _components(lesions, min_px=MIN_COMPONENT_PX)
    if not found:
        return None
    largest = found[0]
    shape = labels[largest.window] == largest.label
    rows, columns = np.nonzero(shape)
    height, width = lesions.shape
    centre_x = (largest.window[1].start + float(columns.mean()) + 0.5) / width
    centre_y = (largest.window[0].start + float(rows.mean()) + 0.5) / height
    area_fraction = largest.area_px / lesions.size
    effect = _effect(lesions, np.asarray(grey))
    solidity = _solidity(shape) if largest.area_px >= MIN_OUTLINE_PX else None
    return Facts(
        number=("one", "two", "several")[min(len(found), 3) - 1],
        side=_side(centre_x),
        place=_place(centre_x, centre_y),
        size=_size(area_fraction),
        contrast=None if effect is None else _contrast(effect),
        outline=None if solidity is None else _outline(solidity),
        area_fraction=area_fraction,
        centre_xy=(centre_x, centre_y),
        effect=effect,
        solidity=solidity,
    )


def read_claims(reasoning: str) -> tuple[Claim, ...]:
    """Return the statements about number, side, place, size, contrast and outline found in any text.

    A place also says a side. Text that is none of our phrases is passed over; of several statements of one
    kind the first counts.
    """
    claims: dict[str, Claim] = {}
    for kind, pattern, values in _READERS:
        found = pattern.search(reasoning)
        if found is not None:
            value = values[" ".join(found.group(1).lower().split())]
            claims.setdefault(kind, Claim(text=found.group(0), kind=kind, value=value))
    place = claims.get("place")
    if place is not None and "side" not in claims:
        claims["side"] = replace(place, kind="side", value=place.value.split()[-1])
    return tuple(claims[kind] for kind in KINDS if kind in claims)


def check_claims(claims: Iterable[Claim], facts: Facts | None) -> tuple[Claim, ...]:
    """Return the claims with their verdict against what was measured; without facts all stay unchecked."""
    return tuple(replace(claim, verdict=_verdict(claim, facts)) for claim in claims)


def _verdict(claim: Claim, facts: Facts | None) -> Verdict:
    if facts is None or claim.kind not in KINDS:
        return "unchecked"
    right = _right_values(claim.kind, facts)
    if not right:
        return "unchecked"
    return "supported" if claim.value in right else "contradicted"


def _right_values(kind: str, facts: Facts) -> set[str]:
    """Return the words that fit the measurement: one, more near a threshold, none if not measured."""
    x, y = facts.centre_xy
    near = (-POSITION_MARGIN, 0.0, POSITION_MARGIN)
    if kind == "side":
        return {_side(x + dx) for dx in near}
    if kind == "place":
        return {_place(x + dx, y + dy) for dx in near for dy in near}
    if kind == "size":
        return {_size(facts.area_fraction * (1 + margin)) for margin in (-SIZE_MARGIN, 0.0, SIZE_MARGIN)}
    if kind == "contrast" and facts.effect is not None:
        return {_contrast(facts.effect + margin) for margin in (-EFFECT_MARGIN, 0.0, EFFECT_MARGIN)}
    if kind == "outline" and facts.solidity is not None:
        return {_outline(facts.solidity + margin) for margin in (-SOLIDITY_MARGIN, 0.0, SOLIDITY_MARGIN)}
    return {facts.number} if kind == "number" else set()


def _reader(phrases: _Phrases, tail: str = "") -> tuple[re.Pattern[str], dict[str, str]]:
    """Return the pattern that finds any phrase (longest first) and the value each phrase stands for."""
    values = {phrase: value for value, wordings in phrases.items() for phrase in wordings}
    longest_first = sorted(values, key=len, reverse=True)
    alternatives = "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in longest_first)
    return re.compile(rf"\b({alternatives})\b{tail}", re.IGNORECASE), values


_OF_THE_PICTURE = r"(?:\s+part|\s+third)?\s+of\s+the\s+(?:picture|image)\b"
_READERS = tuple(
    (kind, *_reader(phrases, tail))
    for kind, phrases, tail in (
        ("number", NUMBER, r"(?!\s+of\b)"),
        ("size", SIZE, ""),
        ("contrast", CONTRAST, ""),
        ("outline", OUTLINE, ""),
        ("place", PLACE, _OF_THE_PICTURE),
        ("side", SIDE, _OF_THE_PICTURE),
    )
)


@dataclass(frozen=True, kw_only=True)
class _Component:
    label: int
    window: tuple[slice, slice]
    area_px: int


def _components(mask: NDArray[np.bool_], *, min_px: int) -> tuple[NDArray[np.int32], list[_Component]]:
    """Return 8-connected labels and the components worth naming, largest first."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return labels, []
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    windows = ndimage.find_objects(labels)
    floor = max(min_px, MIN_COMPONENT_FRACTION * mask.size)
    order = np.argsort(-areas, kind="stable").tolist()
    kept = [k for k in order if areas[k] >= floor] or order[:1]
    found = [_Component(label=k + 1, window=windows[k], area_px=int(areas[k])) for k in kept]
    return labels, found


def _side(x: float) -> str:
    return "left" if x < GRID[0] else "right" if x >= GRID[1] else "centre"


def _place(x: float, y: float) -> str:
    row = "upper" if y < GRID[0] else "lower" if y >= GRID[1] else "middle"
    column = _side(x)
    return "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"


def _size(area_fraction: float) -> str:
    return "small" if area_fraction < SMALL_BELOW else "large" if area_fraction >= LARGE_FROM else "medium"


def _contrast(effect: float) -> str:
    return "darker" if effect <= -CONTRAST_EFFECT else "brighter" if effect >= CONTRAST_EFFECT else "similar"


def _outline(solidity: float) -> str:
    return "smooth" if solidity >= SMOOTH_SOLIDITY else "irregular"


def _effect(mask: NDArray[np.bool_], grey: NDArray[Any]) -> float | None:
    """Return (median inside - median of a ring) over their pooled robust spread, on the working picture."""
    step = max(1, -(-max(mask.shape) // WORKING_LONG_SIDE_PX))
    small_mask = mask[::step, ::step]
    values = grey[::step, ::step].astype(np.float32)
    values = values.mean(axis=-1) if values.ndim == 3 else values
    if not small_mask.any():
        return None
    near, far = _distances(small_mask.sum())
    outside = ndimage.distance_transform_edt(~small_mask)
    inside_values, ring_values = values[small_mask], values[(outside > near) & (outside <= far)]
    if ring_values.size < MIN_COMPONENT_PX:
        return None
    inside, ring = float(np.median(inside_values)), float(np.median(ring_values))
    spread = 0.5 * (_spread(inside_values, inside) + _spread(ring_values, ring))
    floor = 0.01 * float(np.ptp(values)) + 1e-6
    return (inside - ring) / max(spread, floor)


def _distances(area_px: float) -> tuple[float, float]:
    """Return where the ring begins and ends, in pixels from the lesion: about half a radius wide."""
    radius = float(np.sqrt(area_px / np.pi))
    return 1.0, 2.0 + max(3.0, 0.5 * radius)


def _spread(values: NDArray[np.float32], centre: float) -> float:
    return 1.4826 * float(np.median(np.abs(values - centre)))


def _solidity(shape: NDArray[np.bool_]) -> float:
    """Return area over convex hull of one component, sampled so that its long side has a fixed length."""
    scale = OUTLINE_LONG_SIDE_PX / max(shape.shape)
    padded = np.pad(ndimage.binary_fill_holes(shape), 1).astype(np.float32)
    sampled = ndimage.zoom(padded, scale, order=1, prefilter=False, grid_mode=True, mode="grid-constant")
    ys, xs = np.nonzero(sampled >= 0.5)
    if ys.size == 0:
        return 1.0
    corners = _row_corners(ys, xs)
    hull_area = _hull_area(corners)
    return min(1.0, ys.size / hull_area) if hull_area > 0 else 1.0


def _row_corners(ys: NDArray[np.intp], xs: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return the corners (x, y) of the outermost pixels of every row: enough for the convex hull."""
    corners: set[tuple[int, int]] = set()
    for y in np.unique(ys).tolist():
        row = xs[ys == y]
        left, right = int(row.min()), int(row.max()) + 1
        corners.update({(left, y), (left, y + 1), (right, y), (right, y + 1)})
    return sorted(corners)


def _hull_area(points: list[tuple[int, int]]) -> float:
    """Return the area of the convex hull of sorted points (monotone chain, shoelace)."""

    def chain(ordered: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        kept: list[tuple[int, int]] = []
        for x, y in ordered:
            while len(kept) >= 2:
                (ax, ay), (bx, by) = kept[-2], kept[-1]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                kept.pop()
            kept.append((x, y))
        return kept[:-1]

    hull = chain(points) + chain(reversed(points))
    twice = sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(hull, hull[1:] + hull[:1], strict=True))
    return abs(twice) / 2
