"""Which images of a folder belong together: a study is what shares a StudyInstanceUID, or else lies in one folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coreseg_core.errors import InputError, LimitError
from coreseg_core.imaging.read_dicom import series_among
from coreseg_core.imaging.series_import import image_name
from coreseg_core.imaging.sidecar import read_sidecar, stem_of
from coreseg_core.limits import Limits

IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True, kw_only=True)
class StudyImage:
    """One image of a study.

    Attributes:
        id: Unique in its study.
        path: A file, or a folder with the DICOM series `series_uid`.
        series_uid: Of a DICOM series.
    """

    id: str
    path: Path
    series_uid: str | None = None


@dataclass(frozen=True, kw_only=True)
class StudyImages:
    """Images that belong together.

    Attributes:
        name: Unique among the studies found with it, and fit for the name of a folder.
        images: In the order of their ids.
    """

    name: str
    images: tuple[StudyImage, ...]


def find_studies(
    root: Path, *, leave_out: Path | None = None, limits: Limits | None = None
) -> tuple[StudyImages, ...]:
    """Return the studies below a folder, or the one of a single image.

    A folder with image files in it is a study, and folders within it are not looked into: masks and reports often lie
    there. DICOM images may lie anywhere else.

    Args:
        root: A folder, or an image file.
        leave_out: A folder that is not looked into.
        limits: What may be read.

    Raises:
        InputError: There is no image.
        LimitError: There are too many files.
    """
    limits = limits or Limits()
    groups: dict[str, list[StudyImage]] = {}
    dicom_files: list[Path] = []
    for folder, images, others in _folders(root, leave_out=leave_out, limits=limits):
        for path in images:
            uid = read_sidecar(path).study_uid
            name = _folder_name(folder, root) if uid is None else _uid_name(uid)
            groups.setdefault(name, []).append(StudyImage(id=_image_id(path, images), path=path))
        dicom_files += others
    for series in series_among(dicom_files, limits=limits):
        name = _folder_name(series.folder, root) if series.study_uid is None else _uid_name(series.study_uid)
        image = StudyImage(id=image_name(series), path=series.folder, series_uid=series.series_uid)
        groups.setdefault(name, []).append(image)
    if not groups:
        raise InputError(
            "no image was found.",
            remedy=f"Give a folder with DICOM series or {', '.join(IMAGE_ENDINGS)} files.",
        )
    return tuple(
        StudyImages(name=name, images=tuple(sorted(images, key=lambda image: image.id)))
        for name, images in sorted(groups.items())
    )


def _folders(
    root: Path, *, leave_out: Path | None, limits: Limits
) -> Iterator[tuple[Path, list[Path], list[Path]]]:
    """Yield each folder that is looked into, with its image files and with its other files."""
    if root.is_file():
        named = root.name.lower().endswith(IMAGE_ENDINGS)
        yield root.parent, [root] if named else [], [] if named else [root]
        return
    left_out = None if leave_out is None else leave_out.resolve()
    seen = 0
    for place, folders, names in os.walk(root):
        folder = Path(place)
        seen += len(names)
        if seen > limits.max_files:
            raise LimitError(
                f"the folder holds more than {limits.max_files} files.", remedy="Give a part of it at a time."
            )
        files = [folder / name for name in sorted(names) if not name.startswith(".")]
        images = [file for file in files if file.name.lower().endswith(IMAGE_ENDINGS)]
        inner = [] if images else sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in inner if (folder / name).resolve() != left_out]
        yield folder, images, [] if images else files


def _folder_name(folder: Path, root: Path) -> str:
    inside = folder if root.is_dir() else folder / stem_of(root)
    parts = inside.relative_to(root if root.is_dir() else folder).parts
    return "_".join(parts) or root.resolve().name or "study"


def _uid_name(study_uid: str) -> str:
    return f"study-{hashlib.sha256(study_uid.encode()).hexdigest()[:16]}"


def _image_id(path: Path, beside: list[Path]) -> str:
    """Return the file's name without its ending, or all of it where another file would have the same id."""
    stem = stem_of(path)
    return path.name if sum(stem_of(other) == stem for other in beside) > 1 else stem
