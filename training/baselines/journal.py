"""Scores kept as JSON lines while a table is made, so that a run that is stopped goes on where it was.

A line is found again by a hash of the method and of what it was asked: lines of other weights or questions are never
mistaken for one's own, and nothing in the file names a picture or a patient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from math import isnan, nan
from pathlib import Path
from typing import Any

from coreseg_core.claims import Facts
from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.score import Score
from coreseg_core.record import Claim
from training.journal import LineJournal

_NUMBERS = ("dice", "iou", "surface_dice", "instance_f1", "confidence", "box_iou", "box_mask_iou")
_PLAIN = ("outcome", "right", "drew_mask", "failed", "named_modality")


class Journal:
    """The scores of earlier and present pieces of a run.

    Args:
        path: The file; made with the first score.

    Raises:
        InputError: It is there, but is no journal.
    """

    def __init__(self, path: Path) -> None:
        self._lines = LineJournal(path, what="file of scores (scores.jsonl)")

    def get(self, identity: str, ask: Ask) -> Score | None:
        """Return the score of an ask by the method of that identity, None where it was not kept."""
        values = self._lines.get(_key(identity, ask))
        return None if values is None else _score(ask, values)

    def add(self, identity: str, scores: list[Score]) -> None:
        """Keep scores; they are on the disk when this returns.

        Raises:
            InputError: The place cannot be written.
        """
        self._lines.add({_key(identity, score.ask): _values(score) for score in scores})


def _key(identity: str, ask: Ask) -> str:
    asked = (identity, ask.row.id, ask.row.sha256, ask.shown.id, ask.variant, ask.shift_seed, ask.question)
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:32]


def _values(score: Score) -> dict[str, Any]:
    numbers = {name: getattr(score, name) for name in _NUMBERS}
    return {
        **{name: getattr(score, name) for name in _PLAIN},
        **{name: None if isnan(value) else float(value) for name, value in numbers.items()},
        "claims": [asdict(claim) for claim in score.claims],
        "facts": None if score.facts is None else asdict(score.facts),
    }


def _score(ask: Ask, values: Mapping[str, Any]) -> Score:
    facts = values["facts"]
    numbers: dict[str, Any] = {name: nan if values[name] is None else values[name] for name in _NUMBERS}
    return Score(
        ask=ask,
        **{name: values[name] for name in _PLAIN},
        **numbers,
        claims=tuple(Claim(**claim) for claim in values["claims"]),
        facts=None if facts is None else Facts(**{**facts, "centre_xy": tuple(facts["centre_xy"])}),
    )
