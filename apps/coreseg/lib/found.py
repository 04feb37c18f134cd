"""What a request names and this server has, or the error that says it has not."""

from __future__ import annotations

from pathlib import Path

from monailabel.interfaces.datastore import Datastore

from coreseg_core.errors import NotFoundError


def image_not_found() -> NotFoundError:
    """Return the error of an id that no image has."""
    return NotFoundError(
        "There is no such image in the studies of this server.",
        remedy="Use an id that GET /datastore/?output=all lists under `objects`.",
    )


def session_not_found() -> NotFoundError:
    """Return the error of an id that no session has."""
    return NotFoundError("There is no such session, or it has ended.", remedy="Make one with PUT /session/.")


def image_path(store: Datastore, image: str) -> Path:
    """Return where an image of the store lies.

    Raises:
        NotFoundError: There is none of this id.
    """
    if image not in store.list_images():
        raise image_not_found()
    return Path(store.get_image_uri(image))
