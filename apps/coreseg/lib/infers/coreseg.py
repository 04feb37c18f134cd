"""The inference tasks `coreseg` and `coreseg_click`: a question about slices of an image, answered with a label and in
words; `coreseg_click` is the form in which stock 3D Slicer sends clicks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from coreseg_core.imaging import Volume, extract_slice
from coreseg_core.limits import Limits
from coreseg_core.record import FindingRecord, Query, Scope, SliceFinding
from lib.asking import ask_volume, read_image, write_passing_label
from lib.errors import spoken_errors
from lib.model import ServedModel
from lib.params import CLICK_MODEL, CLICK_OPTIONS, OPTIONS, AskParams, parse_ask
from lib.records import keep_record, label_extension
from lib.watch import UNWATCHED, Watch

if TYPE_CHECKING:
    from coreseg_core.inference.journal import FindingJournal

# Stock 3D Slicer gives the n-th name the voxel value n and drops names it was not told of in advance.
LABEL_NAMES = {"lesion": 1}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a task shows itself to clients.

    Attributes:
        name: Under which it is asked.
        type: What stock clients take it for.
        dimension: 2 where clicks on a slice are sent, 3 for whole images.
        description: In a sentence.
        options: As stock 3D Slicer shows them.
    """

    name: str
    type: str
    dimension: int
    description: str
    options: Mapping[str, Any]


QUESTION = Kind(
    name="coreseg",
    type=InferType.SEGMENTATION,
    dimension=3,
    description="Asks the image a question in plain words; answers with reasoning and a mask. "
    "Research software, not a medical device.",
    options=OPTIONS,
)
CLICKS = Kind(
    name=CLICK_MODEL,
    type=InferType.DEEPGROW,
    dimension=2,
    description="Marks the lesion that was asked about, and clicked, on one slice. "
    "Research software, not a medical device.",
    options=CLICK_OPTIONS,
)


@dataclass(frozen=True, kw_only=True)
class AskTools:
    """What a task works with.

    Attributes:
        model: Answers.
        store: Returns where answers about images of the store are kept.
        limits: What may be read.
    """

    model: ServedModel
    store: Callable[[], Datastore]
    limits: Limits


class CoreSegTask(InferTask):
    """Answers a question about one slice, a range of slices or a whole volume."""

    def __init__(self, kind: Kind, tools: AskTools) -> None:
        super().__init__(
            type=kind.type,
            labels=LABEL_NAMES,
            dimension=kind.dimension,
            description=kind.description,
            config=dict(kind.options),
        )
        self._kind = kind
        self._tools = tools

    def is_valid(self) -> bool:
        """Return True: a model that cannot be built says why when it is asked."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return what `answer` returns, unwatched.

        Raises:
            HTTPException: With `{code, reason, remedy}`, for whatever was expected to go wrong.
        """
        with spoken_errors():
            return self.answer(request, UNWATCHED)

    def check(self, request: Mapping[str, Any]) -> None:
        """Return nothing for params that can be asked, before the question waits for its turn.

        Raises:
            InputError: As in `parse_ask`.
        """
        parse_ask(request, model=self._kind.name)

    def answer(self, request: Mapping[str, Any], watch: Watch) -> tuple[str, dict[str, Any]]:
        """Return the path of a label file, which the caller deletes, and the answer as JSON values.

        The file says where lesions are, with one value for all; which is which is told by the record.

        Raises:
            Cancelled: The watch asked to stop; nothing is kept.
            CoreSegError: Whatever else was expected to go wrong.
        """
        ask = parse_ask(request, model=self._kind.name)
        tools = self._tools
        volume = read_image(Path(request["image"]), watch, limits=tools.limits)
        geometry = volume.geometry
        scope = ask.scope_in(geometry)
        query = _marked_query(ask, volume, scope)
        journal = self._journal(request, volume, query, scope)
        answer = ask_volume(
            tools.model,
            volume,
            query,
            scope,
            image_id=str(request.get("image_id", "")),
            watch=watch,
            kept=journal,
        )
        with watch.stage("write"):
            if request.get("in_store"):
                keep_record(
                    tools.store(),
                    record=answer.record,
                    labels=answer.labels,
                    geometry=geometry,
                    extent=ask.extent,
                )
            if journal is not None:
                journal.remove()
            lesions = (answer.labels > 0).astype(np.uint8)
            extension = ask.label_extension or label_extension(geometry)
            path = write_passing_label(lesions, geometry, extension=extension)
        return str(path), answer_json(answer.record)

    def _journal(
        self, request: Mapping[str, Any], volume: Volume, query: Query, scope: Scope
    ) -> FindingJournal | None:
        """Return where a batch keeps what it finds as it finds it; nobody else names a folder for that."""
        folder = request.get("journals")
        if folder is None:
            return None
        from coreseg_core.inference.journal import FindingJournal, journal_name

        sha256 = self._tools.model.current_sha256()
        return FindingJournal(Path(folder) / journal_name(volume, query, scope, weights_sha256=sha256))


def _marked_query(ask: AskParams, volume: Volume, scope: Scope) -> Query:
    """Return the question with the reader's marks in pixels of the one slice they were drawn on."""
    if ask.marks.empty:
        return ask.query
    image = extract_slice(volume, scope.axis, scope.start)
    return replace(ask.query, prompts=ask.marks.on_slice(image, volume.geometry.shape_ijk))


def answer_json(record: FindingRecord) -> dict[str, Any]:
    """Return the `params` of an answer: the record, and in plain fields what simple clients show."""
    return {
        "label_names": dict(LABEL_NAMES),
        "outcome": record.outcome,
        "finding": record.outcome == "present",
        "text": "\n".join(_in_words(finding) for finding in record.slices),
        "record": record.to_json(),
    }


def _in_words(finding: SliceFinding) -> str:
    said = (finding.reasoning, finding.answer_text, finding.reason)
    return f"Slice {finding.index}: {finding.outcome}. {' '.join(part for part in said if part)}".rstrip()
