"""A case: one image of a source with what is outlined in it, before any pixel is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import GeometryError, InputError
from coreseg_core.evaluation.rows import SliceRef
from coreseg_core.imaging import Volume, read_label, read_volume
from training.dataset.left_out import Reason
from training.dataset.sources import ANY, Label, Source, Value

Mask = NDArray[np.bool_]
Parts = Mapping[Value, Mask]
"""Masks (i, j, k) by the number, colour or name that their file gives them; what is empty may be left out."""
ReadParts = Callable[[Volume], Parts]


class Unfit(InputError):
    """A case, or one picture of it, that cannot be taken.

    Args:
        why: Which kind of fault.
        detail: More about it, without file names.
    """

    code = "unfit"

    def __init__(self, why: Reason, detail: str = "") -> None:
        super().__init__(f"{why}. {detail}".strip())
        self.why = why
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Outline:
    """How the masks of some labels are read."""

    labels: tuple[Label, ...]
    read: ReadParts
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image of a source.

    Attributes:
        key: Its place relative to the source's root; tells it apart from all others of the source.
        image: The file, or the folder of a DICOM series.
        outlines: Where its masks come from; none for an image without any lesion.
        patient: As the source names it.
        groups: Named parts of the path, for the words of labels.
        series_uid: Which series of a DICOM folder.
        split: Where the source itself says to which part the image belongs.
        slice: The only slice to show; chosen by the source's rules where None.
        facts: Fields of the row that differ from what the source says of all its images.
        lesion_free: Whether the source says of this very image that nothing is to be outlined.
    """

    key: str
    image: Path
    outlines: tuple[Outline, ...]
    patient: str
    groups: Mapping[str, str] = field(default_factory=dict)
    series_uid: str | None = None
    split: str | None = None
    slice: SliceRef | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    lesion_free: bool = False


def inside(root: Path, path: Path) -> Path:
    """Return the path, which links and all must lie in `root`.

    Raises:
        Unfit: It does not, or cannot be followed.
    """
    try:
        if path.resolve().is_relative_to(root.resolve()):
            return path
    except (OSError, RuntimeError, ValueError) as error:
        raise Unfit("file outside the root", "the path cannot be followed") from error
    raise Unfit("file outside the root")


def label_maps(files: tuple[Path, ...], *, threshold: int | None) -> ReadParts:
    """Return how to read label maps that lie in files of their own; of several, the parts are joined.

    Args:
        threshold: Grey values from which on a pixel counts as 1, for masks with blurred edges.
    """

    def read(volume: Volume) -> Parts:
        joined: dict[Value, Mask] = {}
        for file in files:
            values = _values(file, volume)
            if threshold is not None:
                values = (values >= threshold).astype(np.int32)
            for number in np.unique(values).tolist():
                if number:
                    part = values == number
                    joined[number] = joined[number] | part if number in joined else part
        return joined

    return read


def colour_number(rgb: tuple[int, int, int]) -> int:
    """Return a colour as the number that stands for it among the values of a coloured mask."""
    return (rgb[0] << 16) | (rgb[1] << 8) | rgb[2]


def labelled(parts: Parts, labels: tuple[Label, ...], ignored: tuple[Value, ...]) -> dict[Label, Mask]:
    """Return the mask of each label that occurs.

    Raises:
        Unfit: A part is neither a label nor to be ignored.
    """
    found: dict[Label, Mask] = {}
    wanted = {_comparable(label.value): label for label in labels}
    passed_over = {_comparable(value) for value in ignored}
    strange: list[Value] = []
    for value, mask in parts.items():
        label = wanted.get(_comparable(value), wanted.get(ANY))
        if _comparable(value) in passed_over or not mask.any():
            continue
        if label is None:
            strange.append(value)
        else:
            found[label] = found[label] | mask if label in found else mask
    if strange:
        shown = [value for value in strange if isinstance(value, int)]
        detail = f"{len(strange)} values that the description does not know"
        raise Unfit("surprising label values", f"{detail}: {sorted(shown)[:8]}" if shown else detail)
    return found


def label_row_words(label: Label, groups: Mapping[str, str]) -> tuple[str, str]:
    """Return (target, disease) of a label for an image with these parts in its path.

    Raises:
        InputError: The words ask for a part that the path does not name.
    """
    try:
        target = label.target.format(**groups)
        return target, label.disease.format(**groups) or target
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            "The words of a label ask for a part of the path that the pattern `image` does not name.",
            remedy="Name it there with (?P<name>...).",
        ) from error


def source_facts(source: Source) -> dict[str, Any]:
    """Return the fields of rows that are the same for all images of a source."""
    return {
        "subset": source.name,
        "modality": source.modality,
        "anatomy": source.anatomy,
        "source": source.title,
        "cite": source.cite or None,
        "licence": source.licence,
        "redistributable": source.redistributable,
        "weights": source.weights,
        "domain": source.domain,
    }


def _comparable(value: Value) -> Value:
    if isinstance(value, tuple):
        return colour_number(value)
    return value.lower() if isinstance(value, str) else value


def _values(file: Path, volume: Volume) -> NDArray[Any]:
    """Return whole numbers (i, j, k); a colour is one number."""
    if volume.geometry.located:
        return read_label(file, volume.geometry).astype(np.int32)
    flat = read_volume(file)
    if flat.geometry.shape_ijk != volume.geometry.shape_ijk:
        raise GeometryError(
            f"a mask of {flat.geometry.shape_ijk} pixels on an image of {volume.geometry.shape_ijk}."
        )
    voxels = flat.voxels
    if not flat.colour:
        return voxels.astype(np.int32)
    red, green, blue = (voxels[..., channel].astype(np.int32) for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    return (red << 16) | (green << 8) | blue
