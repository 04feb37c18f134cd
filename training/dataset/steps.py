"""What the steps share: where a step may write, and the report that it leaves beside its manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coreseg_core import NOTICE
from coreseg_core.cli.outputs import require_folder, require_other
from coreseg_core.errors import InputError
from coreseg_core.evaluation.files import cannot_write, write_whole

REPORT_SCHEMA = "coreseg.dataset-report/1"


def make_folder(folder: Path) -> Path:
    """Return a folder, made where it was missing.

    Raises:
        InputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write("folder of the data set", error) from error
    return folder


def require_beside(manifest: Path, out: Path) -> Path:
    """Return the working folder of a step (`out` without its ending) after checking where it may write.

    The paths in a manifest start from its folder, so a step writes its manifest beside the one it reads.

    Raises:
        InputError: Another folder, the same file, another ending, or a place that cannot be written.
    """
    if out.suffix != ".jsonl":
        raise InputError("--out has an ending that is not known.", remedy="Use .jsonl.")
    if out.parent.resolve() != manifest.parent.resolve():
        raise InputError(
            "--out lies in another folder than the manifest, from which its paths start.",
            remedy="Name a file beside the manifest.",
        )
    require_other(out, option="--out", inputs=[manifest])
    require_folder(out.parent, option="--out")
    return make_folder(out.with_suffix(""))


def write_report(folder: Path, step: str, facts: Mapping[str, Any], text: str) -> None:
    """Write `report.json` and `report.md`.

    Raises:
        InputError: The place cannot be written.
    """
    values = {"schema": REPORT_SCHEMA, "step": step, **facts}
    write_whole(folder / "report.json", json.dumps(values, indent=2, allow_nan=False) + "\n", what="report")
    write_whole(folder / "report.md", f"# Data set: {step}\n\n{text}\n\n{NOTICE}\n", what="report")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
