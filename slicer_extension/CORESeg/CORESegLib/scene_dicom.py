"""Which DICOM files an image of the scene was loaded from, as Slicer's database knows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from CORESegLib.trouble import Trouble

INSTANCES = "DICOM.instanceUIDs"
"""Attribute in which Slicer's DICOM module notes what a volume was loaded from."""


def is_from_dicom(volume: Any) -> bool:
    """Return whether Slicer's DICOM module loaded a volume."""
    return bool(volume.GetAttribute(INSTANCES))


def files_of(volume: Any) -> list[Path]:
    """Return the files of a volume, one for each instance.

    Raises:
        Trouble: It was not loaded from DICOM, or the database knows a file no longer.
    """
    if not is_from_dicom(volume):
        raise Trouble(
            "local",
            "This image was not loaded from DICOM, so there is no series that the answer could refer to.",
            remedy="Load it through Slicer's DICOM module, and ask again.",
        )
    database = getattr(slicer, "dicomDatabase", None)
    names = str(volume.GetAttribute(INSTANCES)).split()
    found = [database.fileForInstance(name) if database is not None else "" for name in names]
    if not all(found):
        raise Trouble(
            "local",
            f"Slicer's DICOM database knows {sum(map(bool, found))} of the image's {len(found)} files.",
            remedy="Import the series into it again.",
        )
    return [Path(path) for path in found]
