"""What a source of pictures is: its layout, and what its labels mean. One small YAML each.

The descriptions of the 24 public data sets that ComLesion-14K names ship in `training/dataset/sources`; a hospital
writes one for its own data in the same form. See docs/dataset.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import jsonschema
import yaml

from coreseg_core.errors import InputError
from training.settings import read_values

SCHEMA = "coreseg.source/1"
Layout = Literal["folders", "decathlon", "bids", "dicom", "coco", "manifest"]
Value = int | str | tuple[int, int, int]
ANY = "any"


@dataclass(frozen=True, kw_only=True)
class Label:
    """What one label of the masks stands for.

    Attributes:
        value: A number of the label map, a colour [r, g, b], the name of a DICOM segment, contour or COCO category
            (upper and lower case alike), or "any" for everything that is not zero.
        target: What a question asks for.
        disease: The finer word; the target where not given. `{name}` takes a named group of the image's path.
        mask: Where this label has mask files of its own.
    """

    value: Value
    target: str
    disease: str = ""
    mask: str | None = None


@dataclass(frozen=True, kw_only=True)
class SliceChoice:
    """Which slices of a volume are shown.

    Attributes:
        axis: "axial", "coronal", "sagittal" or an array axis "i", "j", "k".
        per_volume: Slices with a lesion, for each target: the one that shows most of it, others spread evenly.
        negatives: Lesion-free slices of each volume that has any.
        gap: How many slices a lesion-free slice stays away from the nearest lesion.
        min_px: Fewer pixels of a target are no outline worth showing; a slice that a manifest names shows all.
    """

    axis: str = "axial"
    per_volume: int = 8
    negatives: int = 2
    gap: int = 2
    min_px: int = 16


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source of pictures, as its YAML says; fields as in the table of docs/dataset.md."""

    name: str
    title: str
    layout: Layout
    cite: str = ""
    licence: str = "see licence"
    redistributable: str = "see licence"
    weights: Literal["yes", "no"] = "no"
    domain: Literal["id", "ood"] = "id"
    modality: str = ""
    anatomy: str = ""
    image: str = ""
    mask: str = ""
    patient: str = ""
    patients_as_in: str = ""
    split: str = ""
    splits: Mapping[str, str] = field(default_factory=dict)
    channel: str = "0000"
    annotations: str = ""
    labels: tuple[Label, ...] = ()
    ignore: tuple[Value, ...] = ()
    threshold: int | None = None
    empty: Literal["lesion_free", "leave_out"] = "leave_out"
    slices: SliceChoice = SliceChoice()
    tried: str = "no"
    note: str = ""

    @property
    def patient_namespace(self) -> str:
        """Sources of one namespace share their patients' names."""
        return self.patients_as_in or self.name

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything the description says."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def read_source(path: Path) -> Source:
    """Return the description in a YAML file.

    Raises:
        InputError: It cannot be read, breaks the schema, or holds a pattern that is none.
    """
    return _source(read_values(path, examples="training/dataset/sources"))


def shipped_sources() -> dict[str, Source]:
    """Return the descriptions that come with the project, by name."""
    files = resources.files("training.dataset").joinpath("sources")
    found = [
        _source(yaml.safe_load(file.read_text(encoding="utf-8")))
        for file in files.iterdir()
        if file.name.endswith(".yaml")
    ]
    return {source.name: source for source in sorted(found, key=lambda source: source.name)}


def find_source(name_or_path: str) -> Source:
    """Return a description that ships, by its name, or the one in a YAML file.

    Raises:
        InputError: Neither.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        return read_source(Path(name_or_path))
    shipped = shipped_sources()
    if name_or_path not in shipped:
        raise InputError(
            f"No source is called {name_or_path[:40]!r}.",
            remedy=f"Give a YAML file, or one of {', '.join(shipped)}.",
        )
    return shipped[name_or_path]


def _source(values: Any) -> Source:
    error = next(iter(jsonschema.Draft7Validator(_schema()).iter_errors(values)), None)
    if error is not None:
        where = ".".join(str(part) for part in error.absolute_path) or "the file"
        raise InputError(
            f"The description of a source is wrong at {where}: {error.message[:200]}",
            remedy="See docs/dataset.md for its fields.",
        )
    known = {key: value for key, value in values.items() if key != "schema"}
    known["labels"] = tuple(_label(entry) for entry in values.get("labels", ()))
    known["ignore"] = tuple(_value(value) for value in values.get("ignore", ()))
    known["slices"] = SliceChoice(**values.get("slices", {}))
    source = Source(**known)
    _require_patterns(source)
    return source


def _label(entry: Mapping[str, Any]) -> Label:
    return Label(**{**entry, "value": _value(entry["value"])})


def _value(value: Any) -> Value:
    if isinstance(value, list):
        return value[0], value[1], value[2]
    return value.lower() if isinstance(value, str) else int(value)


def _require_patterns(source: Source) -> None:
    for pattern in (source.image, *source.splits.values()):
        try:
            re.compile(pattern)
        except re.error as error:
            raise InputError(
                f"The source {source.name!r} has a pattern that cannot be read ({error}).",
                remedy="`image` and `splits` are regular expressions as Python reads them.",
            ) from error
    if source.layout in ("folders", "bids") and not source.image:
        raise InputError(f"The source {source.name!r} has no pattern `image`.", remedy="Add one.")
    if source.layout != "manifest" and not (source.labels and source.modality and source.anatomy):
        raise InputError(
            f"The source {source.name!r} lacks labels, modality or anatomy.",
            remedy="Say what its masks show.",
        )


@cache
def _schema() -> Mapping[str, Any]:
    text = resources.files("training.dataset").joinpath("source.schema.json").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded
