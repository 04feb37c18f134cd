"""Walking through the files of a source."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Formatter

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


class FileIndex:
    """The files of a source, to find those that a template names.

    In a template `{name}` stands for a part of the image's place, `*` for anything within one name, and a leading
    `**/` for any folders or none.

    Args:
        keys: As `files_below` returns them.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            self._by_name[key.rpartition("/")[2]].append(key)

    def named(self, template: str, groups: Mapping[str, str]) -> list[str]:
        """Return the files that a template names, in order.

        Raises:
            InputError: It asks for a part that the pattern `image` does not have.
        """
        if not template:
            return []
        try:
            pattern = re.compile(_as_pattern(template, groups))
            last = template.rpartition("/")[2]
            # Without a wildcard in the file's own name there is no need to try them all.
            known = None if "*" in last else self._by_name.get(last.format(**groups), [])
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(
                "A mask is named by a part of the image's place that the pattern `image` does not have.",
                remedy="Name the part there with (?P<name>...).",
            ) from error
        return [key for key in (self._keys if known is None else known) if pattern.fullmatch(key)]


def _as_pattern(template: str, groups: Mapping[str, str]) -> str:
    parts = []
    for literal, name, _, _ in Formatter().parse(template):
        for piece in re.split(r"(\*\*/|\*)", literal):
            parts.append({"**/": "(?:.*/)?", "*": "[^/]*"}.get(piece) or re.escape(piece))
        if name is not None:
            parts.append(re.escape(groups[name]))
    return "".join(parts)


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
