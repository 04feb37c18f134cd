"""Studies that lie on a DICOMweb server: its series are images, fetched when one is asked about and kept in a folder.

Only reading is done there: labels and records stay in the folder. No answer is waited for without end, and a server
that gave none is left alone for a while, so that whoever asks meanwhile hears of it at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import requests
import urllib3
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastoreModel

from coreseg_core.errors import CoreSegError, LimitError, NotFoundError, SourceError
from coreseg_core.imaging.series_import import import_series, series_image_name
from coreseg_core.imaging.sidecar import modality_of_dicom_code
from coreseg_core.limits import Limits
from lib.errors import disk_faults
from lib.passing import passing_folder
from lib.store import SafeStore

FILTERS: tuple[Mapping[str, Any], ...] = tuple({"Modality": code} for code in ("CT", "MR", "PT", "US"))
"""What is searched for where nobody says otherwise."""
LOOK_S = 30.0
"""How long a list of series counts as that of now."""
REST_S = 10.0
"""How long a server that did not answer is not asked for its list again."""
SILENCE_S = 60
"""How long a server may say nothing before it counts as gone; see `ServerSettings.dicomweb_timeout_s`."""
FETCH_S = 1800.0
"""How long one series may take to arrive."""

_NOT_OFFERED = (400, 404, 405, 501)
_MODALITY, _STUDY, _SERIES = "00080060", "0020000D", "0020000E"
_Json = Mapping[str, Mapping[str, Any]]


class Instance(Protocol):
    """One DICOM object."""

    def save_as(self, filename: str, *, write_like_original: bool) -> None:
        """Write it to a file."""
        ...


class Archive(Protocol):
    """What is asked of a DICOMweb server; `dicomweb_client.DICOMwebClient` is one."""

    def search_for_series(
        self,
        study_instance_uid: str | None = None,
        *,
        search_filters: dict[str, Any],
        get_remaining: bool,
    ) -> Sequence[_Json]:
        """Return the attributes of series in the DICOM JSON model, of one study or of all."""
        ...

    def search_for_studies(self, *, get_remaining: bool) -> Sequence[_Json]:
        """Return the attributes of all studies in the DICOM JSON model."""
        ...

    def iter_series(self, study_instance_uid: str, series_instance_uid: str) -> Iterator[Instance]:
        """Yield the objects of a series."""
        ...


class DicomWebStore(SafeStore):
    """A folder of images that are fetched on demand.

    Args:
        archive: The server.
        folder: Where images, labels and records are kept.
        filters: What is searched for, one query each; what they find is put together.
        limits: What may be read.
        silence_s: How long the archive waits for a word of the server; for errors alone.
        clock: Seconds that only rise.
        options: Of `SafeStore`.
    """

    sends_labels = False
    """Whether labels go to the server; they stay in the folder."""

    def __init__(
        self,
        archive: Archive,
        folder: Path,
        *,
        filters: Sequence[Mapping[str, Any]] = FILTERS,
        limits: Limits,
        silence_s: int = SILENCE_S,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> None:
        self._archive = archive
        self._filters = filters
        self._limits = limits
        self._silence_s = silence_s
        self._clock = clock
        self._looked_s: float | None = None
        self._failed: tuple[float, SourceError] | None = None
        self._looking, self._fetching = Lock(), Lock()
        super().__init__(str(folder), **options)

    def list_images(self) -> list[str]:
        """Return the ids of all series on the server, fetched or not.

        Raises:
            SourceError: The server does not answer.
        """
        self._look()
        return list(super().list_images())

    def get_unlabeled_images(
        self, label_tag: str | None = None, labels: list[str] | None = None
    ) -> list[str]:
        """Return the ids of series without a final label; see `list_images`."""
        self._look()
        return list(super().get_unlabeled_images(label_tag, labels))

    def json(self) -> Any:
        """Return the index; see `list_images`."""
        self._look()
        return super().json()

    def get_image_uri(self, image_id: str) -> str:
        """Return where an image lies, once it is fetched.

        Raises:
            SourceError: The server does not answer, or has the series no more.
            InputError: What it sends is no image.
            StorageError: The disk of this machine does not take it.
        """
        entry = self._datastore.objects.get(image_id)
        if entry is None:
            return ""
        if not self._file(image_id, entry).is_file():
            with self._fetching:
                if not self._file(image_id, entry).is_file():
                    self._fetch(image_id, entry.image.info)
        return str(super().get_image_uri(image_id))

    def _objects(self, index: LocalDatastoreModel) -> dict[str, ImageLabelModel]:
        """Return what lies in the folder, and what is known of the server besides."""
        away = {name: entry for name, entry in index.objects.items() if "remote" in entry.image.info}
        return {**away, **super()._objects(index)}

    def _file(self, name: str, entry: ImageLabelModel) -> Path:
        return self.folder / f"{name}{entry.image.ext}"

    def _look(self) -> None:
        """Bring the index up to what the server has."""
        with self._looking:
            now_s = self._clock()
            if self._looked_s is not None and now_s - self._looked_s < LOOK_S:
                return
            if self._failed is not None and now_s - self._failed[0] < REST_S:
                earlier = self._failed[1]
                raise SourceError(earlier.reason, remedy=earlier.remedy)
            try:
                with _typed_faults(self._silence_s):
                    found = _all_series(self._archive, self._filters)
                    new = dict(map(_entry_of, found))
            except SourceError as error:
                self._failed = (self._clock(), error)
                raise
            self._note(new)
            self._looked_s, self._failed = self._clock(), None

    def _note(self, series: Mapping[str, Mapping[str, Any]]) -> None:
        """Lay what the index does not know yet into it."""
        known = self._datastore.objects
        if new := {name: info for name, info in series.items() if name not in known}:
            with self._changing() as index:
                for name, info in new.items():
                    entry = ImageLabelModel(image=DataModel(info=dict(info), ext=".nii.gz"))
                    index.objects.setdefault(name, entry)

    def _fetch(self, name: str, info: Mapping[str, Any]) -> None:
        with passing_folder() as place:
            with _typed_faults(self._silence_s):
                self._save(self._archive.iter_series(info["study_uid"], info["series_uid"]), place)
            done = import_series(place, self.folder, limits=self._limits)
        if done.failed:
            raise done.failed[0]
        lying = [ending for ending in (".nii.gz", ".nrrd") if (self.folder / f"{name}{ending}").is_file()]
        if not lying:
            raise NotFoundError(
                "The server sent another series than it was asked for.", remedy="Look for it on the server."
            )
        with self._changing() as index:
            entry = index.objects[name].model_copy(deep=True)
            entry.image.ext = lying[0]
            index.objects[name] = entry

    def _save(self, instances: Iterable[Instance], place: Path) -> None:
        begun_s = self._clock()
        for number, instance in enumerate(instances, start=1):
            if self._clock() - begun_s > FETCH_S:
                raise SourceError(
                    f"After {FETCH_S:.0f} s, the limit, the DICOMweb server had sent {number} objects of the "
                    "series and not the last one.",
                    remedy="Ask again when it is less busy, or bring the series in with `coreseg import`.",
                )
            if number > self._limits.max_files:
                raise LimitError(
                    f"The series has more than {self._limits.max_files} objects.",
                    remedy="Choose a smaller one.",
                )
            with disk_faults():
                instance.save_as(str(place / f"{number:06d}.dcm"), write_like_original=False)


def _all_series(archive: Archive, filters: Sequence[Mapping[str, Any]]) -> list[_Json]:
    """Return the series that the filters find, study by study where the server searches no other way."""
    try:
        return _series_of(archive, None, filters)
    except requests.HTTPError as error:
        if error.response is None or error.response.status_code not in _NOT_OFFERED:
            raise
    studies = [_first(study, _STUDY) for study in archive.search_for_studies(get_remaining=True)]
    return [series for study in studies for series in _series_of(archive, study, filters)]


def _series_of(archive: Archive, study: str | None, filters: Sequence[Mapping[str, Any]]) -> list[_Json]:
    return [
        series if _STUDY in series or study is None else {**series, _STUDY: {"Value": [study]}}
        for wanted in filters
        for series in archive.search_for_series(study, search_filters=dict(wanted), get_remaining=True)
    ]


def _entry_of(series: _Json) -> tuple[str, dict[str, Any]]:
    """Return the id of a series and what the index says of it: no name, date or id of a patient."""
    uid, code = _first(series, _SERIES), _first(series, _MODALITY)
    modality = modality_of_dicom_code(code)
    info = {"modality": modality, "series_uid": uid, "study_uid": _first(series, _STUDY), "remote": True}
    return series_image_name(modality, uid), info


def _first(series: _Json, tag: str) -> str:
    values = series.get(tag, {}).get("Value") or [""]
    return str(values[0])


@contextmanager
def _typed_faults(silence_s: int) -> Iterator[None]:
    """Turn a server that does not answer as it should into an error of ours, which repeats nothing of it."""
    try:
        yield
    except CoreSegError:
        raise
    except Exception as error:
        # Whatever the client makes of what a foreign server sends, or of its silence.
        if _is_silence(error):
            raise SourceError(
                f"The DICOMweb server said nothing for {silence_s} s, the limit (dicomweb_timeout_s).",
                remedy="Check that it is up and not overloaded, or raise dicomweb_timeout_s.",
            ) from error
        raise SourceError(
            f"The DICOMweb server did not answer as it should ({type(error).__name__}).",
            remedy="Check its address, and that it is up.",
        ) from error


def _is_silence(error: Exception) -> bool:
    # While a body is read, requests wraps the time-out of urllib3 into a ConnectionError.
    return isinstance(error, requests.Timeout) or any(
        isinstance(cause, urllib3.exceptions.ReadTimeoutError) for cause in error.args
    )
