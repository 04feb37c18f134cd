"""Boxes as a reader draws them, and the table of what they get."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreseg_core.evaluation.manifest import read_manifest, write_manifest
from training.baselines.reader_boxes import SLACK, as_drawn, largest_lesion, main, pictures_of
from training.phantom_pictures import write_pictures


@given(
    x0=st.integers(0, 30),
    y0=st.integers(0, 20),
    w=st.integers(1, 30),
    h=st.integers(1, 20),
    seed=st.integers(0),
)
def test_a_drawn_box_is_one_within_the_picture_and_near_the_lesion(
    x0: int, y0: int, w: int, h: int, seed: int
) -> None:
    lesion = np.zeros((40, 60), dtype=bool)
    lesion[y0 : y0 + h, x0 : x0 + w] = True
    left, top, right, bottom = as_drawn(lesion, random.Random(seed))
    assert 0 <= left < right <= 60
    assert 0 <= top < bottom <= 40
    assert max(abs(left - x0), abs(right - x0 - w)) <= SLACK * w + 1
    assert max(abs(top - y0), abs(bottom - y0 - h)) <= SLACK * h + 1


def test_the_largest_part_is_what_the_box_is_drawn_round() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:4, 2:4] = mask[10:15, 10:15] = True
    assert largest_lesion(mask).sum() == 25


def test_the_table_has_a_row_for_each_set_that_was_not_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read_manifest(write_pictures(tmp_path, count=12, seed=3))
    held = [replace(row, weights="no") for row in rows if not row.lesion_free]
    learned = [replace(row, id=f"{row.id}-b", subset="learned", split="val", weights="yes") for row in held]
    manifest = tmp_path / "held.jsonl"
    write_manifest(manifest, [*held, *learned])
    assert main([str(manifest), "--pictures", "2", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    for subset in {row.subset for row in held}:
        assert f"| {subset}" in said
    assert "learned" not in said
    # Phantoms are plain to see: whoever knows what a box is outlines them.
    first = [float(line.split("|")[3].split()[0]) for line in said.splitlines()[2:]]
    assert min(first) > 0.6


def test_a_manifest_with_nothing_to_draw_on_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in read_manifest(write_pictures(tmp_path, count=6, seed=3)) if row.lesion_free]
    manifest = tmp_path / "none.jsonl"
    write_manifest(manifest, rows)
    assert main([str(manifest)]) == 2
    assert "no pictures" in capsys.readouterr().err


def test_the_same_seed_draws_the_same_pictures(tmp_path: Path) -> None:
    rows = [replace(row, weights="no") for row in read_manifest(write_pictures(tmp_path, count=20, seed=3))]
    manifest = tmp_path / "held.jsonl"
    write_manifest(manifest, rows)
    drawn = [pictures_of(manifest, None, count=3, seed=seed) for seed in (1, 1, 2)]
    names = [{name: [row.id for row in some] for name, some in one.items()} for one in drawn]
    assert names[0] == names[1] != names[2]
