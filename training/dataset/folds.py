"""Out-of-fold scores: each picture is measured by a U-Net that never saw its patient.

The U-Net is the one of the baselines, with its training loop and its files: a stopped run goes on at its last epoch.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from coreseg_core.errors import InputError
from coreseg_core.evaluation.metrics import dice
from coreseg_core.evaluation.pictures import load_picture
from coreseg_core.evaluation.rows import Row
from training.baselines.unet import UNetConfig, train
from training.baselines.unet_method import UNetMethod, read_unet
from training.baselines.unet_state import make_folder
from training.dataset.contents import contents_of
from training.journal import LineJournal

DEV_PERCENT = 12
Show = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class FoldScore:
    """What the U-Net of the other folds made of a picture.

    Attributes:
        dice: Against the truth; None on a lesion-free picture.
        drawn_frac: Share of the picture that it outlined.
    """

    dice: float | None
    drawn_frac: float


def out_of_fold_scores(
    rows: Sequence[Row],
    folder: Path,
    *,
    config: UNetConfig,
    folds: int,
    device: torch.device,
    progress: Show,
) -> dict[str, FoldScore]:
    """Return a score for each row of one set by its id.

    Scores lie in `folder/scores.jsonl` as soon as they are there, each fold's U-Net beside it.

    Raises:
        InputError: Fewer patients than folds, or a picture or mask that cannot be read.
        CheckpointError: The folder cannot be written, or holds another run.
    """
    patients = sorted({row.patient_key for row in rows})
    if len(patients) < folds:
        raise InputError(
            f"A set has {len(patients)} patients, fewer than its {folds} folds.",
            remedy="Ask for fewer folds.",
        )
    numbers = _balanced(patients, folds=folds, seed=config.seed)
    contents = contents_of(rows)
    make_folder(folder)
    journal = LineJournal(folder / "scores.jsonl", what="list of out-of-fold scores")
    scores: dict[str, FoldScore] = {}
    for fold in range(folds):
        rest = [row for row in rows if numbers[row.patient_key] != fold]
        run = _run_name(rest, config, contents)
        method: UNetMethod | None = None
        for row in (row for row in rows if numbers[row.patient_key] == fold):
            key = hashlib.sha256(f"{run}/{row.id}/{contents[row.id]}".encode()).hexdigest()[:32]
            kept = journal.get(key)
            if kept is None:
                method = method or _trained(rest, folder / f"fold{fold}-{run}", config=config, device=device)
                kept = asdict(_score(method, row))
                journal.add({key: kept})
            scores[row.id] = FoldScore(**kept)
            progress(len(scores), len(rows))
    return scores


def _run_name(rest: Sequence[Row], config: UNetConfig, contents: Mapping[str, str]) -> str:
    """Return what a U-Net is found again by: its configuration and what it learns from."""
    learned = sorted((row.id, contents[row.id]) for row in rest)
    text = json.dumps([asdict(config), learned], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _balanced(patients: Sequence[str], *, folds: int, seed: int) -> dict[str, int]:
    """Return a fold for each patient, as many in each as can be."""
    order = sorted(patients, key=lambda patient: hashlib.sha256(f"{seed}/{patient}".encode()).digest())
    return {patient: number % folds for number, patient in enumerate(order)}


def _trained(rest: Sequence[Row], folder: Path, *, config: UNetConfig, device: torch.device) -> UNetMethod:
    """Return the U-Net of a fold; what chooses its epoch is cut from the other folds too."""
    parts: dict[bool, list[Row]] = {True: [], False: []}
    for row in rest:
        digest = hashlib.sha256(f"dev/{row.patient_key}".encode()).digest()
        parts[digest[0] % 100 < DEV_PERCENT].append(row)
    dev, learned = parts[True], parts[False]
    if not any(not row.lesion_free for row in dev) or not learned:
        dev, learned = list(rest), list(rest)
    # The loop prints its log, which lies in the folder too; stdout is for what the step found.
    with contextlib.redirect_stdout(io.StringIO()):
        train(config, learned, dev, folder, device=device)
    return read_unet(folder, device=str(device))


def _score(method: UNetMethod, row: Row) -> FoldScore:
    picture = load_picture(row)
    drawn = method.mask(picture, row)
    overlap = None if row.lesion_free else dice(drawn, picture.mask)
    return FoldScore(dice=overlap, drawn_frac=round(float(drawn.mean()), 6))
