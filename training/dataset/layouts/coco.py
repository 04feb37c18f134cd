"""COCO annotations: polygons and run lengths (plain or packed) of flat pictures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.imaging import Volume, fill_polygon
from training.dataset.cases import Case, Mask, Outline, Parts, ReadParts, Unfit, inside
from training.dataset.layouts.files import patient_of, split_of
from training.dataset.left_out import LeftOut
from training.dataset.sources import Source, Value

_NEEDS = {
    "categories": "a category needs a number as id, and a name",
    "annotations": "an annotation needs an image_id",
    "images": "a picture needs an id and a file_name",
}
_DAMAGED = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)

Drawn = tuple[Mapping[int, str], Mapping[str, Any]]
"""The category names of a file, and one of its annotations."""
Entry = TypeVar("Entry")


@dataclass
class _Picture:
    """What all annotation files say of one picture."""

    groups: Mapping[str, str]
    drawn: list[Drawn] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def coco_cases(source: Source, root: Path) -> Iterator[Case | LeftOut]:
    """Yield a case for each picture of the files that `annotations` names (a pattern such as "*.json").

    The template `image` says where a picture lies: "{file_name}" without one. Whatever files and entries say of one
    picture is taken together. An entry that cannot be read is left out under its number.

    Raises:
        InputError: The annotations cannot be read.
    """
    pictures: dict[str, _Picture] = {}
    for path in sorted(root.glob(source.annotations or "*.json")):
        yield from _gather(source, root, path, pictures)
    for key, picture in pictures.items():
        yield _case(source, root, key, picture)


def _gather(source: Source, root: Path, path: Path, pictures: dict[str, _Picture]) -> list[LeftOut]:
    """Add what a file says to `pictures`, which are known by their place; return the entries that cannot be read."""
    content, file = _content(path), path.relative_to(root).as_posix()
    broken: list[LeftOut] = []
    names = dict(_readable(content, "categories", _category, file, broken))
    drawn: dict[int | str, list[Drawn]] = defaultdict(list)
    for picture_id, annotation in _readable(content, "annotations", _annotation, file, broken):
        drawn[picture_id].append((names, annotation))
    for picture_id, groups in _readable(content, "images", _image, file, broken):
        place = (source.image or "{file_name}").format_map(defaultdict(str, groups))
        picture = pictures.setdefault(PurePosixPath(place).as_posix(), _Picture(groups))
        picture.drawn += drawn[picture_id]
        picture.files.append(path)
    return broken


def _readable(
    content: Mapping[str, Any], kind: str, read: Callable[[Any], Entry], file: str, broken: list[LeftOut]
) -> Iterator[Entry]:
    for number, entry in enumerate(content[kind]):
        try:
            yield read(entry)
        except _DAMAGED:
            what = f"{file}#{kind}/{number}"
            broken.append(LeftOut(what=what, reason="unreadable entry", detail=_NEEDS[kind]))


def _category(entry: Any) -> tuple[int, str]:
    return int(entry["id"]), str(entry["name"]).lower()


def _annotation(entry: Any) -> tuple[int | str, Mapping[str, Any]]:
    return _picture_id(entry["image_id"]), entry


def _image(entry: Any) -> tuple[int | str, Mapping[str, str]]:
    groups = {key: str(value) for key, value in entry.items() if isinstance(value, str | int)}
    if not groups["file_name"]:
        raise ValueError
    return _picture_id(entry["id"]), groups


def _picture_id(value: Any) -> int | str:
    if not isinstance(value, int | str):
        raise TypeError
    return value


def _case(source: Source, root: Path, key: str, picture: _Picture) -> Case | LeftOut:
    try:
        if not picture.drawn and source.empty == "leave_out":
            raise Unfit("missing mask")
        files = tuple(dict.fromkeys(picture.files))
        outline = Outline(labels=source.labels, read=_reader(picture.drawn), files=files)
        return Case(
            key=key,
            image=inside(root, root / key),
            outlines=(outline,) if picture.drawn else (),
            patient=patient_of(source, key, picture.groups),
            groups=picture.groups,
            split=split_of(source, key),
        )
    except Unfit as error:
        return LeftOut(what=key, reason=error.why, detail=error.detail)


def _reader(drawn: Sequence[Drawn]) -> ReadParts:
    def read(volume: Volume) -> Parts:
        width, height, _ = volume.geometry.shape_ijk
        parts: dict[Value, Mask] = {}
        try:
            for names, annotation in drawn:
                name = names[int(annotation["category_id"])]
                plane = _plane(annotation["segmentation"], width, height)[:, :, np.newaxis]
                parts[name] = parts[name] | plane if name in parts else plane
        except _DAMAGED as error:
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
    # Before they are laid out: a damaged one may ask for more memory than there is.
    if min(runs, default=0) < 0:
        raise ValueError("a run length below zero")
    if sum(runs) != width * height:
        raise GeometryError(f"run lengths of {sum(runs)} pixels on a picture of {width * height}.")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height)


def _unpacked(packed: str) -> list[int]:
    """Return the run lengths of COCO's packed text: five bits a letter, from the third on as differences."""
    runs: list[int] = []
    at = 0
    while at < len(packed):
        value, shift, more = 0, 0, True
        while more:
            if shift > 60:
                raise ValueError("a run length that never ends")
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
