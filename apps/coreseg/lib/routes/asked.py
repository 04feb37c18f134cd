"""From a request to a question that the queue can take: names checked, params read, no image opened yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.utils.app import app_instance

from coreseg_core.errors import InputError
from lib.found import image_not_found, session_not_found
from lib.jobs import JobResult
from lib.jobs.job import Work
from lib.store import SafeStore
from lib.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A checked request.

    Attributes:
        model: Name of a task.
        image: Id of an image of the store; empty for one of a session or sent along.
        params: What the client chose.
        image_path: Where an image lies that is not of the store.
        session: Of the image.
    """

    model: str
    image: str
    params: Mapping[str, Any]
    image_path: Path | None = None
    session: Mapping[str, Any] = field(default_factory=dict)

    def work(self) -> Work:
        """Return the work of answering it."""
        app = app_instance()
        request = {**self.params, "model": self.model, "image": self.image}
        if self.session:
            request["session"] = dict(self.session)

        def answer(watch: Watch) -> JobResult:
            answered = app.answer(request, image_path=self.image_path, watch=watch)
            record = answered["params"]["record"]
            return JobResult(told={"record": record}, answer=answered, file=Path(answered["file"]))

        return answer


def check_asked(
    *, model: str, image: str, session_id: str, params: Mapping[str, Any], sent_along: Path | None = None
) -> Asked:
    """Return a request that can be answered as far as names and params tell.

    Args:
        model: Name of a task.
        image: Id of an image of the store.
        session_id: In place of `image`.
        params: As `read_params` returns them.
        sent_along: Where an image lies that came with the request; in place of both.

    Raises:
        NotFoundError: There is no such model, image or session.
        InputError: Params that the task cannot be asked with, or no image.
    """
    app = app_instance()
    task = app.task(model)
    if sent_along is not None:
        asked = Asked(model=model, image="", params=params, image_path=sent_along)
    elif session_id:
        session = find_session(session_id)
        asked = Asked(
            model=model, image="", params=params, image_path=Path(session["image"]), session=session
        )
    elif image:
        _require_image(app.datastore(), image)
        asked = Asked(model=model, image=image, params=params)
    else:
        raise InputError(
            "The request names no image.", remedy="Give ?image=ID, ?session_id=ID or send a `file`."
        )
    task.check(params)
    return asked


def _require_image(store: Datastore, image: str) -> None:
    """Look for an image without fetching it: from a DICOMweb server that may take minutes."""
    if not (store.has_image(image) if isinstance(store, SafeStore) else image in store.list_images()):
        raise image_not_found()


def find_session(session_id: str) -> dict[str, Any]:
    """Return what MONAI Label knows of a session.

    Raises:
        NotFoundError: There is none, or it has ended.
    """
    sessions = app_instance().sessions()
    found = sessions.get_session(session_id) if sessions is not None else None
    if not found:
        raise session_not_found()
    return cast(dict[str, Any], found.to_json())
