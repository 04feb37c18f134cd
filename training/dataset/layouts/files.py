"""Walking through the files of a source."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from coreseg_core.errors import InputError, LimitError
from training.dataset.sources import Source

MAX_FILES = 2_000_000


def files_below(root: Path) -> tuple[str, ...]:
    """Return every file in `root` and the folders in it, with forward slashes relative to it, in order.

    Raises:
        LimitError: More than two million.
    """
    found: list[str] = []
    for place, folders, names in os.walk(root):
        folders.sort()
        here = Path(place).relative_to(root)
        found += [(here / name).as_posix() for name in names]
        if len(found) > MAX_FILES:
            raise LimitError(f"A source holds more than {MAX_FILES} files.", remedy="Split it.")
    return tuple(sorted(found))


def split_of(source: Source, key: str) -> str | None:
    """Return the part that the source itself puts an image in, None where it leaves that to us."""
    for split, pattern in source.splits.items():
        if _compiled(pattern).search(key):
            return split
    return source.split or None


def patient_of(source: Source, key: str, groups: Mapping[str, str]) -> str:
    """Return the patient as the source names it: by its template, the group `patient`, or the image itself.

    Raises:
        InputError: The template asks for a group that the pattern does not have.
    """
    if not source.patient:
        return groups.get("patient", key)
    try:
        return source.patient.format(**groups)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"The source {source.name!r} names patients by a part that its pattern `image` does not have.",
            remedy="Name the part there with (?P<name>...).",
        ) from error


def matched(pattern: str, key: str) -> dict[str, str] | None:
    """Return the named parts of a place that fits a pattern as a whole, None where it does not fit."""
    found = _compiled(pattern).fullmatch(key)
    return None if found is None else {name: part or "" for name, part in found.groupdict().items()}


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
