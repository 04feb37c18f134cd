"""The inference task `coreseg`: a question about slices of an image, answered with a label and in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from coreseg_core.record import FindingRecord, SliceFinding
from lib.asking import AnswerFiles, ask_volume, read_image
from lib.errors import spoken_errors
from lib.model import ServedModel
from lib.params import OPTIONS, parse_ask
from lib.records import keep_record, label_extension
from lib.watch import UNWATCHED, Watch

# Stock 3D Slicer gives the n-th name the voxel value n and drops names it was not told of in advance.
LABEL_NAMES = {"lesion": 1}


class CoreSegTask(InferTask):
    """Answers a question about one slice, a range of slices or a whole volume."""

    def __init__(self, model: ServedModel, store: Callable[[], Datastore], files: AnswerFiles) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=LABEL_NAMES,
            dimension=3,
            description="Asks the image a question in plain words; answers with reasoning and a mask. "
            "Research software, not a medical device.",
            config=OPTIONS,
        )
        self._model = model
        self._store = store
        self._files = files

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
        parse_ask(request)

    def answer(self, request: Mapping[str, Any], watch: Watch) -> tuple[str, dict[str, Any]]:
        """Return the path of a label file, which the caller deletes, and the answer as JSON values.

        The file says where lesions are, with one value for all; which is which is told by the record.

        Raises:
            Cancelled: The watch asked to stop; nothing is kept.
            CoreSegError: Whatever else was expected to go wrong.
        """
        ask = parse_ask(request)
        volume = read_image(Path(request["image"]), watch)
        geometry = volume.geometry
        answer = ask_volume(
            self._model,
            volume,
            ask.query,
            ask.scope_in(geometry),
            image_id=str(request.get("image_id", "")),
            watch=watch,
        )
        with watch.stage("write"):
            lesions = (answer.labels > 0).astype(np.uint8)
            extension = ask.label_extension or label_extension(geometry)
            path = self._files.write(lesions, geometry, extension=extension)
            if request.get("in_store"):
                keep_record(self._store(), record=answer.record, labels=answer.labels, geometry=geometry)
        return str(path), answer_json(answer.record)


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
