"""Writing what an evaluation found: whole or not at all, with a reason when it cannot be done."""

from __future__ import annotations

from pathlib import Path

from coreseg_core.checkpoint import replace_file
from coreseg_core.errors import InputError


def write_whole(path: Path, text: str, *, what: str) -> None:
    """Replace a text file in one step, its folder made where it is missing.

    Args:
        path: Where it goes.
        text: All of it.
        what: The file in words, for the message.

    Raises:
        InputError: The place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode("utf-8"))
    except OSError as error:
        raise cannot_write(what, error) from error


def cannot_write(what: str, error: OSError) -> InputError:
    """Return the error for a file that the system would not let us write."""
    return InputError(
        f"The {what} cannot be written ({error.strerror}).",
        remedy="Check the folder, its permissions and the space left on the disk, or choose another place.",
    )
