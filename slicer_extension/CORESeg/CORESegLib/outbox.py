"""Labels on their way to the store, kept on disk until the server has them: neither it nor Slicer may lose one.

A submission is a folder that appears whole by a rename and goes only once the server has said yes. Sending twice
does no harm, so whatever is doubtful is sent again.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CORESegLib.answers import text_of
from CORESegLib.client import Client
from CORESegLib.stopping import CancelToken
from CORESegLib.trouble import Trouble

SCHEMA = "coreseg.outbox/1"
LABEL = "label.nrrd"
_NOTE = "submission.json"
_PARTIAL = ".partial-"
_FAILED = "refused.json"
STALE_S = 3600


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A label that waits.

    Attributes:
        key: Its name in the outbox.
        server: For which it is.
        image_id: Of its image there.
        tag: Under which it is kept there.
        params: Kept with it there.
        refused: Why the server did not take it, where waiting does not help; empty else.
        folder: Where it lies.
    """

    key: str
    server: str
    image_id: str
    tag: str
    params: Mapping[str, Any]
    refused: str
    folder: Path

    @property
    def label(self) -> Path:
        """The file of the label."""
        return self.folder / LABEL


class Outbox:
    """Submissions of one person on this machine.

    Args:
        folder: Where they lie; made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)

    def put(
        self,
        write_label: Callable[[Path], object],
        *,
        server: str,
        image_id: str,
        tag: str,
        params: Mapping[str, Any],
    ) -> str:
        """Return the key of a new submission, once it is on the disk for good.

        Args:
            write_label: Writes the label to the path it is given.
            server: As in `Submission`, and so on.
            image_id: See there.
            tag: See there.
            params: See there.

        Raises:
            Trouble: It cannot be written.
        """
        # Names rise with time, so that the order of names is the order of sending.
        key = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        partial = self.folder / f"{_PARTIAL}{key}"
        note = {
            "schema": SCHEMA,
            "server": server,
            "image_id": image_id,
            "tag": tag,
            "params": dict(params),
        }
        try:
            partial.mkdir()
            write_label(partial / LABEL)
            (partial / _NOTE).write_text(json.dumps(note, ensure_ascii=False), encoding="utf-8")
            for path in (partial / LABEL, partial / _NOTE):
                _flush(path)
            partial.rename(self.folder / key)
        except OSError as fault:
            raise Trouble(
                "local",
                "The label cannot be kept on this machine's disk.",
                remedy="Make room, then submit again.",
            ) from fault
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return key

    def waiting(self) -> tuple[Submission, ...]:
        """Return what waits, the oldest first; what cannot be read is passed over and stays."""
        found = (_read(path) for path in sorted(self.folder.iterdir()) if not path.name.startswith("."))
        return tuple(submission for submission in found if submission is not None)

    def deliver(self, client: Client, cancel: CancelToken) -> int:
        """Return how many submissions the client's server has taken now; refused ones are not tried.

        Raises:
            Trouble: The server is away, so that what is left goes on waiting.
        """
        taken = 0
        for submission in self.waiting():
            if submission.server != client.address_url or submission.refused:
                continue
            try:
                client.send_label(
                    submission.image_id, submission.label, submission.tag, submission.params, cancel
                )
            except Trouble as trouble:
                if trouble.retryable or trouble.kind in (
                    "cancelled",
                    "access",
                    "tls",
                    "not_our_server",
                    "version",
                ):
                    raise
                self._refuse(submission, trouble)
                continue
            self.drop(submission)
            taken += 1
        return taken

    def try_again(self, submission: Submission) -> None:
        """Let a refused submission be sent again."""
        (submission.folder / _FAILED).unlink(missing_ok=True)

    def drop(self, submission: Submission) -> None:
        """Remove a submission: the server has it, or the person does not want it any more."""
        # Out of sight in one step, so that a crash leaves no half of it.
        gone = self.folder / f"{_PARTIAL}{submission.key}"
        os.replace(submission.folder, gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _refuse(self, submission: Submission, trouble: Trouble) -> None:
        note = json.dumps({"said": str(trouble)}, ensure_ascii=False)
        (submission.folder / _FAILED).write_text(note, encoding="utf-8")


def _read(folder: Path) -> Submission | None:
    note = _object(folder / _NOTE)
    if note is None or note.get("schema") != SCHEMA or not (folder / LABEL).is_file():
        return None
    params = note.get("params")
    refusal = _object(folder / _FAILED)
    return Submission(
        key=folder.name,
        server=text_of(note, "server", limit=500),
        image_id=text_of(note, "image_id", limit=256),
        tag=text_of(note, "tag", limit=64),
        params=params if isinstance(params, dict) else {},
        refused="" if refusal is None else text_of(refusal, "said", limit=1300) or "The server refused it.",
        folder=folder,
    )


def _object(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _flush(path: Path) -> None:
    with path.open("rb+") as written:
        os.fsync(written.fileno())


def _remove_stale(folder: Path) -> None:
    """Remove what a killed Slicer left half written, unless another Slicer is writing it just now."""
    for path in folder.glob(f"{_PARTIAL}*"):
        if path.stat().st_mtime < time.time() - STALE_S:
            shutil.rmtree(path, ignore_errors=True)
