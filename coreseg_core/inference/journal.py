"""Findings kept on the disk as they come, so that work which was killed goes on at the slice where it stood."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from coreseg_core.errors import InputError
from coreseg_core.imaging import Volume
from coreseg_core.imaging.runs import mask_of_runs, mask_runs
from coreseg_core.inference.specks import LEAST_DIAMETER_MM, LEAST_SHARE, SURE_DIAMETER_MM
from coreseg_core.prompts import TEMPLATE_VERSION
from coreseg_core.record import Query, Scope, SliceFinding, finding_of_json, slice_json


class KeptFindings(Protocol):
    """Where the findings of one question about one image are kept while it is answered."""

    def find(self, indices: range) -> tuple[SliceFinding, ...] | None:
        """Return the findings of these slices, None unless all of them are kept."""
        ...

    def add(self, findings: Sequence[SliceFinding]) -> None:
        """Keep the findings of slices that were answered together, all of them or none."""
        ...


class FindingJournal:
    """A file that grows by a line for each group of slices; a line that was cut off in the middle is dropped.

    Args:
        path: The file; made with the first line, as is its folder.

    Raises:
        InputError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._findings: dict[int, SliceFinding] = {}
        self._read()

    def __len__(self) -> int:
        return len(self._findings)

    def find(self, indices: range) -> tuple[SliceFinding, ...] | None:
        """Return the findings of these slices, None unless all of them are kept."""
        if not all(index in self._findings for index in indices):
            return None
        return tuple(self._findings[index] for index in indices)

    def add(self, findings: Sequence[SliceFinding]) -> None:
        """Keep the findings of slices that were answered together.

        Raises:
            InputError: The file cannot be written.
        """
        line = json.dumps([_finding_json(finding) for finding in findings], allow_nan=False)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as stream:
                stream.write((line + "\n").encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise InputError(
                f"What was found so far cannot be kept ({error.strerror}).",
                remedy="Check the folder and the space left on the disk.",
            ) from error
        self._findings.update({finding.index: finding for finding in findings})

    def remove(self) -> None:
        """Remove the file, once what it holds is kept elsewhere."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            for line in whole.splitlines():
                for values in json.loads(line):
                    finding = finding_of_json(values, mask_of_runs(values["mask"]))
                    self._findings[finding.index] = finding
        except (ValueError, LookupError, TypeError) as error:
            raise InputError(
                "The file of what was found so far is damaged.",
                remedy="Remove it: its slices are answered again.",
            ) from error
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))


def journal_name(volume: Volume, query: Query, scope: Scope, *, weights_sha256: str) -> str:
    """Return the name of a journal: the same for the same voxels, question, slices, weights and rules."""
    rules = (TEMPLATE_VERSION, LEAST_SHARE, SURE_DIAMETER_MM, LEAST_DIAMETER_MM)
    asked = (volume.content_hash, query, scope, weights_sha256, rules)
    return f"{hashlib.sha256(repr(asked).encode()).hexdigest()[:32]}.jsonl"


def _finding_json(finding: SliceFinding) -> dict[str, Any]:
    # Not rounded as in a record: what is taken up again must be what was found, to the last digit.
    exact = {"confidence": finding.confidence, "box_mask_iou": finding.box_mask_iou}
    return {**slice_json(finding), **exact, "mask": mask_runs(finding.mask)}
