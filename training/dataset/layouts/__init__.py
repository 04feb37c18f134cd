"""How sources lay out their files. Each layout turns a folder into cases; what cannot be one is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from coreseg_core.errors import InputError
from training.dataset.cases import Case
from training.dataset.layouts.bids import bids_cases
from training.dataset.layouts.coco import coco_cases
from training.dataset.layouts.decathlon import decathlon_cases
from training.dataset.layouts.dicom import dicom_cases
from training.dataset.layouts.folders import folder_cases
from training.dataset.layouts.own import manifest_cases
from training.dataset.left_out import LeftOut
from training.dataset.sources import Source

Found = Case | LeftOut

LAYOUTS: Mapping[str, Callable[[Source, Path], Iterator[Found]]] = {
    "folders": folder_cases,
    "decathlon": decathlon_cases,
    "bids": bids_cases,
    "dicom": dicom_cases,
    "coco": coco_cases,
    "manifest": manifest_cases,
}


def find_cases(source: Source, root: Path) -> tuple[Found, ...]:
    """Return the cases of a source in a fixed order, with what was found and cannot be a case.

    Raises:
        InputError: The folder is not there, or holds nothing of this layout.
    """
    if not root.is_dir():
        raise InputError(f"The folder of {source.name!r} is not there.", remedy="Give the unpacked data set.")
    found = tuple(sorted(LAYOUTS[source.layout](source, root), key=_place))
    if not found:
        raise InputError(
            f"Nothing in the folder of {source.name!r} looks like its layout {source.layout!r}.",
            remedy="Compare the folder with the patterns in the source's YAML; copies often differ in a folder.",
        )
    return found


def _place(found: Found) -> str:
    return found.key if isinstance(found, Case) else found.what
