"""The inference task `coreseg`: a question about slices of an image, answered with a label and in words."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from coreseg_core.imaging import read_volume, write_label
from coreseg_core.record import FindingRecord, SliceFinding
from lib.errors import spoken_errors
from lib.model import ServedModel
from lib.params import OPTIONS, parse_ask
from lib.records import keep_record, label_extension

# Stock 3D Slicer gives the n-th name the voxel value n and drops names it was not told of in advance.
LABEL_NAMES = {"lesion": 1}


class CoreSegTask(InferTask):
    """Answers a question about one slice, a range of slices or a whole volume."""

    def __init__(self, model: ServedModel, store: Callable[[], Datastore]) -> None:
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

    def is_valid(self) -> bool:
        """Return True: a model that cannot be built says why when it is asked."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the path of a label file, which the caller deletes, and the answer as JSON values.

        The file says where lesions are, with one value for all; which is which is told by the record.

        Raises:
            HTTPException: With `{code, reason, remedy}`, for whatever was expected to go wrong.
        """
        with spoken_errors():
            ask = parse_ask(request)
            volume = read_volume(Path(request["image"]))
            scope = ask.scope_in(volume.geometry)
            record, labels = self._model.answer(
                volume, ask.query, scope, image_id=str(request.get("image_id", ""))
            )
            path = _label_file(ask.label_extension or label_extension(volume.geometry))
            write_label(path, (labels > 0).astype(np.uint8), volume.geometry)
            if request.get("in_store"):
                keep_record(self._store(), record=record, labels=labels, geometry=volume.geometry)
        return str(path), answer_json(record)


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


def _label_file(extension: str) -> Path:
    """Return the name of a new empty temporary file; it carries nothing of the image's name."""
    with tempfile.NamedTemporaryFile(prefix="coreseg-", suffix=extension, delete=False) as stream:
        return Path(stream.name)
