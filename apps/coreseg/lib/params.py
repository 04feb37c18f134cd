"""What a client may ask in `params`, checked before an image is opened."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from coreseg_core.errors import InputError
from coreseg_core.imaging import VolumeGeometry
from coreseg_core.prompts import clean_query
from coreseg_core.record import REASONING_MODES, Query, Scope

ScopeKind = Literal["slice", "range", "volume"]

SCOPE_KINDS: tuple[ScopeKind, ...] = ("slice", "range", "volume")
AXES = ("axial", "coronal", "sagittal", "i", "j", "k")
LABEL_EXTENSIONS = (".nii.gz", ".nrrd")

# MONAI Label writes params over the request it has built, so these would point it at other files or tasks.
RESERVED = frozenset({"model", "image", "image_id", "in_store", "label", "session", "description"})

# What stock 3D Slicer shows in its Options table: an empty text is a cell to type in, a list is a box to
# choose from whose first entry is the default.
OPTIONS: dict[str, Any] = {
    "query": "",
    "scope": list(SCOPE_KINDS),
    "slice": "",
    "axis": list(AXES),
    "reasoning": ["brief", "full", "none"],
}

_NUMBER = re.compile(r"\s*(-?\d{1,9})\s*")
_RANGE = re.compile(r"\s*(-?\d{1,9})\s*:\s*(-?\d{1,9})\s*")


@dataclass(frozen=True, kw_only=True)
class AskParams:
    """A checked request.

    Attributes:
        axis: An anatomical plane or an array axis, one of `AXES`.
        slices: `(start, stop)`, half-open, as asked for; None where the request names none.
        label_extension: How the answered label file is to end; None for what suits the image.
    """

    query: Query
    scope: ScopeKind
    axis: str
    slices: tuple[int, int] | None
    label_extension: str | None

    def scope_in(self, geometry: VolumeGeometry) -> Scope:
        """Return the slices to look at in an image of this geometry.

        Raises:
            InputError: The slices asked for are not in the image, or none are named where one must be.
        """
        axis = geometry.array_axis(self.axis)
        count = geometry.shape_ijk[axis]
        if self.scope == "volume":
            return Scope(axis, 0, count)
        if self.slices is None:
            if count == 1:
                return Scope(axis, 0, 1)
            raise InputError(
                f"No slice is named; along {self.axis} this image has slices 0 to {count - 1}.",
                remedy="Give `slice` as a number or as 'start:stop', or choose the scope 'volume'.",
            )
        start, stop = self.slices
        if not 0 <= start < stop <= count:
            asked = str(start) if stop == start + 1 else f"{start}:{stop}"
            raise InputError(
                f"Slice {asked} is not in the image; along {self.axis} it has slices 0 to {count - 1}.",
                remedy="Count slices from 0; a range is 'start:stop' with start < stop, stop not included.",
            )
        return Scope(axis, start, stop)


def read_params(text: str) -> dict[str, Any]:
    """Return the `params` field of a request as a dictionary.

    Raises:
        InputError: It is not a JSON object, or it names a key that only the server may set.
    """
    try:
        params = json.loads(text or "{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(
            "`params` is not JSON.", remedy='Send an object, for example {"query": "Is there a lesion?"}.'
        ) from error
    if not isinstance(params, dict):
        raise InputError(
            f"`params` is a JSON {type(params).__name__}, not an object.",
            remedy='Send an object, for example {"query": "Is there a lesion?"}.',
        )
    if taken := sorted(RESERVED & params.keys()):
        raise InputError(
            f"`params` may not set {', '.join(taken)}.",
            remedy="Name image, session and model in the address of the request.",
        )
    return params


def parse_ask(request: Mapping[str, Any]) -> AskParams:
    """Return the checked question of a MONAI Label request; what is not named takes its default.

    Raises:
        InputError: A value is of the wrong kind or not one of those allowed.
        LimitError: The question is too long.
    """
    text = request.get("query", "")
    if not isinstance(text, str):
        raise InputError("`query` is not a text.", remedy="Write the question as a JSON string.")
    reasoning = _choice(request, "reasoning", REASONING_MODES, "brief")
    scope = _choice(request, "scope", SCOPE_KINDS, "slice")
    slices = _slices(request.get("slice"))
    if scope == "slice" and slices is not None and slices[1] != slices[0] + 1:
        raise InputError(
            "`slice` names a range while `scope` is 'slice'.",
            remedy="Choose the scope 'range', or give one number.",
        )
    return AskParams(
        query=Query(clean_query(text), reasoning),  # type: ignore[arg-type]
        scope=scope,  # type: ignore[arg-type]
        axis=_choice(request, "axis", AXES, AXES[0]),
        slices=slices,
        label_extension=_choice(request, "result_extension", LABEL_EXTENSIONS, "") or None,
    )


def _choice(request: Mapping[str, Any], key: str, allowed: tuple[str, ...], default: str) -> str:
    value = request.get(key)
    if value is None or value == "":
        return default
    if value not in allowed:
        raise InputError(
            f"`{key}` is {_shown(value)}; it may be {', '.join(allowed)}.",
            remedy="Choose one of them, or leave it out.",
        )
    return str(value)


def _slices(value: Any) -> tuple[int, int] | None:
    """Return `(start, stop)` of a number, a text 'K' or 'A:B', or a list [A, B]."""
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value + 1
    if isinstance(value, str):
        if match := _NUMBER.fullmatch(value):
            return int(match[1]), int(match[1]) + 1
        if match := _RANGE.fullmatch(value):
            return int(match[1]), int(match[2])
    if isinstance(value, list) and len(value) == 2 and all(type(number) is int for number in value):
        return value[0], value[1]
    raise InputError(
        f"`slice` is {_shown(value)}; it must be a slice number or a range 'start:stop'.",
        remedy="Count slices from 0, for example 40 or '30:50'.",
    )


def _shown(value: Any) -> str:
    return repr(value)[:40]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
