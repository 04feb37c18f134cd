"""Logs without patients: names of images and files are often names of people, and clients put them into addresses."""

from __future__ import annotations

import logging
from collections.abc import Sequence

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
# MONAI Label's task processes run its module as the main one; at their end it writes the result, images by name.
_TELL_RESULTS = ("__main__", "monailabel.interfaces.utils.app")
# The server writes what its task processes say once more.
_TASKS = ("batch_infer", "infer", "scoring", "train")
_RESULT = "Result: "
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


class WithoutResults(logging.Filter):
    """Leaves out what a task process says of its result."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line may be written."""
        return _RESULT not in record.getMessage()


def keep_names_out_of_logs() -> None:
    """Silence what names images; a second call changes nothing."""
    _silence(_TALKATIVE)
    _add_once(logging.getLogger("uvicorn.access"), WithoutQuery())
    for task in _TASKS:
        _add_once(logging.getLogger(f"task_{task}"), WithoutResults())


def keep_results_out_of_logs() -> None:
    """Silence what names images at the end of a task process; its result goes where it was asked for."""
    _silence(_TELL_RESULTS)


def _silence(names: Sequence[str]) -> None:
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)


def _add_once(logger: logging.Logger, wanted: logging.Filter) -> None:
    # By name: MONAI Label imports an app's modules anew, so that the class may be there twice.
    if not any(type(known).__name__ == type(wanted).__name__ for known in logger.filters):
        logger.addFilter(wanted)
