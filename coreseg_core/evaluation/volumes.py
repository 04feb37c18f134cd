"""Volumes asked slice by slice and scored as wholes: overlap in 3D, lesions found by size, false parts, outcomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coreseg_core.errors import InputError
from coreseg_core.evaluation.bootstrap import json_number
from coreseg_core.evaluation.metrics import dice, iou
from coreseg_core.evaluation.rows import Row
from coreseg_core.imaging import Volume, read_label, read_volume
from coreseg_core.inference import SliceSegmenter
from coreseg_core.inference.journal import FindingJournal, journal_name
from coreseg_core.limits import Limits
from coreseg_core.record import OUTCOMES, FindingRecord, Query, ReasoningMode, Scope
from coreseg_core.terms import understand

SCHEMA = "coreseg.volume-report/1"
SIZE_CLASSES_ML = (("under 0.5 mL", 0.0, 0.5), ("0.5 to 5 mL", 0.5, 5.0), ("5 mL and more", 5.0, np.inf))
FOUND_SHARE = 0.1
"""A lesion counts as found where at least this share of its voxels is marked."""

_ANY_TOUCH = np.ones((3, 3, 3), dtype=bool)
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class LesionFound:
    """One true lesion, and whether it was found."""

    volume_ml: float
    found: bool


@dataclass(frozen=True, kw_only=True)
class VolumeScore:
    """What a question about a volume is worth.

    Attributes:
        id: Of the manifest's row.
        query: What was asked.
        dice: In 3D; 1.0 where both masks are empty.
        iou: Likewise.
        lesions: The true ones, connected in 3D.
        false_parts: Connected parts of the answer that touch no true lesion.
        outcomes: How many slices ended in each outcome, by whether the slice shows a lesion.
        slices: How many were asked.
    """

    id: str
    subset: str
    modality: str
    query: str
    dice: float
    iou: float
    lesions: tuple[LesionFound, ...]
    false_parts: int
    outcomes: Mapping[str, Mapping[str, int]]
    slices: int

    def to_json(self) -> dict[str, Any]:
        """Return the score as JSON values."""
        return {
            "id": self.id,
            "subset": self.subset,
            "modality": self.modality,
            "query": self.query,
            "slices": self.slices,
            "dice": json_number(self.dice),
            "iou": json_number(self.iou),
            "lesions": len(self.lesions),
            "lesions_found": sum(lesion.found for lesion in self.lesions),
            "false_parts": self.false_parts,
            "outcomes": {where: dict(counts) for where, counts in self.outcomes.items()},
        }


def compare(predicted: Mask, truth: Mask, *, voxel_ml: float) -> tuple[tuple[LesionFound, ...], int]:
    """Return the true lesions of a volume (i, j, k), each found or not, and how many parts of the answer are false."""
    true_parts, true_count = ndimage.label(truth, structure=_ANY_TOUCH)
    said_parts, said_count = ndimage.label(predicted, structure=_ANY_TOUCH)
    sizes = np.bincount(true_parts.ravel(), minlength=true_count + 1)[1:]
    marked = np.bincount(true_parts[predicted], minlength=true_count + 1)[1:]
    lesions = tuple(
        LesionFound(volume_ml=float(size * voxel_ml), found=bool(hit >= FOUND_SHARE * size))
        for size, hit in zip(sizes, marked, strict=True)
    )
    touching = np.unique(said_parts[truth])
    return lesions, int(said_count - np.count_nonzero(touching))


def outcomes_by_truth(record: FindingRecord, truth: Mask) -> dict[str, dict[str, int]]:
    """Return how many slices ended in each outcome, of those that show a lesion and of those that show none."""
    across = tuple(axis for axis in range(3) if axis != record.scope.axis)
    shows = truth.any(axis=across)
    counts = {"lesion": Counter[str](), "none": Counter[str]()}
    for finding in record.slices:
        counts["lesion" if shows[finding.index] else "none"][finding.outcome] += 1
    return {where: {name: found[name] for name in OUTCOMES if found[name]} for where, found in counts.items()}


def score_volume(
    segmenter: SliceSegmenter, row: Row, *, reasoning: ReasoningMode, journals: Path | None = None
) -> VolumeScore:
    """Return the score of a row whose image is a volume and whose mask lies on its grid.

    Args:
        segmenter: The model.
        row: What is asked is its `query`, else its target.
        reasoning: How much is reasoned.
        journals: Folder of what was found, where work that was stopped goes on.

    Raises:
        InputError: The row names a slice, or has no mask.
    """
    if row.slice is not None or row.mask_path is None:
        raise InputError(
            "A row of this manifest names a slice or no mask.",
            remedy="Give whole volumes, each with its mask.",
        )
    volume = _stated(read_volume(row.image_path, limits=Limits()), row)
    truth = read_label(row.mask_path, volume.geometry) > 0
    axis = volume.geometry.array_axis("axial")
    scope = Scope(axis, 0, volume.geometry.shape_ijk[axis])
    query = Query(row.query or row.target, reasoning)
    name = journal_name(volume, query, scope, weights_sha256=segmenter.model_card["sha256"])
    kept = None if journals is None else FindingJournal(journals / name)
    record, labels = segmenter.answer(volume, query, scope, image_id=row.id, kept=kept)
    predicted = labels > 0
    voxel_ml = float(np.prod(volume.geometry.spacing_mm)) / 1000
    lesions, false_parts = compare(predicted, truth, voxel_ml=voxel_ml)
    return VolumeScore(
        id=row.id,
        subset=row.subset,
        modality=row.modality,
        query=query.text,
        dice=dice(predicted, truth),
        iou=iou(predicted, truth),
        lesions=lesions,
        false_parts=false_parts,
        outcomes=outcomes_by_truth(record, truth),
        slices=len(scope.indices),
    )


def score_volumes(
    segmenter: SliceSegmenter,
    rows: Sequence[Row],
    *,
    reasoning: ReasoningMode,
    journals: Path | None = None,
    progress: Callable[[int, int], None],
) -> tuple[VolumeScore, ...]:
    """Return the score of each row; see `score_volume`."""
    scores = []
    for number, row in enumerate(rows):
        progress(number, len(rows))
        scores.append(score_volume(segmenter, row, reasoning=reasoning, journals=journals))
    progress(len(rows), len(rows))
    return tuple(scores)


def volume_report(scores: Sequence[VolumeScore]) -> dict[str, Any]:
    """Return all scores and what they come to together, as JSON values."""
    lesions = [lesion for score in scores for lesion in score.lesions]
    outcomes: dict[str, Counter[str]] = {"lesion": Counter(), "none": Counter()}
    for score in scores:
        for where, counts in score.outcomes.items():
            outcomes[where].update(counts)
    return {
        "schema": SCHEMA,
        "volumes": [score.to_json() for score in scores],
        "mean_dice": _mean([score.dice for score in scores]),
        "mean_iou": _mean([score.iou for score in scores]),
        "false_parts_per_volume": _mean([float(score.false_parts) for score in scores]),
        "sensitivity": {name: _sensitivity(lesions, low, high) for name, low, high in SIZE_CLASSES_ML},
        "slices": {where: dict(counts) for where, counts in outcomes.items()},
        "found_share": FOUND_SHARE,
    }


def _sensitivity(lesions: Sequence[LesionFound], low_ml: float, high_ml: float) -> dict[str, int]:
    within = [lesion for lesion in lesions if low_ml <= lesion.volume_ml < high_ml]
    return {"lesions": len(within), "found": sum(lesion.found for lesion in within)}


def _mean(values: Sequence[float]) -> float | None:
    return json_number(float(np.mean(values))) if values else None


def _stated(volume: Volume, row: Row) -> Volume:
    """Return the volume with the modality of the manifest where its file names none."""
    family = understand(row.modality).modality_family
    return volume if volume.modality or family is None else replace(volume, modality=family, content_hash="")
