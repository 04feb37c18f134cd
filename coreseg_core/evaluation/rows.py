"""One line of a manifest as a value: the fields of the JSON Schema under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from coreseg_core.record import Box

Kind = Literal["present", "lesion_free", "wrong_disease", "wrong_organ", "wrong_modality", "untrained"]
Wording = Literal["template", "generated", "handwritten", "reader"]

_AXES = "ijk"
_KEPT_OUT_OF_THE_FILE = ("folder",)


@dataclass(frozen=True)
class SliceRef:
    """One slice of a volume: array axis 0, 1 or 2 (i, j or k) and its index."""

    axis: int
    index: int


@dataclass(frozen=True)
class Probe:
    """What an evaluation question tests and who worded it."""

    kind: Kind
    wording: Wording


@dataclass(frozen=True, kw_only=True)
class Row:
    """One picture or slice with its target; fields as in the JSON Schema.

    Attributes:
        folder: Folder that `image` and `mask` are relative to; not written to the file.
        target: What the mask outlines, or would outline on a lesion-free picture.
        disease: The finer word, "none" on a lesion-free picture.
        pixel_mm: Size of a pixel, one number for square ones or (row, column).
    """

    id: str
    image: str
    split: str
    subset: str
    modality: str
    anatomy: str
    disease: str
    target: str
    folder: Path = field(default=Path(), compare=False)
    mask: str | None = None
    slice: SliceRef | None = None
    patient: str | None = None
    width: int | None = None
    height: int | None = None
    channels: int | None = None
    area_frac: float | None = None
    n_components: int | None = None
    boxes_xyxy: tuple[Box, ...] | None = None
    pixel_mm: float | tuple[float, float] | None = None
    source: str | None = None
    cite: str | None = None
    licence: str | None = None
    redistributable: str | None = None
    weights: str | None = None
    sha256: str | None = None
    query: str | None = None
    reasoning: str | None = None
    answer: str | None = None
    probe: Probe | None = None
    weight: float = 1.0
    origin: Literal["public", "correction", "replay"] = "public"
    domain: Literal["id", "ood"] = "id"

    @property
    def lesion_free(self) -> bool:
        """True when nothing is outlined in this picture."""
        return self.disease == "none" or self.mask is None or self.area_frac == 0

    @property
    def picture(self) -> tuple[str, SliceRef | None]:
        """What is shown: rows with equal pictures can be answered from one encoding."""
        return self.image, self.slice

    @property
    def patient_key(self) -> str:
        """The patient, or the picture itself where no patient is known."""
        return self.patient if self.patient is not None else f"{self.subset}/{self.image}"

    @property
    def image_path(self) -> Path:
        """Full path of the picture."""
        return self.folder / self.image

    @property
    def mask_path(self) -> Path | None:
        """Full path of the mask, None where there is none."""
        return None if self.mask is None else self.folder / self.mask

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values, fields at their default left out."""
        values: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in _KEPT_OUT_OF_THE_FILE or value == item.default:
                continue
            if isinstance(value, SliceRef):
                value = {"axis": _AXES[value.axis], "index": value.index}
            elif isinstance(value, Probe):
                value = {"kind": value.kind, "wording": value.wording}
            values[item.name] = value
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, folder: Path) -> Row:
        """Return the row of JSON values that fit the schema; null counts as absent."""
        known = {key: value for key, value in values.items() if value is not None and key != "schema"}
        if "slice" in known:
            axis, index = known["slice"]["axis"], known["slice"]["index"]
            known["slice"] = SliceRef(axis if isinstance(axis, int) else _AXES.index(axis), index)
        if "probe" in known:
            known["probe"] = Probe(**known["probe"])
        if "boxes_xyxy" in known:
            known["boxes_xyxy"] = tuple(tuple(box) for box in known["boxes_xyxy"])
        if isinstance(known.get("pixel_mm"), list):
            known["pixel_mm"] = tuple(known["pixel_mm"])
        return cls(folder=folder, **known)
