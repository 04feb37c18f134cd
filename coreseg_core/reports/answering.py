"""Whole studies, several questions: answered group of slices by group, and never one twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coreseg_core.checkpoint import replace_file
from coreseg_core.errors import CoreSegError
from coreseg_core.imaging import Volume, VolumeGeometry, read_volume, write_label
from coreseg_core.imaging.studies import StudyImage, StudyImages
from coreseg_core.inference import SliceSegmenter
from coreseg_core.inference.journal import FindingJournal, journal_name
from coreseg_core.inference.segment import parts_of
from coreseg_core.limits import Limits
from coreseg_core.record import Query, Scope
from coreseg_core.reports.study import (
    Answer,
    ImageReport,
    image_facts,
    plane_of,
    write_pictures,
    write_report,
)

Show = Callable[[int, int], None]
"""Called with (slices times questions done, of how many)."""
Progress = Callable[[], AbstractContextManager[Show]]
"""Opens what shows the progress of the next image."""


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """What is asked of every image of every study.

    Attributes:
        queries: The questions, each of them once.
        scope_of: Which slices of an image are looked at.
        out: Folder of the reports, one folder in it for each study.
        journals: Folder of what is found as it is found.
        limits: What may be read.
    """

    queries: tuple[Query, ...]
    scope_of: Callable[[VolumeGeometry], Scope]
    out: Path
    journals: Path
    limits: Limits


@dataclass
class Tally:
    """How much was asked of the model and how much was known already, in slices times questions."""

    asked: int = 0
    known: int = 0


def report_study(
    segmenter: SliceSegmenter,
    study: StudyImages,
    plan: BatchPlan,
    *,
    tally: Tally,
    progress: Progress,
) -> dict[str, Any]:
    """Return the report of a study, once all its images are answered or have failed and all files are written.

    Args:
        segmenter: The model.
        study: Its images.
        plan: What is asked.
        tally: Counts on.
        progress: Opened for each image.

    Raises:
        InputError: The folder of the reports cannot be written.
    """
    folder = plan.out / study.name
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for image in study.images:
        with progress() as show:
            images.append(_report_image(segmenter, image, plan, folder=folder, tally=tally, show=show))
    return write_report(folder, study.name, images)


def _report_image(
    segmenter: SliceSegmenter,
    image: StudyImage,
    plan: BatchPlan,
    *,
    folder: Path,
    tally: Tally,
    show: Show,
) -> ImageReport:
    try:
        volume = read_volume(image.path, limits=plan.limits, series_uid=image.series_uid)
        scope = plan.scope_of(volume.geometry)
        journals = _answer_all(segmenter, volume, scope, plan, tally=tally, show=show)
        answers = []
        for number, (query, journal) in enumerate(zip(plan.queries, journals, strict=True), start=1):
            record, labels = segmenter.answer(volume, query, scope, image_id=image.id, kept=journal)
            stem = f"{image.id}-q{number}"
            mask = f"{stem}{'.nii.gz' if volume.geometry.orthogonal else '.nrrd'}"
            write_label(folder / mask, labels, volume.geometry)
            text = json.dumps(record.to_json(), indent=2, ensure_ascii=False, allow_nan=False)
            replace_file(folder / f"{stem}.json", (text + "\n").encode())
            pictures = write_pictures(folder, stem, volume, record, labels)
            files = {"mask": mask, "record": f"{stem}.json"}
            answers.append(
                Answer(record=record, plane=plane_of(volume, record), pictures=pictures, files=files)
            )
    except CoreSegError as error:
        # One image that cannot be answered keeps nobody waiting for the others.
        return ImageReport(id=image.id, error=error)
    return ImageReport(id=image.id, facts=image_facts(volume), answers=tuple(answers))


def _answer_all(
    segmenter: SliceSegmenter,
    volume: Volume,
    scope: Scope,
    plan: BatchPlan,
    *,
    tally: Tally,
    show: Show,
) -> Sequence[FindingJournal]:
    """Return the journal of each question, once it holds all slices.

    All questions about a group of slices come together, so that what does not depend on the question is made once.
    """
    sha256 = segmenter.model_card["sha256"]
    journals = [
        FindingJournal(plan.journals / journal_name(volume, query, scope, weights_sha256=sha256))
        for query in plan.queries
    ]
    done, total = 0, len(scope.indices) * len(plan.queries)
    show(done, total)
    for part in parts_of(scope):
        for query, journal in zip(plan.queries, journals, strict=True):
            count = len(part.indices)
            if journal.find(part.indices) is None:
                tally.asked += sum(1 for _ in segmenter.segment(volume, query, part, kept=journal))
            else:
                tally.known += count
            done += count
            show(done, total)
    return journals
