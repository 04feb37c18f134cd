"""`coreseg dataset filter`: of each set the hard tail is kept, and as many hard lesion-free pictures as asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from coreseg_core.evaluation.rows import Row
from training.baselines.unet import UNetConfig
from training.dataset.difficulty import MIN_SCORED, Difficulty, difficulty
from training.dataset.filter_report import set_folder, write_filter_report
from training.dataset.folds import FoldScore, out_of_fold_scores
from training.dataset.steps import require_beside

Show = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class FilterPlan:
    """How a manifest is filtered.

    Attributes:
        folds: U-Nets for each set.
        negatives: Share of lesion-free rows among the kept ones of a set, at most. Those stay on which the U-Net
            drew most.
        config: Of the U-Nets.
    """

    folds: int = 5
    negatives: float = 0.25
    config: UNetConfig = field(default_factory=UNetConfig)


@dataclass(frozen=True, kw_only=True)
class FilteredSet:
    """What was kept of one set and why.

    Attributes:
        scores: Of all its rows, by id; none of a set too small to be scored, which is kept whole.
        kept: Ids of the rows that stay.
    """

    name: str
    rows: tuple[Row, ...]
    scores: Mapping[str, FoldScore]
    decision: Difficulty
    kept: frozenset[str]


def filter_manifest(
    manifest: Path, out: Path, *, plan: FilterPlan, device: torch.device, progress: Show
) -> tuple[FilteredSet, ...]:
    """Return what was kept of each set after writing `out` and its report.

    Raises:
        InputError: The manifest cannot be read, or `out` cannot be written.
        CheckpointError: The working folder cannot be written.
    """
    work = require_beside(manifest, out)
    rows = read_manifest(manifest)
    sets: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        sets[row.subset].append(row)
    filtered: list[FilteredSet] = []
    scored = 0
    for name in sorted(sets):
        filtered.append(
            _filter_set(
                name, sets[name], work, plan=plan, device=device, progress=_after(progress, scored, len(rows))
            )
        )
        scored += len(sets[name])
    kept = frozenset().union(*(one.kept for one in filtered))
    write_manifest(out, [row for row in rows if row.id in kept])
    write_filter_report(work, filtered, folds=plan.folds)
    return tuple(filtered)


def keep(
    rows: Sequence[Row], scores: Mapping[str, FoldScore], threshold: float, *, negatives: float
) -> frozenset[str]:
    """Return the ids of the rows with a Dice of at most `threshold`, and of the hardest lesion-free ones."""
    dices = {row.id: scores[row.id].dice for row in rows}
    hard = [name for name, dice in dices.items() if dice is not None and dice <= threshold]
    free = sorted(
        (row.id for row in rows if row.lesion_free), key=lambda name: (-scores[name].drawn_frac, name)
    )
    if any(dice is not None for dice in dices.values()):
        free = free[: round(len(hard) * negatives / max(1e-9, 1.0 - negatives))]
    return frozenset([*hard, *free])


def _filter_set(
    name: str, rows: Sequence[Row], work: Path, *, plan: FilterPlan, device: torch.device, progress: Show
) -> FilteredSet:
    whole = _too_small(rows, plan)
    if whole is not None:
        progress(len(rows), len(rows))
        return FilteredSet(
            name=name, rows=tuple(rows), scores={}, decision=whole, kept=frozenset(row.id for row in rows)
        )
    scores = out_of_fold_scores(
        rows, set_folder(work, name), config=plan.config, folds=plan.folds, device=device, progress=progress
    )
    dices = [scores[row.id].dice for row in rows]
    decision = difficulty(np.array([value for value in dices if value is not None]))
    return FilteredSet(
        name=name,
        rows=tuple(rows),
        scores=scores,
        decision=decision,
        kept=keep(rows, scores, decision.threshold, negatives=plan.negatives),
    )


def _too_small(rows: Sequence[Row], plan: FilterPlan) -> Difficulty | None:
    """Return why a set is kept whole without training anything, None where it is not."""
    lesions = sum(not row.lesion_free for row in rows)
    patients = len({row.patient_key for row in rows})
    if lesions < MIN_SCORED:
        why = f"{lesions} pictures with a lesion, fewer than {MIN_SCORED}: all are kept"
    elif patients < plan.folds:
        why = f"{patients} patients, fewer than {plan.folds} folds: all are kept"
    else:
        return None
    return Difficulty(scored=0, threshold=1.0, why=why)


def _after(progress: Show, before: int, total: int) -> Show:
    return lambda done, _: progress(before + done, total)
