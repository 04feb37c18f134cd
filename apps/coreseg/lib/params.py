"""What a client may ask in `params`, checked before an image is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from coreseg_core.errors import InputError
from coreseg_core.imaging import VolumeGeometry
from coreseg_core.prompts import clean_query
from coreseg_core.record import REASONING_MODES, Query, Scope
from lib.marks import Marks, read_marks
from lib.names import label_tag
from lib.records_layout import TAG_PREFIX
from lib.strict_json import read_object

ScopeKind = Literal["slice", "range", "volume"]

SCOPE_KINDS: tuple[ScopeKind, ...] = ("slice", "range", "volume")
AXES = ("axial", "coronal", "sagittal", "i", "j", "k")
LABEL_EXTENSIONS = (".nii.gz", ".nrrd")

# MONAI Label writes params over the request it has built, so these would point it at other files or tasks.
RESERVED = frozenset(
    {"model", "image", "image_id", "in_store", "label", "session", "description", "journals"}
)
CLICK_MODEL = "coreseg_click"
CLICK_QUESTION = "Is there a lesion here?"
"""Asked where a reader clicks without words."""

# What stock 3D Slicer shows in its Options table: an empty text is a cell to type in, a list is a box to
# choose from whose first entry is the default.
OPTIONS: dict[str, Any] = {
    "query": "",
    "scope": list(SCOPE_KINDS),
    "slice": "",
    "axis": list(AXES),
    "reasoning": ["brief", "full", "none"],
}

# Clicks are drawn on a slice across k, the one that stock 3D Slicer names by its number.
CLICK_OPTIONS: dict[str, Any] = {"query": "", "reasoning": OPTIONS["reasoning"]}

_JOB_NAMES = {"model": "coreseg", "image": "", "session_id": ""}
_NUMBER = re.compile(r"\s*(-?\d{1,9})\s*")
_RANGE = re.compile(r"\s*(-?\d{1,9})\s*:\s*(-?\d{1,9})\s*")


@dataclass(frozen=True, kw_only=True)
class AskParams:
    """A checked request.

    Attributes:
        axis: An anatomical plane or an array axis, one of `AXES`.
        slices: `(start, stop)`, half-open, as asked for; None where the request names none.
        label_extension: How the answered label file is to end; None for what suits the image.
        marks: The reader's clicks and boxes.
    """

    query: Query
    scope: ScopeKind
    axis: str
    slices: tuple[int, int] | None
    label_extension: str | None
    marks: Marks = field(default_factory=Marks)

    @property
    def extent(self) -> str:
        """What is looked at and how, in one line: the same words mean the same slices of the same image."""
        place = "all" if self.scope == "volume" else str(self.slices)
        return f"{self.scope} {self.axis} {place} {self.query.reasoning}{' marked' if not self.marks.empty else ''}"

    def scope_in(self, geometry: VolumeGeometry) -> Scope:
        """Return the slices to look at in an image of this geometry.

        Raises:
            InputError: The slices asked for are not in the image, or none are named where one must be.
        """
        axis = geometry.array_axis(self.axis)
        count = geometry.shape_ijk[axis]
        if self.scope == "volume":
            return Scope(axis, 0, count)
        slices = self.slices or self._marked_slice(axis)
        if slices is None:
            if count == 1:
                return Scope(axis, 0, 1)
            raise InputError(
                f"No slice is named; along {self.axis} this image has slices 0 to {count - 1}.",
                remedy="Give `slice` as a number or as 'start:stop', or choose the scope 'volume'.",
            )
        start, stop = slices
        if not 0 <= start < stop <= count:
            asked = str(start) if stop == start + 1 else f"{start}:{stop}"
            raise InputError(
                f"Slice {asked} is not in the image; along {self.axis} it has slices 0 to {count - 1}.",
                remedy="Count slices from 0; a range is 'start:stop' with start < stop, stop not included.",
            )
        return Scope(axis, start, stop)

    def _marked_slice(self, axis: int) -> tuple[int, int] | None:
        index = self.marks.slice_along(axis)
        return None if index is None else (index, index + 1)


def read_params(text: str | bytes, *, model: str = "coreseg") -> dict[str, Any]:
    """Return the `params` field of a request as a dictionary.

    Raises:
        InputError: It is not a JSON object, or it names a key that only the server may set.
    """
    return checked_params(read_object(text, what="`params`"), model=model)


def checked_params(params: Mapping[str, Any], *, model: str = "coreseg") -> dict[str, Any]:
    """Return params that point the request nowhere else.

    Raises:
        InputError: They name a key that only the server may set.
    """
    # Stock 3D Slicer sends the name of the selected segment along with its clicks; it names no file here.
    free = {"label"} if model == CLICK_MODEL else set()
    if taken := sorted((RESERVED - free) & params.keys()):
        raise InputError(
            f"`params` may not set {', '.join(taken)}.",
            remedy="Name image, session and model in the address of the request.",
        )
    return {key: value for key, value in params.items() if key not in free}


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What `POST /coreseg/jobs` asks for."""

    model: str
    image: str
    session_id: str
    params: Mapping[str, Any]


