"""What the panel asks of a server about trainings and versions: one method a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from CORESegLib.answers import part_of, text_of, whole_of
from CORESegLib.event_stream import ServerEvent
from CORESegLib.model_versions import Versions, read_versions
from CORESegLib.server_calls import ask_object, json_body, stream_events
from CORESegLib.stopping import CancelToken
from CORESegLib.training_stand import NAME, TrainingStand, read_stand
from CORESegLib.transport import Call, Transport
from CORESegLib.trouble import Trouble

FINAL = "final"
START_S = 300.0
"""A server that begins a training first copies all corrections into the training's folder."""
PROMOTE_AT_ONCE = {True: "if not worse", False: "never"}


class TrainingClient:
    """Trainings and versions of a CORE-Seg server. Every method blocks, so that it belongs into a worker thread.

    Args:
        transport: The way there.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def labels(self, cancel: CancelToken) -> int:
        """Return how many images of the store have a final label."""
        values = self._object(Call(method="GET", path=("datastore", "")), cancel)
        return whole_of(part_of(values, "label_tags"), FINAL)

    def all(self, cancel: CancelToken) -> tuple[TrainingStand, ...]:
        """Return where each training stands, the oldest first.

        Raises:
            Trouble: Of kind `not_found` where the server does not learn, and as any call.
        """
        values = self._object(Call(method="GET", path=("coreseg", "training")), cancel)
        told = values.get("trainings")
        return (
            tuple(read_stand(one) for one in told if isinstance(one, dict)) if isinstance(told, list) else ()
        )

    def stand(self, run: str, cancel: CancelToken) -> TrainingStand:
        """Return where a training stands."""
        return read_stand(self._object(Call(method="GET", path=("coreseg", "training", run)), cancel))

    def start(
        self,
        *,
        minutes: float,
        at_once: bool,
        cancel: CancelToken,
        recipe: str = "sft",
        more: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the name of a training that has begun on the store's final labels.

        Args:
            minutes: Of learning, at most.
            at_once: Whether a version that is not worse than its parent answers at once.
            cancel: See `CancelToken`.
            recipe: `sft` or `grpo`.
            more: Further options, as the server's documentation names them.

        Raises:
            Trouble: There is too little to learn from, or another training runs (code `already_running`).
        """
        wishes = {**(more or {}), "minutes": minutes, "promote": PROMOTE_AT_ONCE[at_once]}
        return self._begin(recipe, wishes, cancel)

    def resume(self, stand: TrainingStand, cancel: CancelToken) -> str:
        """Return the name of a training that was stopped or has failed and goes on from its last checkpoint.

        Raises:
            Trouble: It cannot go on, or another one runs.
        """
        return self._begin(stand.recipe, {"resume": stand.run}, cancel)

    def stop(self, run: str, cancel: CancelToken) -> TrainingStand:
        """Return where a training stands that was asked to stop; its last whole checkpoint stays."""
        return read_stand(self._object(Call(method="DELETE", path=("coreseg", "training", run)), cancel))

    def events(self, run: str, last_id: int, cancel: CancelToken) -> Iterator[ServerEvent]:
        """Yield what a training says after event `last_id`, until the stream ends or breaks; see `Client.events`."""
        yield from stream_events(self._transport, ("coreseg", "training", run, "events"), last_id, cancel)

    def versions(self, cancel: CancelToken) -> Versions:
        """Return all versions, and which answers."""
        return read_versions(self._object(Call(method="GET", path=("coreseg", "versions")), cancel))

    def promote(self, name: str, cancel: CancelToken, *, despite_guard: bool = False) -> Versions:
        """Return all versions after one was made to answer; one that its guard holds back wants `despite_guard`."""
        query = {"despite_guard": "true"} if despite_guard else {}
        path = ("coreseg", "versions", name, "promote")
        return read_versions(self._object(Call(method="POST", path=path, query=query), cancel))

    def roll_back(self, cancel: CancelToken) -> Versions:
        """Return all versions after the one that answered before the last change was made to answer again."""
        return read_versions(
            self._object(Call(method="POST", path=("coreseg", "versions", "roll-back")), cancel)
        )

    def _begin(self, recipe: str, wishes: Mapping[str, Any], cancel: CancelToken) -> str:
        path = ("train", f"coreseg_{recipe}")
        call = Call(method="POST", path=path, body=json_body(wishes), silence_s=START_S)
        run = text_of(self._object(call, cancel), "id", limit=200)
        if not NAME.fullmatch(run):
            raise Trouble(
                "not_our_server",
                "The server names no training.",
                remedy="Extension and server may be of different versions.",
            )
        return run

    def _object(self, call: Call, cancel: CancelToken) -> dict[str, Any]:
        return ask_object(self._transport, call, cancel)
