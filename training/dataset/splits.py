"""Who goes into which part: by patient, never by slice, with look-alikes of different patients kept together."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from coreseg_core.evaluation.rows import Row
from training.dataset.cut import Look
from training.dataset.duplicates import NEAR, Groups, near_pairs
from training.dataset.left_out import LeftOut, Reason

# A patient that a source puts in two parts stays in the one that is only measured on.
STRICTEST_FIRST = ("test", "val", "dev", "train")


@dataclass(frozen=True, kw_only=True)
class SplitPlan:
    """How rows are divided.

    Attributes:
        test: Share of patients that go to `test`, of those whose source does not say (17.7 % in ComLesion-14K).
        val: The same for `val`.
        seed: Chooses them.
        near: Correlation from which two pictures are near duplicates.
        drop_near: Leave one of two near duplicates out, instead of keeping them in one part.
    """

    test: float = 0.177
    val: float = 0.0
    seed: int = 0
    near: float = NEAR
    drop_near: bool = False


@dataclass(frozen=True, kw_only=True)
class Divided:
    """Rows with their final part, what was left out, and how many pairs of look-alikes were met."""

    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    near_pairs: int


def divide(
    rows: Sequence[Row], fixed: Mapping[str, str], looks: Mapping[str, Look], plan: SplitPlan
) -> Divided:
    """Return the rows with their part.

    Args:
        rows: All of them; pictures of one file may have several rows, one for each target.
        fixed: Part by row id where the source says it.
        looks: Of each picture, by its file.
    """
    left_out: list[LeftOut] = []
    kept = _without_copies(rows, looks, left_out)
    shown = {row.image: looks[row.image] for row in kept}
    patients = {row.image: row.patient_key for row in kept}
    pairs = [pair for pair in near_pairs(shown, near=plan.near) if patients[pair[0]] != patients[pair[1]]]
    groups = Groups()
    if plan.drop_near:
        dropped = _look_alikes(pairs, {row.image: row.split for row in kept})
        left_out += [_left_out(row, "near duplicate") for row in kept if row.image in dropped]
        kept = [row for row in kept if row.image not in dropped]
    else:
        for first, second in pairs:
            groups.join(patients[first], patients[second])
    divided = _in_one_part(kept, fixed, groups, plan, left_out)
    return Divided(rows=tuple(divided), left_out=tuple(left_out), near_pairs=len(pairs))


def _look_alikes(pairs: Iterable[tuple[str, str]], parts: Mapping[str, str]) -> set[str]:
    """Return which pictures to leave out so that no pair stays whole: of each the one in the less strict part.

    A picture that looks like none of those that stay is never left out.
    """

    def rank(image: str) -> tuple[int, str]:
        return STRICTEST_FIRST.index(parts[image]), image

    ranked = [sorted(pair, key=rank) for pair in pairs]
    dropped: set[str] = set()
    # In this order it is settled whether the first of a pair stays before the pair is met.
    for first, second in sorted(ranked, key=lambda pair: (rank(pair[0]), rank(pair[1]))):
        if first not in dropped:
            dropped.add(second)
    return dropped


def _without_copies(rows: Sequence[Row], looks: Mapping[str, Look], left_out: list[LeftOut]) -> list[Row]:
    """Return the rows without those that show the very pixels of another picture's with the same target.

    Of copies in different parts the one that is only measured on stays.
    """
    order = sorted(rows, key=lambda row: (STRICTEST_FIRST.index(row.split), row.id))
    first: dict[tuple[str, str], str] = {}
    copies: set[str] = set()
    for row in order:
        key = looks[row.image].pixels_sha256, row.target
        if first.setdefault(key, row.image) != row.image:
            copies.add(row.id)
            left_out.append(_left_out(row, "exact duplicate"))
    return [row for row in rows if row.id not in copies]


def _in_one_part(
    rows: Iterable[Row], fixed: Mapping[str, str], groups: Groups, plan: SplitPlan, left_out: list[LeftOut]
) -> list[Row]:
    rows = list(rows)
    parts: dict[str, set[str]] = defaultdict(set)
    of_patient: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.id in fixed:
            parts[groups.of(row.patient_key)].add(fixed[row.id])
            of_patient[row.patient_key].add(fixed[row.id])
    divided: list[Row] = []
    for row in rows:
        group = groups.of(row.patient_key)
        part = next((part for part in STRICTEST_FIRST if part in parts[group]), None) or _drawn(group, plan)
        if fixed.get(row.id, part) == part:
            divided.append(replace(row, split=part))
        else:
            own = len(of_patient[row.patient_key]) > 1
            left_out.append(_left_out(row, "patient in two splits" if own else "duplicate in two splits"))
    return divided


def _drawn(group: str, plan: SplitPlan) -> str:
    """Return the part of a patient, which depends on name and seed alone."""
    digest = hashlib.sha256(f"{plan.seed}/{group}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "test" if share < plan.test else "val" if share < plan.test + plan.val else "train"


def _left_out(row: Row, reason: Reason) -> LeftOut:
    return LeftOut(what=row.id, reason=reason)
