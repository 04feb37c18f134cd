"""What was found, slice by slice, as the panel holds it: read from the server's events, grown as they come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from CORESegLib.answers import share_of, text_of, whole_of
from CORESegLib.mask_runs import MaskRuns, read_runs
from CORESegLib.outcomes import Outcome, outcome_of
from CORESegLib.trouble import Trouble

MAX_TEXT = 20_000
MAX_CLAIMS = 64
MAX_SLICES = 10_000
AXES = "ijk"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement of the reasoning and what the mask says about it.

    Attributes:
        text: As the model wrote it.
        kind: What it is about: number, side, place, size, contrast, outline.
        contradicted: Whether the mask says otherwise.
    """

    text: str
    kind: str
    contradicted: bool


@dataclass(frozen=True, kw_only=True)
class SliceAnswer:
    """What one slice answered.

    Attributes:
        axis: Array axis across which the slice lies: 0, 1, 2 for i, j, k.
        index: Its number along that axis, from 0.
        outcome: See `outcomes`.
        reasoning: What the model wrote first.
        answer: Its answer in a sentence.
        reason: Why there is no answer, where there is none.
        confidence: 0 to 1; None where the server gives none.
        calibrated: Whether that number was ever compared with how often it is right.
        claims: Of the reasoning.
        mask: In the order of `np.take(voxels_ijk, index, axis)`; None where nothing is marked.
    """

    axis: int
    index: int
    outcome: Outcome
    reasoning: str = ""
    answer: str = ""
    reason: str = ""
    confidence: float | None = None
    calibrated: bool = False
    claims: tuple[Claim, ...] = ()
    mask: MaskRuns | None = None

    @property
    def contradictions(self) -> tuple[str, ...]:
        """Statements that the mask contradicts."""
        return tuple(claim.text for claim in self.claims if claim.contradicted)


