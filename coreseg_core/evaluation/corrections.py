"""Which corrections are learned from and which are held apart to judge by, split by patient."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Row

HELD_SHARE = 0.2
"""Of the patients, at least; their slices judge a version and never train one."""
MIN_HELD_PATIENTS = 2
MIN_PATIENTS = 4
MIN_SLICES = 8
CHANGED_WEIGHT = 3.0
"""Weight of a slice whose mask a reader changed, beside 1 for one that was accepted as it was."""


@dataclass(frozen=True)
class CorrectionSplit:
    """Corrections in two parts that share no patient.

    Attributes:
        learn: What is trained on.
        held: What is asked afterwards.
    """

    learn: tuple[Row, ...]
    held: tuple[Row, ...]


def split_corrections(rows: Sequence[Row], *, learned: Collection[str] = ()) -> CorrectionSplit:
    """Return the corrections, split by patient in the same way each time.

    Args:
        rows: Of `origin` correction.
        learned: Patients that the model was trained on before: they can judge nothing.

    Raises:
        InputError: Too little to learn from, or to judge by.
    """
    patients = {row.patient_key for row in rows}
    changed = [row for row in rows if row.weight >= CHANGED_WEIGHT]
    if len(rows) < MIN_SLICES or len(patients) < MIN_PATIENTS:
        raise InputError(
            f"{len(rows)} slices of {len(patients)} patients have been accepted or corrected; "
            f"a training needs at least {MIN_SLICES} of {MIN_PATIENTS}.",
            remedy="Submit more final labels of images that were asked about.",
        )
    if not changed:
        raise InputError(
            f"None of the {len(rows)} slices was changed: every mask was accepted as it was.",
            remedy="There is nothing to learn; go on reading.",
        )
    fresh = sorted(patients - set(learned), key=_order)
    wanted = max(MIN_HELD_PATIENTS, math.ceil(HELD_SHARE * len(patients)))
    # Those held apart before come first again, so that versions are judged by the same patients.
    held = set(fresh[:wanted])
    if len(held) < MIN_HELD_PATIENTS:
        raise InputError(
            f"{len(held)} patients are left that the model was not trained on; "
            f"judging needs at least {MIN_HELD_PATIENTS}.",
            remedy="Submit final labels of patients that are new to it.",
        )
    learn = tuple(row for row in rows if row.patient_key not in held)
    if not any(row.weight >= CHANGED_WEIGHT for row in learn):
        raise InputError(
            "Every slice that was changed belongs to a patient held apart to judge by.",
            remedy="Submit corrections of more patients.",
        )
    return CorrectionSplit(learn=learn, held=tuple(row for row in rows if row.patient_key in held))


def _order(patient: str) -> str:
    return hashlib.sha256(f"held/{patient}".encode()).hexdigest()
