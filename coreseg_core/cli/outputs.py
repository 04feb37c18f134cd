"""Where results go: checked before any work is done, written whole or not at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coreseg_core.checkpoint import replace_file
from coreseg_core.errors import InputError


def require_place(path: Path, *, option: str, endings: Sequence[str]) -> None:
    """Return nothing for a file name that can be written, so that no work is done in vain.

    Args:
        path: Where a result is to go.
        option: The option that named it, for the message.
        endings: How the name may end.

    Raises:
        InputError: Another ending, or a folder that is not there or cannot be written.
    """
    if not path.name.lower().endswith(tuple(endings)):
        raise InputError(f"{option} has an ending that is not known.", remedy=f"Use {', '.join(endings)}.")
    if path.is_dir():
        raise InputError(f"{option} names a folder.", remedy="Give the name of a file in it.")
    require_folder(path.parent, option=option)


def require_folder(folder: Path, *, option: str) -> None:
    """Return nothing for a folder in which a file can be made.

    Raises:
        InputError: It is not there or cannot be written.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"The folder of {option} cannot be written ({error.strerror}).",
            remedy="Make the folder, mend its permissions, or choose another place.",
        ) from error


def require_other(path: Path, *, option: str, inputs: Iterable[Path | None]) -> None:
    """Return nothing for an output that is none of the inputs.

    Raises:
        InputError: It would replace one of them.
    """
    for given in inputs:
        if given is not None and given.exists() and path.exists() and path.samefile(given):
            raise InputError(f"{option} names an input of this command.", remedy="Choose another name.")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON in one step.

    Raises:
        InputError: The place cannot be written.
    """
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        replace_file(path, (text + "\n").encode())
    except OSError as error:
        raise InputError(
            f"The JSON cannot be written ({error.strerror}).",
            remedy="Check the folder and the space left on the disk.",
        ) from error


def require_own_record(path: Path, *, schema: str) -> None:
    """Return nothing where no file is, or an earlier record that may be replaced.

    Raises:
        InputError: Something else lies there.
    """
    if not path.exists():
        return
    try:
        earlier = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        earlier = None
    if not isinstance(earlier, dict) or earlier.get("schema") != schema:
        raise InputError(
            "The record is written beside --out as .json, but another file of that name is there.",
            remedy="Choose another name for --out.",
        )
