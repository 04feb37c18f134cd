"""Versions of the model on the server: which answers, how each did beside the one it came from, what its guard said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from CORESegLib.answers import number_of, part_of, text_of, whole_of
from CORESegLib.training_stand import MAX_SAID, NAME
from CORESegLib.trouble import Trouble

MAX_VERSIONS = 1000
_WHERE = {"guard": "guard", "corrections": "held apart"}


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score of a version beside its parent's, on the same questions.

    Attributes:
        name: What was measured and on what.
        old, new: Means, 0 to 1; None where nothing could be measured.
        change: Mean of the differences with its 95 % interval over patients; None as above.
        count: Questions.
    """

    name: str
    old: float | None
    new: float | None
    change: tuple[float, float, float] | None
    count: int


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One version.

    Attributes:
        name: Of it; `v0` is what ships.
        parent: The version it came from; empty where none is known.
        state: `shipped`, `accepted`, `candidate` or `rejected`.
        run: The training it came of.
        scores: Beside its parent's.
        passed: What its guard said; None where none judged it.
        reason: Why the guard holds it back.
        by_phantoms: Whether the guard asked about made-up images, which say nothing about patients.
    """

    name: str
    parent: str = ""
    state: str = "candidate"
    run: str = ""
    scores: tuple[Score, ...] = ()
    passed: bool | None = None
    reason: str = ""
    by_phantoms: bool = False


@dataclass(frozen=True, kw_only=True)
class Versions:
    """All versions of a server.

    Attributes:
        current: The one that answers.
        before: Those that answered before, the latest last.
        all: The oldest first.
    """

    current: str
    before: tuple[str, ...] = ()
    all: tuple[ModelVersion, ...] = ()

    def named(self, name: str) -> ModelVersion | None:
        """Return the version of a name, None where there is none any more."""
        return next((one for one in self.all if one.name == name), None)


def read_versions(values: Mapping[str, Any]) -> Versions:
    """Return the versions that `GET /coreseg/versions` tells.

    Raises:
        Trouble: It tells none.
    """
    current, told = text_of(values, "current", limit=128), values.get("versions")
    if not NAME.fullmatch(current) or not isinstance(told, list):
        raise Trouble(
            "not_our_server",
            "The server does not say which version of the model answers.",
            remedy="Extension and server may be of different versions.",
        )
    before = values.get("before")
    names = before if isinstance(before, list) else []
    return Versions(
        current=current,
        before=tuple(name for name in names if isinstance(name, str) and NAME.fullmatch(name)),
        all=tuple(_versions(told)),
    )


def _versions(told: list[Any]) -> Iterable[ModelVersion]:
    for values in told[-MAX_VERSIONS:]:
        if not isinstance(values, dict) or not NAME.fullmatch(text_of(values, "version", limit=128)):
            continue
        guard, passed = part_of(values, "guard"), part_of(values, "guard").get("passed")
        yield ModelVersion(
            name=text_of(values, "version", limit=128),
            parent=text_of(values, "parent", limit=128),
            state=text_of(values, "state", limit=20),
            run=text_of(values, "run", limit=128),
            scores=tuple(_scores(part_of(values, "scores"))),
            passed=passed if isinstance(passed, bool) else None,
            reason=text_of(guard, "reason", limit=MAX_SAID),
            by_phantoms=text_of(part_of(values, "recipe"), "guard", limit=20) == "phantoms",
        )


def _scores(values: Mapping[str, Any]) -> Iterable[Score]:
    for where, words in _WHERE.items():
        for name, one in part_of(values, where).items():
            if not isinstance(one, dict) or not isinstance(name, str):
                continue
            yield Score(
                name=f"{name[:40]}, {words}",
                old=number_of(one, "parent"),
                new=number_of(one, "version"),
                change=_change(one.get("change")),
                count=whole_of(one, "n"),
            )


def _change(values: Any) -> tuple[float, float, float] | None:
    if not isinstance(values, list) or len(values) != 3:
        return None
    mean, low, high = (number_of({"value": value}, "value") for value in values)
    return None if mean is None or low is None or high is None else (mean, low, high)
