"""An answer as DICOM files: a segmentation where something is marked, and always a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from CORESegLib.dicom_answer import DicomAnswer
from CORESegLib.dicom_report import report_of
from CORESegLib.dicom_seg import segmentation_of
from CORESegLib.dicom_source import highdicom, read_series
from CORESegLib.trouble import Trouble
from CORESegLib.volume_file import Matrix


def export(
    answer: Callable[[], DicomAnswer],
    files: Sequence[Path],
    folder: Path,
    *,
    ijk_to_ras: Matrix,
    shape_ijk: tuple[int, int, int],
) -> tuple[Path, ...]:
    """Return the files that were written, each whole or not at all: report, and segmentation if anything is marked.

    Args:
        answer: Returns what is to be exported; called once it is known that it can be.
        files: Of the series that the image was loaded from.
        folder: Where to; must be there.
        ijk_to_ras: Of the image, without transforms above it.
        shape_ijk: Of the image.

    Raises:
        Trouble: highdicom is missing, the image lies on another grid than its series, or nothing can be written.
    """
    highdicom()
    source = read_series(files, ijk_to_ras, shape_ijk)
    made = answer()
    missing = [k for k in _marked_slices(made) if k not in source.datasets]
    if missing:
        raise Trouble(
            "local",
            f"The mask marks slice {missing[0] + 1}, of which there is no DICOM file.",
            remedy="Import the whole series into Slicer's DICOM database again.",
        )
    name = f"CORE-Seg-{made.record.id}"
    segmentation = segmentation_of(made, source) if made.marked else None
    report = report_of(made, source, segmentation)
    written = [_write(report, folder / f"{name}-SR.dcm")]
    if segmentation is not None:
        written.append(_write(segmentation, folder / f"{name}-SEG.dcm"))
    return tuple(written)


def _marked_slices(answer: DicomAnswer) -> list[int]:
    return [int(k) for k in answer.mask_ijk.any(axis=(0, 1)).nonzero()[0]]


def _write(dataset: Any, path: Path) -> Path:
    partial = path.with_name(f".{path.name}.partial")
    try:
        dataset.save_as(partial)
        os.replace(partial, path)
    except OSError as fault:
        raise Trouble(
            "local",
            "The DICOM files cannot be written into that folder.",
            remedy="Choose another folder, or make room.",
        ) from fault
    finally:
        partial.unlink(missing_ok=True)
    return path
