"""The work of a question, whoever asks: read the image, answer slice by slice, write the label."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from coreseg_core.imaging import Volume, VolumeGeometry, read_volume, write_label
from coreseg_core.imaging.runs import mask_runs
from coreseg_core.imaging.slicing import placement_of
from coreseg_core.limits import Limits
from coreseg_core.record import FindingRecord, Query, Scope, SliceFinding, slice_json
from lib.model import ServedModel
from lib.passing import process_folder
from lib.watch import Watch, stop_if_asked

if TYPE_CHECKING:
    from coreseg_core.inference.journal import KeptFindings


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a question.

    Attributes:
        record: In words and numbers.
        labels: (i, j, k), one value a lesion.
        volume: The image that was asked.
    """

    record: FindingRecord
    labels: NDArray[np.uint8]
    volume: Volume


def write_passing_label(labels: NDArray[np.uint8], geometry: VolumeGeometry, *, extension: str) -> Path:
    """Return a new label file on its way to a client; its name carries nothing of the image's."""
    path = process_folder() / f"label-{secrets.token_hex(8)}{extension}"
    write_label(path, labels, geometry)
    return path


def read_image(path: Path, watch: Watch, *, limits: Limits) -> Volume:
    """Return the image at `path`.

    Raises:
        CoreSegError: See `read_volume`.
    """
    with watch.stage("read"):
        return read_volume(path, limits=limits)


def ask_volume(
    model: ServedModel,
    volume: Volume,
    query: Query,
    scope: Scope,
    *,
    image_id: str,
    watch: Watch,
    kept: KeptFindings | None = None,
) -> Answer:
    """Return the answer to a question about slices of an image.

    Args:
        model: Answers.
        volume: What is asked.
        query: The question.
        scope: The slices.
        image_id: For the record.
        watch: Who follows the work.
        kept: Findings of an earlier attempt, and where those of this one go.

    Raises:
        Cancelled: The watch asked to stop; nothing was written.
        CoreSegError: See `ServedModel.answer`.
    """
    total = len(scope.indices)
    watch.progress(0, total)
    with watch.stage("model"):
        record, labels = model.answer(
            volume,
            query,
            scope,
            image_id=image_id,
            on_token=watch.token,
            on_finding=_teller(volume.geometry, total, watch),
            should_stop=watch.stopping,
            kept=kept,
        )
    stop_if_asked(watch)
    return Answer(record=record, labels=labels, volume=volume)


def _teller(geometry: VolumeGeometry, total: int, watch: Watch) -> Callable[[SliceFinding], None]:
    """Return what tells the watch of a finding, with what of it stands in the label, in the order of the voxels."""
    done: set[int] = set()

    def tell(finding: SliceFinding) -> None:
        done.add(finding.index)
        outlined = finding.mask & (finding.outcome == "present")
        plane = placement_of(geometry, finding.axis).unshow(outlined)
        watch.slice_done(finding.index, slice_json(finding), mask_runs(plane))
        watch.progress(len(done), total)
        # Slices that no model is asked about are many a second, and have no other place to stop.
        stop_if_asked(watch)

    return tell