@dataclass(frozen=True, kw_only=True)
class LesionRow:
    """One lesion of the whole answer.

    Attributes:
        number: From 1, as the record counts.
        axis: As in `SliceAnswer`.
        slices: On which it lies.
        volume_mm3: As the server measured it.
        confidence: As in `SliceAnswer`.
    """

    number: int
    axis: int
    slices: tuple[int, ...]
    volume_mm3: float
    confidence: float | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """A `coreseg.record/1`, checked as far as the panel reads it.

    Attributes:
        id: Unique; names the label in the store.
        outcome: Over all slices.
        model: Preset and version, for people.
        lesions: Of the label volume.
        values: The record as it came, to be kept with the mask.
    """

    id: str
    outcome: Outcome
    model: str
    lesions: tuple[LesionRow, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The answer to one question so far; every event gives a new one.

    Attributes:
        slices: Findings by (axis, index), in the order they came.
        writing: Words about slices that are not finished, by slice number.
        record: Of the whole answer, once it is there.
        latest: The finding that came last.
    """

    slices: Mapping[tuple[int, int], SliceAnswer] = field(default_factory=dict)
    writing: Mapping[int, str] = field(default_factory=dict)
    record: Record | None = None
    latest: SliceAnswer | None = None

    def with_words(self, data: Mapping[str, Any]) -> Findings:
        """Return the findings after an event `token`."""
        index = whole_of(data, "slice", default=-1)
        if index < 0 or (index not in self.writing and len(self.writing) >= MAX_SLICES):
            return self
        text = (self.writing.get(index, "") + text_of(data, "text", limit=MAX_TEXT))[:MAX_TEXT]
        return replace(self, writing={**self.writing, index: text})

    def with_slice(self, data: Mapping[str, Any]) -> Findings:
        """Return the findings after an event `slice`.

        Raises:
            Trouble: It holds no finding.
        """
        found = read_slice(data.get("finding"), data.get("mask_rle"))
        if (found.axis, found.index) not in self.slices and len(self.slices) >= MAX_SLICES:
            raise _unreadable("more slices than an image has")
        writing = {index: text for index, text in self.writing.items() if index != found.index}
        slices = {**self.slices, (found.axis, found.index): found}
        return replace(self, slices=slices, writing=writing, latest=found)

    def with_record(self, data: Mapping[str, Any]) -> Findings:
        """Return the findings after the event `done`; a record that is there is continued, not replaced.

        Raises:
            Trouble: It holds no record.
        """
        record = read_record(data.get("record"))
        if self.record is not None:
            record = _continued(self.record, record)
        return replace(self, record=record, writing={})

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the question; of what has arrived while no record is there, and None before that.

        Absence is never concluded from a part of the slices.
        """
        if self.record is not None:
            return self.record.outcome
        outcomes = {found.outcome for found in self.slices.values()}
        if not outcomes:
            return None
        if "present" in outcomes:
            return "present"
        return next((outcome for outcome in ("error", "uncertain") if outcome in outcomes), "uncertain")

    def marked(self) -> tuple[SliceAnswer, ...]:
        """Return the slices with a finding, in reading order."""
        found = (one for one in self.slices.values() if one.outcome == "present" and one.mask is not None)
        return tuple(sorted(found, key=lambda one: (one.axis, one.index)))

    def neighbour(self, index: int, step: int) -> SliceAnswer | None:
        """Return the next finding above (`step` 1) or below (-1) a slice number, None beyond the last."""
        marked = self.marked()
        if step > 0:
            return next((one for one in marked if one.index > index), None)
        return next((one for one in reversed(marked) if one.index < index), None)


def read_slice(finding: Any, mask_rle: Any) -> SliceAnswer:
    """Return one finding of the server.

    Raises:
        Trouble: It is none.
    """
    if not isinstance(finding, dict):
        raise _unreadable("a finding")
    axis = AXES.find(text_of(finding, "axis", limit=1) or "?")
    index = whole_of(finding, "index", default=-1)
    if axis < 0 or index < 0:
        raise _unreadable("the place of a finding")
    outcome = outcome_of(finding.get("outcome"))
    mask = read_runs(mask_rle) if mask_rle is not None else None
    if mask is not None and mask.marked == 0:
        mask = None
    return SliceAnswer(
        axis=axis,
        index=index,
        outcome=outcome,
        reasoning=text_of(finding, "reasoning", limit=MAX_TEXT),
        answer=text_of(finding, "answer", limit=MAX_TEXT),
        reason=text_of(finding, "reason", limit=MAX_TEXT),
        confidence=share_of(finding, "confidence"),
        calibrated=text_of(finding, "confidence_kind", limit=40).startswith("calibrated"),
        claims=tuple(_claims(finding.get("claims"))),
        mask=mask,
    )


def read_record(values: Any) -> Record:
    """Return a record of the server.

    Raises:
        Trouble: It is none, or of a version that this panel does not read.
    """
    if not isinstance(values, dict) or values.get("schema") != "coreseg.record/1":
        raise Trouble(
            "version",
            "The server's record is not of the version that this panel reads (coreseg.record/1).",
            remedy="Install the extension that belongs to the server.",
        )
    record_id = text_of(values, "id", limit=256)
    # It becomes a segment's tag and a name in the scene.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", record_id):
        raise _unreadable("the id of the record")
    model = values.get("model")
    words = (
        [text_of(model, key, limit=80) for key in ("preset", "version")] if isinstance(model, dict) else []
    )
    scope = values.get("scope")
    axis = AXES.find(text_of(scope, "axis", limit=1) or "?") if isinstance(scope, dict) else -1
    return Record(
        id=record_id,
        outcome=outcome_of(values.get("outcome")),
        model=" ".join(word for word in words if word),
        lesions=tuple(_lesions(values.get("lesions"), axis)),
        values=values,
    )


def _continued(before: Record, after: Record) -> Record:
    """Return the record of a question of which some slices were asked again: the rest stays as it was."""
    again = {_place(one): one for one in _dicts(after.values.get("slices"))}
    kept = [again.pop(_place(one), one) for one in _dicts(before.values.get("slices"))]
    slices = [*kept, *again.values()]
    outcome: Outcome = "present" if any(one.get("outcome") == "present" for one in slices) else after.outcome
    values = {
        **after.values,
        "parent_id": before.id,
        "scope": before.values.get("scope"),
        "slices": slices,
        "outcome": outcome,
        # Those of one slice would be taken for all.
        "lesions": [],
    }
    return replace(after, outcome=outcome, lesions=(), values=values)


def _place(finding: Mapping[str, Any]) -> tuple[Any, Any]:
    return finding.get("axis"), finding.get("index")


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _claims(values: Any) -> Iterable[Claim]:
    for value in values[:MAX_CLAIMS] if isinstance(values, list) else []:
        if isinstance(value, dict):
            yield Claim(
                text=text_of(value, "text", limit=300),
                kind=text_of(value, "kind", limit=40),
                contradicted=value.get("verdict") == "contradicted",
            )


def _lesions(values: Any, axis: int) -> Iterable[LesionRow]:
    for value in values[:255] if isinstance(values, list) else []:
        if not isinstance(value, dict):
            continue
        slices = value.get("slices")
        volume = value.get("volume_mm3")
        yield LesionRow(
            number=whole_of(value, "id"),
            axis=axis,
            slices=tuple(one for one in slices if type(one) is int and one >= 0)
            if isinstance(slices, list)
            else (),
            volume_mm3=float(volume) if isinstance(volume, int | float) and volume >= 0 else 0.0,
            confidence=share_of(value, "confidence"),
        )


def _unreadable(what: str) -> Trouble:
    return Trouble(
        "not_our_server",
        f"The server sends {what} that cannot be read.",
        remedy="Extension and server may be of different versions.",
    )
