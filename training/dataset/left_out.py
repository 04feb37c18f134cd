"""What is not taken into a data set and why: told apart by kind, counted, and listed for whoever keeps the data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from coreseg_core.evaluation.files import write_whole

Reason = Literal[
    "broken image",
    "broken mask",
    "mask of another size",
    "missing mask",
    "empty mask",
    "surprising label values",
    "file outside the root",
    "unreadable entry",
    "no slice worth showing",
    "exact duplicate",
    "near duplicate",
    "patient in two splits",
    "duplicate in two splits",
    "no usable text",
    "judged below the bar",
    "text contradicts the mask",
]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """One picture, or case, that was not taken.

    Attributes:
        what: Its row id, or its place relative to the source's root. May name a patient: it goes into the list
            beside the data and nowhere else.
        reason: Which of the kinds.
        detail: More about it, without file names.
    """

    what: str
    reason: Reason
    detail: str = ""

    def to_json(self) -> dict[str, str]:
        """Return it as JSON values."""
        return asdict(self)


def counts(left_out: Iterable[LeftOut]) -> dict[str, int]:
    """Return how many of each kind, those that occur alone, in the order of the kinds."""
    found = Counter(item.reason for item in left_out)
    return {reason: found[reason] for reason in REASONS if found[reason]}


def write_left_out(path: Path, left_out: Iterable[LeftOut]) -> None:
    """Write the list as JSON lines, an empty file where nothing was left out.

    Raises:
        InputError: The place cannot be written.
    """
    write_whole(
        path,
        "".join(json.dumps(item.to_json()) + "\n" for item in left_out),
        what="list of what was left out",
    )


def counts_text(found: Mapping[str, int]) -> str:
    """Return the counts in one line for a person."""
    return ", ".join(f"{number} {reason}" for reason, number in found.items()) or "nothing"
