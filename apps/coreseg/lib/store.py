"""MONAI Label's folder of images and labels, made to bear crashes, several processes and hostile names.

Files appear whole or not at all, under names that were checked. The index is read anew whenever another process has
written it, changed under a lock, and replaced in one step, so that no process undoes what another has saved.
"""

from __future__ import annotations

import filecmp
import gzip
import json
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore, LocalDatastoreModel

from coreseg_core.checkpoint import replace_file
from coreseg_core.errors import InputError, NotFoundError
from lib.found import image_not_found
from lib.names import IMAGE_EXTENSIONS, image_id, label_tag
from lib.store_index import (
    FileState,
    file_state,
    found_objects,
    known_extension,
    lay_record,
    read_lease,
    read_record,
)

_INCOMING = ".incoming-"
# Also what `replace_file` and `write_whole` begin with.
_UNFINISHED = (_INCOMING, ".replacing-", ".partial-")
_STALE_S = 3600
_PART_BYTES = 1 << 20


class SafeStore(LocalDatastore):
    """A folder of images with `labels/<tag>/<image id>` below it; see `LocalDatastore` for the arguments."""

    def __init__(self, datastore_path: str, **options: Any) -> None:
        folder = Path(datastore_path)
        folder.mkdir(parents=True, exist_ok=True)
        self._file_lock = FileLock(folder / ".lock")
        self._index: LocalDatastoreModel | None = None
        self._index_state: FileState | None = None
        super().__init__(datastore_path, **options)
        _remove_stale(folder)

    @property
    def folder(self) -> Path:
        """Where the images lie."""
        return Path(self._datastore.image_path())

    @property
    def _datastore(self) -> LocalDatastoreModel:
        """The index as it is on the disk now; MONAI Label's own methods read it as an attribute."""
        state = file_state(Path(self._datastore_config_path))
        if state is not None and state != self._index_state:
            self._read_index(state)
        assert self._index is not None
        return self._index

    @_datastore.setter
    def _datastore(self, index: LocalDatastoreModel) -> None:
        self._index = index

    def _read_index(self, state: FileState) -> None:
        try:
            text = Path(self._datastore_config_path).read_text(encoding="utf-8")
            index = LocalDatastoreModel.model_validate_json(text)
        except (OSError, ValueError) as error:
            raise InputError(
                "The index of the studies folder is unreadable.",
                remedy="Move datastore_v2.json away: it is made anew from the files.",
            ) from error
        index.base_path = self._datastore_path
        self._index, self._index_state = index, state

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        """Do nothing: whoever reads the index reads it as it is."""

    def _update_datastore_file(self, lock: bool = True) -> None:
        with self._file_lock:
            self._write_index(self._datastore)

    def _write_index(self, index: LocalDatastoreModel) -> None:
        path = Path(self._datastore_config_path)
        values = index.model_dump(exclude={"base_path"})
        try:
            content = json.dumps(values, indent=2, default=str, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            # Escaped, half a character could be written, but never be read again.
            raise InputError(
                "A text holds half a character (a surrogate without its other half).",
                remedy="Send texts that can be written as UTF-8.",
            ) from error
        replace_file(path, content)
        self._index, self._index_state = index, file_state(path)

    @contextmanager
    def _changing(self) -> Iterator[LocalDatastoreModel]:
        """Yield a copy of the index, which takes its place once it is written; nobody else changes it meanwhile.

        Entries are shared with the index that others read: `_entry_to_change` gives one of its own.
        """
        with self._file_lock:
            current = self._datastore
            index = current.model_copy(update={"objects": dict(current.objects)})
            yield index
            self._write_index(index)

    def _reconcile_datastore(self) -> None:
        with self._file_lock:
            index = self._datastore
            objects = self._objects(index)
            if objects != index.objects or self._index_state is None:
                self._write_index(index.model_copy(update={"objects": objects}))

    def _objects(self, index: LocalDatastoreModel) -> dict[str, ImageLabelModel]:
        """Return the images and labels that there are."""
        return found_objects(index, lambda folder: self._list_files(folder, self._extensions), self._to_id)

    def _list_files(self, path: str, patterns: Any) -> dict[str, str]:
        found: dict[str, str] = super()._list_files(path, patterns)
        # What begins with a dot is not whole yet.
        return {name: file for name, file in found.items() if not name.startswith(".")}

    def _to_id(self, file: str) -> tuple[str, str]:
        extension = known_extension(file, [pattern.removeprefix("*") for pattern in self._extensions])
        return file.removesuffix(extension), extension

    def has_image(self, image: str) -> bool:
        """Return whether there is such an image, fetched or not; what is known already is not asked for again."""
        return image in self._datastore.objects or image in self.list_images()

    def add_image(self, image_id: str, image_filename: str, image_info: Mapping[str, Any]) -> str:
        """Return the id under which an image file is now in the store; sent again, it keeps its labels.

        Raises:
            InputError: No id that may be used, or a file whose ending is unknown, or another image has the id.
        """
        return self.place_image(image_id, Path(image_filename), image_info)

    def place_image(self, name: str, source: Path, info: Mapping[str, Any]) -> str:
        """See `add_image`."""
        own, extension = self._to_id(source.name)
        checked = image_id(name or own)
        if extension not in IMAGE_EXTENSIONS:
            raise InputError("The image's ending is unknown.", remedy=f"Send {', '.join(IMAGE_EXTENSIONS)}.")
        folder = Path(self._datastore.image_path())
        with _incoming(source, folder) as whole, self._changing() as index:
            known = index.objects.get(checked)
            if known is not None and known.image.ext != extension:
                raise InputError(
                    "There is an image of this id already, of another kind.", remedy="Choose another id."
                )
            if known is not None and not _same_picture(whole, folder / f"{checked}{extension}"):
                # Its answers, labels and side-car would be taken for those of the new one.
                raise InputError(
                    "There is another image of this id already.",
                    remedy="Choose another id, or remove that image first (DELETE /datastore/image), which removes "
                    "its labels and answers as well.",
                )
            whole.replace(folder / f"{checked}{extension}")
            values = {**info, "ts": int(time.time()), "name": f"{checked}{extension}"}
            labels = dict(known.labels) if known is not None else {}
            index.objects[checked] = ImageLabelModel(
                image=DataModel(info=values, ext=extension), labels=labels
            )
        return checked

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: Mapping[str, Any]
    ) -> str:
        """Return the id of a label, which is its image's; a record among its params is laid beside it first.

        Raises:
            NotFoundError: There is no such image.
            InputError: No tag that may be used.
        """
        return self.place_label(image_id, Path(label_filename), label_tag, label_info)

    def place_label(self, image: str, source: Path, tag: str, info: Mapping[str, Any]) -> str:
        """See `save_label`."""
        folder = Path(self._datastore.label_path(label_tag(tag)))
        _entry(self._datastore, image)
        _, extension = self._to_id(source.name)
        folder.mkdir(parents=True, exist_ok=True)
        with _incoming(source, folder) as whole, self._changing() as index:
            entry = _entry_to_change(index, image)
            earlier = entry.labels.get(tag)
            rest = lay_record(folder / f"{image}.json", info)
            whole.replace(folder / f"{image}{extension}")
            values = {**rest, "ts": int(time.time()), "name": f"{image}{extension}"}
            entry.labels[tag] = DataModel(info=values, ext=extension)
        if earlier is not None and earlier.ext != extension:
            (folder / f"{image}{earlier.ext}").unlink(missing_ok=True)
        return image

    def remove_image(self, image_id: str) -> None:
        """Remove an image with its side-car, its labels and their records.

        Raises:
            NotFoundError: There is no such image.
        """
        with self._changing() as index:
            entry = _entry(index, image_id)
            del index.objects[image_id]
            for tag, label in entry.labels.items():
                _unlink_pair(Path(index.label_path(tag)), image_id, label.ext)
            # The side-car says what made the image; another one under this id would be taken for the same kind.
            _unlink_pair(Path(index.image_path()), image_id, entry.image.ext)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label and its record.

        Raises:
            NotFoundError: There is no such label.
        """
        with self._changing() as index:
            label = _label(_entry(index, label_id), label_tag)
            del _entry_to_change(index, label_id).labels[label_tag]
            _unlink_pair(Path(index.label_path(label_tag)), label_id, label.ext)

    def update_image_info(self, image_id: str, info: Mapping[str, Any]) -> None:
        """Lay `info` over what is known of an image.

        Raises:
            NotFoundError: There is no such image.
        """
        with self._changing() as index:
            _entry_to_change(index, image_id).image.info.update(info)

    def update_label_info(self, label_id: str, label_tag: str, info: Mapping[str, Any]) -> None:
        """Lay `info` over what is known of a label.

        Raises:
            NotFoundError: There is no such label.
        """
        with self._changing() as index:
            _label(_entry_to_change(index, label_id), label_tag).info.update(info)

    def lend(self, images: Sequence[str], reader: str, *, now_s: float, for_s: float) -> str | None:
        """Return the first image that is lent to nobody else, lent to the reader from now on; None if there is none.

        Args:
            images: In the order of preference; those that the reader has already come last, the oldest first.
            reader: Who asks; one without a name takes what is free and lends nothing.
            now_s: Seconds since 1970.
            for_s: How long it is lent.
        """
        with self._changing() as index:
            free: list[str] = []
            own: list[tuple[float, str]] = []
            for image in images:
                holder, until_s = (
                    read_lease(index.objects[image].image.info) if image in index.objects else ("", 0)
                )
                if until_s <= now_s or not holder:
                    free.append(image)
                elif holder == reader:
                    own.append((until_s, image))
            chosen = free[0] if free else min(own)[1] if own else None
            if chosen is not None and reader:
                lease = {"reader": reader, "until_s": now_s + for_s}
                _entry_to_change(index, chosen).image.info["lease"] = lease
        return chosen

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """Return what is known of a label, with the record beside it; nothing where there is no such label."""
        label = self._datastore.label(label_id, label_tag)
        if label is None:
            return {}
        record = read_record(Path(self._datastore.label_path(label_tag)) / f"{label_id}.json")
        if not record:
            return dict(label.info)
        params = label.info.get("params")
        return {
            **label.info,
            "params": {**(params if isinstance(params, Mapping) else {}), "record": record},
        }


def _entry(index: LocalDatastoreModel, image: str) -> ImageLabelModel:
    entry = index.objects.get(image)
    if entry is None:
        raise image_not_found()
    return entry


def _entry_to_change(index: LocalDatastoreModel, image: str) -> ImageLabelModel:
    entry = index.objects[image] = _entry(index, image).model_copy(deep=True)
    return entry


def _label(entry: ImageLabelModel, tag: str) -> DataModel:
    label = entry.labels.get(tag)
    if label is None:
        raise NotFoundError(
            "There is no such label of this image.",
            remedy="GET /datastore/?output=all lists the tags of each image.",
        )
    return label


@contextmanager
def _incoming(source: Path, folder: Path) -> Iterator[Path]:
    """Yield a whole copy of a file, on the disk for good, under a passing name in the folder where it belongs."""
    partial = folder / f"{_INCOMING}{secrets.token_hex(8)}"
    try:
        with source.open("rb") as given, partial.open("xb") as copy:
            shutil.copyfileobj(given, copy)
            copy.flush()
            os.fsync(copy.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _same_picture(one: Path, other: Path) -> bool:
    """Return whether two files of one kind hold the same bytes, however they were compressed."""
    if not other.is_file():
        return False
    if filecmp.cmp(one, other, shallow=False):
        return True
    if not other.name.endswith(".gz"):
        return False
    try:
        with gzip.open(one) as first, gzip.open(other) as second:
            while (part := first.read(_PART_BYTES)) == second.read(_PART_BYTES):
                if not part:
                    return True
    except (OSError, EOFError, zlib.error):
        return False
    return False


def _unlink_pair(folder: Path, image: str, extension: str) -> None:
    for ending in (extension, ".json"):
        (folder / f"{image}{ending}").unlink(missing_ok=True)


def _remove_stale(folder: Path) -> None:
    """Remove copies that a killed process left unfinished."""
    before = time.time() - _STALE_S
    for place in (folder, *(folder / "labels").glob("*/")):
        for partial in [path for start in _UNFINISHED for path in place.glob(f"{start}*")]:
            with suppress(FileNotFoundError):
                if partial.stat().st_mtime < before:
                    partial.unlink()
