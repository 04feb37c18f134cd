"""What the panel asks of a CORE-Seg server: one method a request, each with an end in time and a way to cancel it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CORESegLib.answers import part_of, text_of, whole_of
from CORESegLib.event_stream import ServerEvent
from CORESegLib.multipart import FilePart, Progress, form_body
from CORESegLib.server_calls import ask_object, json_body, stream_events
from CORESegLib.stopping import CancelToken
from CORESegLib.training_client import TrainingClient
from CORESegLib.transport import Call, Transport
from CORESegLib.trouble import Trouble

MODEL = "coreseg"
OLDEST_SERVER = (0, 1)
NEWEST_SERVER = (1, 0)
"""The first version that this panel may not understand any more."""
QUICK_S = 3.0
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class ServerInfo:
    """What a server says of itself.

    Attributes:
        version: Of CORE-Seg.
        preset: Of the model.
        model: Preset and version of the weights in memory; the preset alone while there are none.
        loaded: Whether the weights are in memory; the first question waits for them.
        waiting: Questions of others before the next one.
    """

    version: str
    preset: str
    model: str
    loaded: bool
    waiting: int


class Client:
    """A CORE-Seg server. Every method blocks, so that it belongs into a worker thread.

    Args:
        transport: The way there.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.training = TrainingClient(transport)

    @property
    def address_url(self) -> str:
        """Where the server is."""
        return self._transport.address.url

    def health(self, cancel: CancelToken) -> ServerInfo:
        """Return what the server says of itself.

        Raises:
            Trouble: It is not there, refuses, is none of ours, or of a version that this panel cannot speak to.
        """
        values = self._object(Call(method="GET", path=("coreseg", "health")), cancel)
        versions, model, queue = (part_of(values, key) for key in ("versions", "model", "queue"))
        version = text_of(versions, "coreseg", limit=40)
        _check_version(version)
        preset, name = (text_of(model, key, limit=80) for key in ("preset", "version"))
        return ServerInfo(
            version=version,
            preset=preset,
            model=f"{preset} {name}".strip(),
            loaded=model.get("loaded") is True,
            waiting=whole_of(queue, "waiting") + whole_of(queue, "running"),
        )

    def has_image(self, image_id: str, cancel: CancelToken) -> bool:
        """Return whether the server's store holds an image."""
        call = Call(method="HEAD", path=("datastore", "image"), query={"image": image_id})
        try:
            with self._transport.open(call, cancel):
                return True
        except Trouble as trouble:
            # A response to HEAD has no body that could say more.
            if trouble.status == 404:
                return False
            raise

    def send_image(
        self,
        image_id: str,
        path: Path,
        info: Mapping[str, str],
        cancel: CancelToken,
        on_progress: Progress | None = None,
    ) -> None:
        """Put an image into the server's store.

        Args:
            image_id: Carries nothing of the patient.
            path: An NRRD or NIfTI file; its name is not sent.
            info: What the file does not say, its modality for instance.
            cancel: See `CancelToken`.
            on_progress: Called in this thread with bytes sent and bytes in all.
        """
        part = FilePart(field="file", path=path, sent_name=f"image{_ending(path)}")
        body = form_body(part, {"params": json.dumps(dict(info))}, on_progress)
        call = Call(method="PUT", path=("datastore", "image"), query={"image": image_id}, body=body)
        self._object(call, cancel)

    def send_label(
        self, image_id: str, path: Path, tag: str, params: Mapping[str, Any], cancel: CancelToken
    ) -> None:
        """Put a reader's label with its record into the store; doing it twice is as good as once.

        Args:
            image_id: Of an image that the store has.
            path: An NRRD or NIfTI file on that image's grid.
            tag: `final` is what training learns from.
            params: Kept with the label.
            cancel: See `CancelToken`.
        """
        part = FilePart(field="label", path=path, sent_name=f"label{_ending(path)}")
        body = form_body(part, {"params": json.dumps(dict(params), ensure_ascii=False)})
        query = {"image": image_id, "tag": tag}
        self._object(Call(method="PUT", path=("datastore", "label"), query=query, body=body), cancel)

    def submit(
        self, image_id: str, params: Mapping[str, Any], cancel: CancelToken, model: str = MODEL
    ) -> str:
        """Return the id of a new job.

        Raises:
            Trouble: The server takes none, or not this one.
        """
        body = json_body({"model": model, "image": image_id, "params": dict(params)})
        values = self._object(Call(method="POST", path=("coreseg", "jobs"), body=body), cancel)
        job_id = text_of(values, "id", limit=100)
        if not _JOB_ID.fullmatch(job_id):
            raise Trouble(
                "not_our_server",
                "The server names no job.",
                remedy="Extension and server may differ in version.",
            )
        return job_id

    def events(self, job_id: str, last_id: int, cancel: CancelToken) -> Iterator[ServerEvent]:
        """Yield what a job says after event `last_id`, until the stream ends or breaks.

        Raises:
            Trouble: It breaks; asking again with the last id goes on where it broke.
        """
        yield from stream_events(self._transport, ("coreseg", "jobs", job_id, "events"), last_id, cancel)

    def stand(self, job_id: str, cancel: CancelToken) -> dict[str, Any]:
        """Return where a job stands."""
        return self._object(Call(method="GET", path=("coreseg", "jobs", job_id)), cancel)

    def stop(self, job_id: str) -> None:
        """Ask the server to stop a job; waits a few seconds at most.

        Raises:
            Trouble: The server was not reached, or has forgotten the job.
        """
        self._object(
            Call(method="DELETE", path=("coreseg", "jobs", job_id), silence_s=QUICK_S), CancelToken()
        )

    def fetch_label(self, job_id: str, path: Path, cancel: CancelToken, *, limit_bytes: int) -> None:
        """Write the label of a job that is done to a file; it appears whole or not at all.

        Args:
            job_id: Of the job.
            path: Chosen here; what the server calls the file is not looked at.
            cancel: See `CancelToken`.
            limit_bytes: More is not taken.
        """
        path_parts = ("coreseg", "jobs", job_id, "result")
        self._fetch(Call(method="GET", path=path_parts, query={"output": "image"}), path, cancel, limit_bytes)

    def fetch_image(self, image_id: str, path: Path, cancel: CancelToken, *, limit_bytes: int) -> None:
        """Write an image of the store to a file, as `fetch_label` does."""
        call = Call(method="GET", path=("datastore", "image"), query={"image": image_id})
        self._fetch(call, path, cancel, limit_bytes)

    def _fetch(self, call: Call, path: Path, cancel: CancelToken, limit_bytes: int) -> None:
        partial = path.with_name(f"{path.name}.partial")
        try:
            with self._transport.open(call, cancel) as response, partial.open("wb") as target:
                size = 0
                for piece in self._transport.read(response, cancel):
                    size += len(piece)
                    if size > limit_bytes:
                        raise Trouble("too_large", f"The file is larger than {limit_bytes >> 20} MiB.")
                    target.write(piece)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def _object(self, call: Call, cancel: CancelToken) -> dict[str, Any]:
        return ask_object(self._transport, call, cancel)


def _check_version(version: str) -> None:
    numbers = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    if numbers is None:
        raise Trouble(
            "not_our_server",
            "What answers there is no CORE-Seg server.",
            remedy="Check the address; another MONAI Label app may be running there.",
        )
    found = (int(numbers[1]), int(numbers[2]))
    if not OLDEST_SERVER <= found < NEWEST_SERVER:
        older = found < OLDEST_SERVER
        raise Trouble(
            "version",
            f"The server is CORE-Seg {version[:20]}; this panel speaks to {OLDEST_SERVER[0]}.{OLDEST_SERVER[1]} "
            f"up to before {NEWEST_SERVER[0]}.{NEWEST_SERVER[1]}.",
            remedy=f"Bring the {'server' if older else 'extension'} up to date.",
        )


def _ending(path: Path) -> str:
    return next(ending for ending in (".nii.gz", ".nrrd", ".nii", "") if path.name.lower().endswith(ending))
