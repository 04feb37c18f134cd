"""What was found is kept as it is found: taken up again to the last digit, and nothing looked at twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from discs import ball_volume, boxed_query
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spelled import PRESENT, Heard, Speaker

from coreseg_core.errors import InputError
from coreseg_core.imaging.runs import mask_of_runs, mask_runs
from coreseg_core.inference.journal import FindingJournal, journal_name
from coreseg_core.inference.segment import SLICES_AT_ONCE, parts_of
from coreseg_core.record import Query, Scope, SliceFinding

ASKED = Query("liver tumor", "none")
SCOPE = Scope(2, 3, 3 + 2 * SLICES_AT_ONCE + 1)
SHA256 = "0" * 64


def equal(one: SliceFinding, other: SliceFinding) -> bool:
    masks = np.array_equal(one.mask, other.mask)
    blank = np.zeros((1, 1), dtype=bool)
    return masks and {**vars(one), "mask": blank} == {**vars(other), "mask": blank}


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_mask_comes_back_from_its_runs(mask: np.ndarray) -> None:
    assert np.array_equal(mask_of_runs(mask_runs(mask)), mask)


@pytest.mark.parametrize("runs", [{"shape": [2, 2], "counts": [3]}, {"shape": [2, 2], "counts": [6, -2]}])
def test_runs_that_do_not_fill_their_shape_are_refused(runs: dict) -> None:
    with pytest.raises(InputError):
        mask_of_runs(runs)


def test_a_killed_question_goes_on_where_it_stood_and_comes_to_the_same(
    says: Speaker, encoder: Heard, tmp_path: Path
) -> None:
    volume, _ = ball_volume()
    whole, labels = says(PRESENT).answer(volume, ASKED, SCOPE, image_id="x")
    once = encoder.slices
    path = tmp_path / "found" / "a.jsonl"
    first = says(PRESENT).segment(volume, ASKED, SCOPE, kept=FindingJournal(path))
    for _ in range(SLICES_AT_ONCE + 1):
        next(first)
    # The line that a killed process was writing.
    with path.open("ab") as stream:
        stream.write(b'[{"axis": "k", "ind')
    journal = FindingJournal(path)
    assert len(journal) == 2 * SLICES_AT_ONCE
    record, again = says(PRESENT).answer(volume, ASKED, SCOPE, image_id="x", kept=journal)
    assert encoder.slices == 2 * once
    assert all(equal(one, other) for one, other in zip(whole.slices, record.slices, strict=True))
    assert record.lesions == whole.lesions and np.array_equal(labels, again)


def test_a_damaged_journal_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('[{"axis": "k"}]\n')
    with pytest.raises(InputError, match="Remove it"):
        FindingJournal(path)


def test_journals_of_other_questions_slices_images_and_weights_have_other_names() -> None:
    volume, ball = ball_volume()
    other, _ = ball_volume(np.diag([2.0, 1.0, 1.0, 1.0]))
    marked = boxed_query(volume, ball, SCOPE)
    names = {
        journal_name(volume, ASKED, SCOPE, weights_sha256=SHA256),
        journal_name(volume, ASKED, SCOPE, weights_sha256="1" * 64),
        journal_name(volume, ASKED, Scope(2, 0, 4), weights_sha256=SHA256),
        journal_name(volume, marked, SCOPE, weights_sha256=SHA256),
        journal_name(other, ASKED, SCOPE, weights_sha256=SHA256),
    }
    assert len(names) == 5
    assert journal_name(volume, ASKED, SCOPE, weights_sha256=SHA256) in names


def test_parts_cover_a_scope_once_and_in_order() -> None:
    assert [index for part in parts_of(SCOPE) for index in part.indices] == list(SCOPE.indices)
