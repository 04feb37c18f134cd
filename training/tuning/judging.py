"""Whether a new version may answer: the same questions asked of it and of its parent, compared question by question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coreseg_core.checkpoint import WEIGHTS_NAME, read_manifest, replace_file, sha256_of
from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.bootstrap import json_number, mean_interval
from coreseg_core.evaluation.model_answerer import ModelAnswerer
from coreseg_core.evaluation.run import Progress, score_all
from coreseg_core.inference import SliceSegmenter
from coreseg_core.inference.segment import Device
from coreseg_core.models.preset import Preset
from training.tuning.placement import Placement

MARGIN = 0.02
"""A mean that falls by more than this is worse, however few questions there are to prove it."""
MIN_GUARD_QUESTIONS = 20


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What a model's answers to some questions are worth, one number a question.

    Attributes:
        dice: Of the masks, NaN for questions that no mask answers.
        right: 1 where the outcome is a right one.
    """

    dice: tuple[float, ...]
    right: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A version beside its parent on some of the questions.

    Attributes:
        name: What is compared.
        parent, version: Means.
        change: Mean of the differences, with its interval over patients drawn.
        count: Questions.
    """

    name: str
    parent: float
    version: float
    change: tuple[float, float, float]
    count: int

    @property
    def worse(self) -> bool:
        """Whether the version does worse: for certain, or by more than the margin."""
        mean, _, high = self.change
        return self.count > 0 and (high < 0 or mean < -MARGIN)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "parent": json_number(self.parent),
            "version": json_number(self.version),
            "change": [json_number(value) for value in self.change],
            "n": self.count,
        }


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What was found, and what follows from it.

    Attributes:
        guard: Comparisons on base data.
        held: Comparisons on corrections held apart.
        placement: Of the outlines that were learned from.
    """

    guard: tuple[Compared, ...]
    held: tuple[Compared, ...]
    placement: Placement

    @property
    def reasons(self) -> list[str]:
        """Why the version has to wait; none if it may answer."""
        found = []
        asked = sum(compared.count for compared in self.guard)
        if asked < MIN_GUARD_QUESTIONS:
            found.append(f"the guard asked {asked} questions, which is fewer than {MIN_GUARD_QUESTIONS}")
        for where, group in (("the guard", self.guard), ("corrections held apart", self.held)):
            found += [
                f"{compared.name} on {where} went from {compared.parent:.3f} to {compared.version:.3f}"
                for compared in group
                if compared.worse
            ]
        if self.placement.astray:
            x, y = self.placement.move_xy
            found.append(
                "the outlines that were submitted lie beside what they outline "
                f"(by {x:+.0%} of the picture to the right and {y:+.0%} down)"
            )
        return found

    @property
    def passed(self) -> bool:
        """Whether the version may answer."""
        return not self.reasons

    def scores(self) -> dict[str, Any]:
        """Return the scores, side by side with the parent's, as JSON values."""
        return {
            "guard": {compared.name: compared.to_json() for compared in self.guard},
            "corrections": {compared.name: compared.to_json() for compared in self.held},
        }

    def verdict(self) -> dict[str, Any]:
        """Return what the version's manifest says of its guard."""
        return {
            "passed": self.passed,
            "reason": "; ".join(self.reasons),
            "margin": MARGIN,
            "placement": self.placement.to_json(),
        }


def compare(asks: Sequence[Ask], parent: Marks, version: Marks) -> tuple[Compared, ...]:
    """Return masks and denials of a version beside its parent's, as differences question by question."""
    patients = [ask.row.patient_key for ask in asks]
    drawn = [number for number, ask in enumerate(asks) if ask.kind == "present"]
    denied = [number for number, ask in enumerate(asks) if ask.kind != "present"]
    return (
        _compared("Dice", drawn, parent.dice, version.dice, patients),
        _compared("right denials", denied, parent.right, version.right, patients),
    )


def marks_of(
    folder: Path,
    asks: Sequence[Ask],
    *,
    preset: Preset,
    base: str | None,
    device: Device,
    kept: Path,
    progress: Progress | None = None,
) -> Marks:
    """Return what the answers of a weight folder are worth; what was asked before is looked up.

    Words alone refuse nothing here, so that the model itself is judged, and no reasoning is asked for.

    Args:
        folder: The weights.
        asks: The questions.
        preset: Of the weights.
        base: Folder or hub id of the published weights that the preset stands on.
        device: Where it answers.
        kept: Folder of what was found before.
        progress: As in `score_all`.
    """
    if not asks:
        return Marks(dice=(), right=())
    sha256 = read_manifest(folder)["files"][WEIGHTS_NAME]["sha256"]
    name = f"{sha256[:16]}-{_key(asks)[:16]}.json"
    found = _read(kept / name, count=len(asks))
    if found is not None:
        return found
    segmenter = SliceSegmenter.from_preset(
        preset, weights=folder, base=base, device=device, check_words=False
    )
    answerer = ModelAnswerer(segmenter, reasoning="none")
    scores = score_all(answerer, asks, ct=answerer.ct, progress=progress)
    found = Marks(
        dice=tuple(round(float(score.dice), 6) for score in scores),
        right=tuple(float(score.right) for score in scores),
    )
    kept.mkdir(parents=True, exist_ok=True)
    values = {"dice": [json_number(value) for value in found.dice], "right": list(found.right)}
    replace_file(kept / name, json.dumps(values).encode())
    return found


def _compared(
    name: str,
    numbers: Sequence[int],
    parent: Sequence[float],
    version: Sequence[float],
    patients: Sequence[str],
) -> Compared:
    before, after = np.array([parent[n] for n in numbers]), np.array([version[n] for n in numbers])
    interval = mean_interval(list(after - before), [patients[n] for n in numbers])
    return Compared(
        name=name,
        parent=float(before.mean()) if len(before) else float("nan"),
        version=float(after.mean()) if len(after) else float("nan"),
        change=(interval.mean, interval.low, interval.high),
        count=len(numbers),
    )


def _key(asks: Sequence[Ask]) -> str:
    """Return a hash of what is asked, about which pictures, with which truth."""
    digest = hashlib.sha256()
    for ask in asks:
        told = json.dumps([ask.question, ask.kind, ask.row.to_json()], sort_keys=True)
        digest.update(told.encode())
        for path in (ask.row.image_path, ask.row.mask_path):
            digest.update(sha256_of(path).encode() if path is not None else b"-")
    return digest.hexdigest()


def _read(path: Path, *, count: int) -> Marks | None:
    try:
        values = json.loads(path.read_bytes())
        dice = tuple(float("nan") if value is None else float(value) for value in values["dice"])
        right = tuple(float(value) for value in values["right"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Marks(dice=dice, right=right) if len(dice) == len(right) == count else None
