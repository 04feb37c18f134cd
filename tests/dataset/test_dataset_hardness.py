"""The comparison tells a part that is harder from one that is not."""

from __future__ import annotations

import numpy as np

from coreseg_core.evaluation.rows import Row
from training.dataset.hardness import compare


def rows(subset: str, count: int) -> list[Row]:
    return [
        Row(
            id=f"{subset}{k}", image=f"{subset}{k}", split="val", subset=subset, modality="CT", anatomy="liver",
            disease="tumor", target="tumor", patient=f"p{k}",
        )
        for k in range(count)
    ]  # fmt: skip


def test_a_harder_part_lies_apart_and_a_random_one_does_not() -> None:
    rng = np.random.default_rng(0)
    every = [*rows("hard", 60), *rows("chance", 60), *rows("whole", 20)]
    dices = {row.id: float(rng.uniform(0.2, 0.9)) for row in every}
    dices |= {f"hard{k}": float(rng.uniform(0.0, 0.4)) for k in range(15)}
    kept = frozenset(
        [*(f"{name}{k}" for name in ("hard", "chance") for k in range(15)), *(f"whole{k}" for k in range(20))]
    )
    found = {one.subset: one for one in compare(dices, every, kept)}
    assert set(found) == {"hard", "chance"}
    assert found["hard"].apart and not found["chance"].apart
    assert (found["hard"].kept.count, found["hard"].dropped.count) == (15, 45)


def test_rows_that_were_not_measured_do_not_count() -> None:
    every = rows("a", 20)
    dices = {row.id: 0.5 for row in every[:12]}
    (one,) = compare(dices, every, frozenset(row.id for row in every[:6]))
    assert (one.kept.count, one.dropped.count) == (6, 6) and not one.apart
