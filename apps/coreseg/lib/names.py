"""Names that clients send, checked before anything is looked up or written under them.

No error repeats the name: names of images may hold names of patients.
"""

from __future__ import annotations

import re

from coreseg_core.errors import InputError

MAX_NAME_BYTES = 200
"""Of an image id; with an ending and a passing prefix it still fits into a file name of 255 bytes."""
IMAGE_EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".jpg", ".jpeg")
LABEL_EXTENSIONS = (".nii.gz", ".nii", ".nrrd")

_SEPARATORS = re.compile(r"[/\\]")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def image_id(text: str) -> str:
    """Return an image id that is the name of one file in one folder, whatever is appended to it.

    Raises:
        InputError: Empty, too long, hidden, unprintable, or part of a path.
    """
    size = len(text.encode(errors="replace"))
    fault = None
    if not text:
        fault = "is empty"
    elif size > MAX_NAME_BYTES:
        fault = f"has {size} bytes, limit {MAX_NAME_BYTES}"
    elif _SEPARATORS.search(text):
        fault = "holds a slash or backslash"
    elif not text.isprintable():
        fault = "holds characters that cannot be printed"
    elif text.startswith(".") or text != text.strip():
        fault = "begins with a dot, or begins or ends with a space"
    if fault is not None:
        raise InputError(f"The image id {fault}.", remedy="Use letters, digits, '-', '_' and '.'.")
    return text


def label_tag(text: str) -> str:
    """Return a tag of labels, which names a folder.

    Raises:
        InputError: Anything but 1 to 64 letters, digits, '-', '_' and '.', a letter or digit first.
    """
    if not _TAG.fullmatch(text):
        raise InputError(
            "The label tag is not one.",
            remedy="Use up to 64 letters, digits, '-', '_' and '.', a letter or digit first.",
        )
    return text


def is_session_id(text: str) -> bool:
    """Return whether a text has the form of a session id."""
    return _SESSION.fullmatch(text) is not None


def extension_of(file_name: str | None, allowed: tuple[str, ...] = IMAGE_EXTENSIONS) -> str:
    """Return which of the allowed endings a file name has; a file without a name counts as the first.

    Raises:
        InputError: None of them.
    """
    if not file_name:
        return allowed[0]
    found = next((ending for ending in allowed if file_name.lower().endswith(ending)), None)
    if found is None:
        raise InputError("The file's ending is unknown.", remedy=f"Send {', '.join(allowed)}.")
    return found


def ending_of(file_name: str | None) -> str:
    """Return which known ending a file of any origin has; its content decides what it is, so there may be none."""
    lower = (file_name or "").lower()
    return next((ending for ending in (*IMAGE_EXTENSIONS, ".dcm") if lower.endswith(ending)), "")