def read_job_request(body: bytes) -> JobRequest:
    """Return the checked body of `POST /coreseg/jobs`.

    Raises:
        InputError: It is no JSON object, has unknown or reserved keys, or values of the wrong kind.
    """
    values = read_object(body, what="The body")
    names = {key: values.pop(key, default) for key, default in _JOB_NAMES.items()}
    params = values.pop("params", {})
    if values:
        raise InputError(
            f"The body has the unknown key {_shown(min(values))}.",
            remedy=f"Send {', '.join(_JOB_NAMES)} and params.",
        )
    if wrong := [key for key, value in names.items() if not isinstance(value, str)]:
        raise InputError(f"`{wrong[0]}` is not a text.", remedy="Write it as a JSON string.")
    if not isinstance(params, dict):
        raise InputError("`params` is not an object.", remedy='Send for example {"query": "liver tumor"}.')
    return JobRequest(**names, params=checked_params(params, model=names["model"]))


def parse_ask(request: Mapping[str, Any], *, model: str = "coreseg") -> AskParams:
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
    marks = read_marks(request)
    if not marks.empty and scope != "slice":
        raise InputError(
            f"Clicks and boxes belong to one slice, while `scope` is {scope!r}.",
            remedy="Choose the scope 'slice'.",
        )
    clicked = model == CLICK_MODEL
    if clicked and marks.empty:
        raise InputError(
            "There is no click and no box.", remedy="Send `foreground`, `background`, `roi` or `boxes`."
        )
    check_saving(request)
    words = text if text.strip() or not clicked else CLICK_QUESTION
    return AskParams(
        query=Query(clean_query(words), reasoning),  # type: ignore[arg-type]
        scope=scope,  # type: ignore[arg-type]
        axis=_choice(request, "axis", AXES, "k" if clicked else AXES[0]),
        slices=slices,
        marks=marks,
        label_extension=_choice(request, "result_extension", LABEL_EXTENSIONS, "") or None,
    )


def check_saving(request: Mapping[str, Any]) -> None:
    """Return nothing for a request that saves its label nowhere, or where an answer may be saved.

    Raises:
        InputError: `save_label` is neither true nor false, or `label_tag` is no tag for answers.
    """
    if not isinstance(request.get("save_label", False), bool):
        raise InputError("`save_label` is neither true nor false.", remedy="Send a JSON boolean.")
    tag = request.get("label_tag")
    if tag is None:
        return
    if not isinstance(tag, str):
        raise InputError("`label_tag` is not a text.", remedy="Write it as a JSON string.")
    if label_tag(tag) == "final" or tag.startswith(TAG_PREFIX):
        raise InputError(
            f"`label_tag` may not be {tag!r}: answers are no final labels, and records have tags of their own.",
            remedy="Use `original`, or a name of your own.",
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
