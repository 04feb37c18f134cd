"""What rows show and outline, as hashes of their files: work on a row whose files have changed is done anew."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from coreseg_core.checkpoint import sha256_of
from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Row


def contents_of(rows: Sequence[Row]) -> dict[str, str]:
    """Return a hash of what each row shows and outlines, by its id; every file is read once.

    Raises:
        InputError: A picture or mask cannot be read.
    """
    masks = {row.mask_path for row in rows if row.mask_path is not None}
    try:
        files = {path: _sha256(path) for path in {row.image_path for row in rows if not row.sha256} | masks}
    except OSError as error:
        raise InputError(
            f"A picture or mask of the manifest cannot be read ({error.strerror}).",
            remedy="Check that the folder the manifest's paths start from is complete.",
        ) from error
    return {row.id: _content(row, files) for row in rows}


def _content(row: Row, files: Mapping[Path, str]) -> str:
    image = row.sha256 or files[row.image_path]
    mask = None if row.mask_path is None else files[row.mask_path]
    return hashlib.sha256(repr((image, mask, row.slice, row.lesion_free)).encode()).hexdigest()


def _sha256(path: Path) -> str:
    """Return a hash of a file, or of all files of a DICOM folder."""
    if not path.is_dir():
        return sha256_of(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()
