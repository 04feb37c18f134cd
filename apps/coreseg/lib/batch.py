"""Many images, several questions: answered one after another, on whatever device there is, and no slice twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.batch_infer import BatchInferTask

from coreseg_core.errors import CoreSegError, InputError
from coreseg_core.prompts import clean_query
from lib.errors import error_json
from lib.kept import kept_answers
from lib.params import parse_ask
from lib.store import SafeStore

MAX_QUESTIONS = 32
JOURNALS = ".found"
"""Folder in that of the studies, of what is found as it is found; goes slice by slice, and with each answer."""

_OF_THE_BATCH = ("queries", "query", "images", "max_batch_size", "save_label")

_log = logging.getLogger(__name__)
Infer = Callable[[dict[str, Any], Datastore], Mapping[str, Any]]
Report = Callable[[Datastore, Mapping[str, Mapping[str, Any]]], object]


@dataclass(frozen=True)
class Piece:
    """One image and one question."""

    image: str
    query: str


class BatchQuestions(BatchInferTask):
    """Asks every image every question; what the same weights have answered already is not asked again.

    Args:
        weights_sha256: Returns the hash of the weights that answer now.
        report: Called with the store and the result, once all is answered.
    """

    def __init__(self, weights_sha256: Callable[[], str], *, report: Report) -> None:
        self._weights_sha256 = weights_sha256
        self._report = report

    def __call__(self, request: Mapping[str, Any], datastore: Datastore, infer: Infer) -> dict[str, Any]:
        """Return, by image, the outcome of each question or why there is none.

        A failure ends its piece, not the batch. With one question the labels are also saved under `label_tag`. Where
        the store is a folder, what is found is kept there slice by slice.
        """
        asked = _of_each(request)
        queries = read_queries(request)
        images = sorted(self.get_images(request, datastore))[
            : int(request.get("max_batch_size") or 0) or None
        ]
        pieces = [Piece(image, query) for image in images for query in queries]
        sha256 = self._weights_sha256()
        kept = {"journals": str(datastore.folder / JOURNALS)} if isinstance(datastore, SafeStore) else {}
        result: dict[str, dict[str, Any]] = {image: {} for image in images}
        for number, piece in enumerate(pieces, start=1):
            told = _answered_before(datastore, piece, asked, sha256)
            if told is None:
                told = _answer(piece, {**asked, **kept}, datastore, infer, save=len(queries) == 1)
            result[piece.image][piece.query] = told
            # What MONAI Label shows of a batch are its last lines; they number images and do not name them.
            _log.info("%d of %d: %s", number, len(pieces), told.get("outcome") or told["code"])
        try:
            self._report(datastore, result)
        except CoreSegError as error:
            # The answers are kept; a report can be made again by asking again, which asks nothing anew.
            _log.error("No report: %s %s", error.reason, error.remedy)
        return result


class Checked(Protocol):
    """A task that knows what it can be asked."""

    def check(self, request: Mapping[str, Any]) -> None:
        """Return nothing for params that can be asked."""
        ...


def check_batch(task: Checked, request: Mapping[str, Any]) -> None:
    """Return nothing for a batch that can begin.

    Raises:
        InputError: A question is missing, or is one that the task cannot be asked, or no slice is named for a scope
            that needs one.
    """
    for query in read_queries(request):
        asked = {**_of_each(request), "query": query}
        task.check(asked)
        ask = parse_ask(asked)
        if ask.scope != "volume" and ask.slices is None and ask.marks.empty:
            raise InputError(
                f"The scope of the batch is {ask.scope!r}, and no slice is named.",
                remedy="Give `slice` as a number or as 'start:stop', which counts for every image, or choose the "
                "scope 'volume'.",
            )


def _of_each(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a batch asks of every image: where it names no slice, and no scope, all of it."""
    asked = {key: value for key, value in request.items() if key not in _OF_THE_BATCH}
    if all(asked.get(key) in (None, "") for key in ("scope", "slice")):
        asked["scope"] = "volume"
    return asked


def read_queries(request: Mapping[str, Any]) -> list[str]:
    """Return the questions of a batch: `queries`, a list, or `query`, one.

    Raises:
        InputError: There are none, or what stands there are no texts.
        LimitError: A question is too long.
    """
    queries = request.get("queries") or [request.get("query", "")]
    if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
        raise InputError("`queries` is not a list of texts.", remedy='Send {"queries": ["liver tumor"]}.')
    if len(queries) > MAX_QUESTIONS:
        raise InputError(f"{len(queries)} questions, limit {MAX_QUESTIONS}.", remedy="Ask fewer at once.")
    return list(dict.fromkeys(clean_query(query) for query in queries))


def _answer(
    piece: Piece, asked: Mapping[str, Any], store: Datastore, infer: Infer, *, save: bool
) -> dict[str, Any]:
    try:
        answered = infer({**asked, "image": piece.image, "query": piece.query, "save_label": save}, store)
    except HTTPException as error:
        return dict(error.detail) if isinstance(error.detail, dict) else {"code": "error", "reason": ""}
    except CoreSegError as error:
        return error_json(error)
    Path(answered["file"]).unlink(missing_ok=True)
    return _told(answered["params"]["record"])


def _answered_before(
    store: Datastore, piece: Piece, asked: Mapping[str, Any], sha256: str
) -> dict[str, Any] | None:
    """Return what a record of the same question, extent and weights says."""
    extent = parse_ask({**asked, "query": piece.query}).extent
    for kept in reversed(kept_answers(store, piece.image)):
        record = kept.record
        if (record.get("query"), kept.extent, record.get("model", {}).get("sha256")) == (
            piece.query,
            extent,
            sha256,
        ):
            return _told(record)
    return None


def _told(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"outcome": record["outcome"], "record": record["id"], "lesions": len(record["lesions"])}
