"""DICOM series that lie in folders below the studies, brought into the store when the server starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

from coreseg_core.errors import CoreSegError
from coreseg_core.imaging.series_import import import_series
from coreseg_core.limits import Limits
from lib.errors import where
from lib.store import SafeStore

_NOT_STUDIES = "labels"

_log = logging.getLogger(__name__)


def import_in_background(store: SafeStore, studies: Path, *, limits: Limits) -> Thread:
    """Return the thread that brings the series in, one folder after another; the server answers meanwhile."""
    thread = Thread(
        target=import_folders, args=(store, studies), kwargs={"limits": limits}, name="import", daemon=True
    )
    thread.start()
    return thread


def import_folders(store: SafeStore, studies: Path, *, limits: Limits) -> int:
    """Return how many series became images of the store; what is there already is not read again."""
    count = 0
    for folder in _folders(studies):
        try:
            done = import_series(folder, studies, limits=limits)
        except CoreSegError as error:
            # Mostly a folder without DICOM; its name may be a patient's.
            _log.info("A folder of the studies was left out: %s", where(error))
            continue
        for failure in done.failed:
            _log.warning("A series could not be imported: %s", failure.reason)
        if done.new:
            store.refresh()
            count += len(done.new)
    _log.info("%d DICOM series were imported.", count)
    return count


def _folders(studies: Path) -> Iterator[Path]:
    for folder in sorted(studies.iterdir()):
        if folder.is_dir() and folder.name != _NOT_STUDIES and not folder.name.startswith("."):
            yield folder
