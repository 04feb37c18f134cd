"""COCO annotations: polygons and run lengths (plain or packed) of flat pictures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.imaging import Volume, fill_polygon
from training.dataset.cases import Case, Mask, Outline, Parts, ReadParts, Unfit, inside
from training.dataset.layouts.files import patient_of, split_of
from training.dataset.left_out import LeftOut
from training.dataset.sources import Source, Value


def coco_cases(source: Source, root: Path) -> Iterator[Case | LeftOut]:
    """Yield a case for each picture of the files that `annotations` names (a pattern such as "*.json").

    The template `image` says where a picture lies: "{file_name}" without one.

    Raises:
        InputError: The annotations cannot be read.
    """
    for path in sorted(root.glob(source.annotations or "*.json")):
        content = _content(path)
        names = {int(item["id"]): str(item["name"]) for item in content["categories"]}
        drawn: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for annotation in content["annotations"]:
            drawn[annotation.get("image_id")].append(annotation)
        for entry in content["images"]:
            yield _case(source, root, path, entry, drawn[entry.get("id")], names)


def _case(
    source: Source,
    root: Path,
    annotations: Path,
    entry: Mapping[str, Any],
    drawn: Sequence[Mapping[str, Any]],
    names: Mapping[int, str],
) -> Case | LeftOut:
    groups = {key: str(value) for key, value in entry.items() if isinstance(value, str | int)}
    key = (source.image or "{file_name}").format_map(defaultdict(str, groups))
    try:
        if not groups.get("file_name"):
            raise Unfit("unreadable entry", "a picture without a file name")
        if not drawn and source.empty == "leave_out":
            raise Unfit("missing mask")
        image = inside(root, root / key)
        outline = Outline(labels=source.labels, read=_reader(drawn, names), files=(annotations,))
        return Case(
            key=key,
            image=image,
            outlines=(outline,) if drawn else (),
            patient=patient_of(source, key, groups),
            groups=groups,
            split=split_of(source, key),
        )
    except Unfit as error:
        return LeftOut(what=key, reason=error.why, detail=error.detail)


def _reader(drawn: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> ReadParts:
    def read(volume: Volume) -> Parts:
        width, height, _ = volume.geometry.shape_ijk
        parts: dict[Value, Mask] = {}
        try:
            for annotation in drawn:
                name = names[int(annotation["category_id"])].lower()
                plane = _plane(annotation["segmentation"], width, height)[:, :, np.newaxis]
                parts[name] = parts[name] | plane if name in parts else plane
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError("an annotation is damaged.", remedy="Export the annotations again.") from error
        return parts

    return read


def _plane(segmentation: Any, width: int, height: int) -> Mask:
    """Return what is outlined as (width, height)."""
    if isinstance(segmentation, list):
        plane = np.zeros((width, height), dtype=bool)
        for polygon in segmentation:
            # COCO counts from the pixel's corner, we from its centre.
            corners: NDArray[np.float64] = np.asarray(polygon, dtype=float).reshape(-1, 2) - 0.5
            plane |= fill_polygon(corners, (width, height))
        return plane
    if list(segmentation["size"]) != [height, width]:
        raise GeometryError(
            f"run lengths of {list(segmentation['size'])} pixels on a picture of {[height, width]}."
        )
    counts = segmentation["counts"]
    runs = counts if isinstance(counts, list) else _unpacked(str(counts))
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    if values.size != width * height:
        raise GeometryError(f"run lengths of {values.size} pixels on a picture of {width * height}.")
    return values.reshape(width, height)


def _unpacked(packed: str) -> list[int]:
    """Return the run lengths of COCO's packed text: five bits a letter, from the third on as differences."""
    runs: list[int] = []
    at = 0
    while at < len(packed):
        value, shift, more = 0, 0, True
        while more:
            letter = ord(packed[at]) - 48
            value |= (letter & 0x1F) << shift
            more = bool(letter & 0x20)
            at, shift = at + 1, shift + 5
        if letter & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(content[key], list) for key in ("images", "annotations", "categories")):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            "A COCO annotation file cannot be read.",
            remedy="It must be JSON with images, annotations, categories.",
        ) from error
    return dict(content)
