"""Train, dev and val: dev is cut from train by patient, so that recipe and checkpoint are chosen without val."""

from __future__ import annotations

import hashlib
from typing import Literal

from coreseg_core.evaluation.manifest import Row

DEV_PERCENT = 7
Part = Literal["train", "dev", "val"]


def part_of(row: Row) -> Part:
    """Return the part a row belongs to; all pictures of one patient fall into the same part."""
    if row.split != "train":
        return "val"
    digest = hashlib.sha256(row.patient_key.encode()).digest()
    return "dev" if digest[0] % 100 < DEV_PERCENT else "train"
