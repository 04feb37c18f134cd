"""Logs without patients: names of images and files are often names of people, and clients put them into addresses."""

from __future__ import annotations

import logging

# They log what clients send, names of files and images among it.
_TALKATIVE = (
    "dicomweb_client",
    "monailabel.datastore.local",
    "monailabel.endpoints",
    "monailabel.interfaces.app",
    "monailabel.tasks",
    "monailabel.utils.async_tasks",
    "monailabel.utils.sessions",
)
_PATH = 2


class WithoutQuery(logging.Filter):
    """Takes what follows the question mark out of uvicorn's lines about requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True; the record is changed."""
        if isinstance(record.args, tuple) and len(record.args) > _PATH:
            args = list(record.args)
            args[_PATH] = str(args[_PATH]).partition("?")[0]
            record.args = tuple(args)
        return True


def keep_names_out_of_logs() -> None:
    """Silence what names images; a second call changes nothing."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    access = logging.getLogger("uvicorn.access")
    if not any(type(known).__name__ == WithoutQuery.__name__ for known in access.filters):
        access.addFilter(WithoutQuery())
