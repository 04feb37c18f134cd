"""A store of pairs holds, of each picture with room beside its lesion, a view over it and one beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coreseg_core.errors import InputError
from coreseg_core.evaluation.rows import Row
from training.views import ViewStore, build_store, rows_of_sets


def _row(name: str, subset: str = "kvasir") -> Row:
    return Row(
        id=name,
        image=f"{name}.png",
        mask=f"{name}_mask.png",
        split="train",
        subset=subset,
        modality="endoscopy",
        anatomy="colon",
        disease="polyp",
        target="polyp",
        area_frac=0.1,
    )


def _load(row: Row) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    y, x = np.mgrid[:120, :160]
    everywhere = row.id == "full"
    mask = np.ones((120, 160), bool) if everywhere else (y - 60) ** 2 + (x - 50) ** 2 < 18**2
    return np.repeat((mask * 120 + 80).astype(np.uint8)[..., None], 3, axis=2), mask


def test_a_picture_without_room_beside_its_lesion_is_left_out(tmp_path: Path) -> None:
    rows = [_row("a"), _row("full"), _row("b")]
    build_store(rows, [1], tmp_path, pairs=True, load=_load)
    store = ViewStore(tmp_path)
    assert [(key.row_id, key.view) for key in store.keys] == [("a", 1), ("a", -1), ("b", 1), ("b", -1)]
    assert [bool(store[number].mask.any()) for number in range(4)] == [True, False, True, False]
    assert store[0].embedding.shape == (256, 64, 64) and float(np.abs(store[1].embedding).max()) > 0


def test_no_picture_with_room_makes_an_empty_store(tmp_path: Path) -> None:
    build_store([_row("full")], [1], tmp_path, pairs=True, load=_load)
    assert len(ViewStore(tmp_path)) == 0


def test_a_pair_is_never_numbered_as_the_picture_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="from 1"):
        build_store([_row("a")], [0, 1], tmp_path, pairs=True, load=_load)


def test_at_most_so_many_rows_of_each_set_are_taken_in_their_order() -> None:
    rows = [_row(str(number), subset="large" if number % 3 else "small") for number in range(30)]
    kept = rows_of_sets(rows, 6, seed=1)
    assert [row.subset for row in kept].count("large") == 6 == [row.subset for row in kept].count("small")
    assert kept == [row for row in rows if row in kept] == rows_of_sets(rows, 6, seed=1)
    assert rows_of_sets(rows, 6, seed=2) != kept
