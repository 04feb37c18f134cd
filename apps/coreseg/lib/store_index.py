"""What an index of a store says, held against the files that are there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastoreModel

from coreseg_core.checkpoint import replace_file

FileState = tuple[int, int, int]
Names = Callable[[str], Iterable[str]]
Splitter = Callable[[str], tuple[str, str]]


def file_state(path: Path) -> FileState | None:
    """Return what changes whenever a file is replaced; None where there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def known_extension(name: str, extensions: Iterable[str]) -> str:
    """Return the longest of the known endings that a file name has, else what stands behind its last dot."""
    fitting = [extension for extension in extensions if name.endswith(extension)]
    return max(fitting, key=len, default=Path(name).suffix)


def found_objects(index: LocalDatastoreModel, names_in: Names, split: Splitter) -> dict[str, ImageLabelModel]:
    """Return the images and labels whose files are there; what the index knows of them is kept.

    Args:
        index: What was known.
        names_in: Lists the image files of a folder.
        split: Splits a file name into id and ending.
    """
    folder = Path(index.image_path())
    images = dict(split(name) for name in sorted(names_in(str(folder))))
    found = {}
    for image in _in_order(index, images):
        entry = index.objects.get(image)
        known = entry.image if entry is not None else None
        found[image] = ImageLabelModel(image=_known_or_new(known, folder, image, images[image]))
    labels_dir = Path(index.label_path(None))
    for tag in sorted(path.name for path in labels_dir.iterdir() if path.is_dir()):
        for name in sorted(names_in(str(labels_dir / tag))):
            image, extension = split(name)
            if image not in found:
                continue
            known = index.label(image, tag)
            found[image].labels[tag] = _known_or_new(known, labels_dir / tag, image, extension)
    return found


def lay_record(path: Path, info: Mapping[str, Any]) -> dict[str, Any]:
    """Write the record among a label's params into a file of its own, and return what is left for the index.

    Records hold every word of every slice; in the index, which is written whole at each change, they would grow into
    a burden. Without a record, one that an earlier label left there goes.
    """
    params = info.get("params")
    record = params.get("record") if isinstance(params, Mapping) else None
    if not isinstance(params, Mapping) or record is None:
        path.unlink(missing_ok=True)
        return dict(info)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    replace_file(path, (text + "\n").encode())
    return {**info, "params": {key: value for key, value in params.items() if key != "record"}}


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record in a file, None where there is none."""
    try:
        values = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def read_lease(info: Mapping[str, Any]) -> tuple[str, float]:
    """Return who has an image and until when, in seconds since 1970; an empty name where nobody has it."""
    lease = info.get("lease")
    if not isinstance(lease, Mapping) or not isinstance(lease.get("until_s"), int | float):
        return "", 0.0
    return str(lease.get("reader", "")), float(lease["until_s"])


def _in_order(index: LocalDatastoreModel, images: Mapping[str, str]) -> list[str]:
    """Return the ids of the files that are there, those first that were known first."""
    return [
        *(image for image in index.objects if image in images),
        *(i for i in images if i not in index.objects),
    ]


def _known_or_new(known: DataModel | None, folder: Path, image: str, extension: str) -> DataModel:
    if known is not None and (folder / f"{image}{known.ext}").exists():
        return known
    return DataModel(info={"ts": int(time.time()), "name": f"{image}{extension}"}, ext=extension)
