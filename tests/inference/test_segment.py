"""A question over slices: in order, in time to be stopped, and back on the voxels it was asked about."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from discs import SHAPE_IJK, ball_volume, boxed_query, turned_affines
from hypothesis import given
from hypothesis import strategies as st
from spelled import ABSENT, GIBBERISH, MISFIT, PRESENT, Heard, Speaker

from coreseg_core.errors import Cancelled, InputError
from coreseg_core.imaging import extract_slice
from coreseg_core.inference import overall_outcome
from coreseg_core.inference.journal import FindingJournal
from coreseg_core.inference.segment import SLICES_AT_ONCE
from coreseg_core.record import OUTCOMES, Query, Scope, SliceFinding

ASKED = Query("liver tumor", "none")


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


@pytest.mark.parametrize("scope", [Scope(0, 20, 22), Scope(1, 37, 42), Scope(2, 11, 12)])
def test_findings_come_in_order_one_for_each_slice_of_the_scope(says: Speaker, scope: Scope) -> None:
    volume, _ = ball_volume()
    findings = list(says(ABSENT).segment(volume, ASKED, scope))
    assert [(finding.axis, finding.index) for finding in findings] == [(scope.axis, n) for n in scope.indices]
    sides = [side for axis, side in enumerate(SHAPE_IJK) if axis != scope.axis]
    assert all(sorted(finding.mask.shape) == sorted(sides) for finding in findings)


def test_the_first_finding_comes_before_later_slices_are_encoded(says: Speaker, encoder: Heard) -> None:
    volume, _ = ball_volume()
    findings = says(ABSENT).segment(volume, ASKED, Scope(2, 0, 12))
    assert encoder.slices == 0
    next(findings)
    assert encoder.slices <= SLICES_AT_ONCE
    list(islice(findings, SLICES_AT_ONCE - 1))
    assert encoder.slices == SLICES_AT_ONCE


@pytest.mark.parametrize("after", [0, 1, 3])
def test_cancelling_stops_before_the_next_slice_is_encoded(says: Speaker, encoder: Heard, after: int) -> None:
    volume, _ = ball_volume()
    with pytest.raises(Cancelled):
        list(
            says(ABSENT).segment(volume, ASKED, Scope(2, 0, 12), should_stop=lambda: encoder.slices >= after)
        )
    assert encoder.slices == after


def test_cancelling_after_some_findings_leaves_those_and_gives_no_more(says: Speaker) -> None:
    volume, _ = ball_volume()
    seen: list[int] = []
    with pytest.raises(Cancelled):
        for finding in says(ABSENT).segment(
            volume, ASKED, Scope(2, 0, 12), should_stop=lambda: len(seen) >= 4
        ):
            seen.append(finding.index)
    assert seen == [0, 1, 2, 3]


def test_progress_is_told_once_for_each_slice_and_in_order(says: Speaker) -> None:
    volume, _ = ball_volume()
    told: list[int] = []
    says(ABSENT).answer(
        volume, ASKED, Scope(2, 2, 7), image_id="a", on_finding=lambda finding: told.append(finding.index)
    )
    assert told == list(range(2, 7))


@pytest.mark.parametrize("affine", turned_affines(), ids=range(len(turned_affines())))
@pytest.mark.parametrize("axis", [0, 2])
def test_a_label_lies_on_the_lesion_however_the_grid_is_turned(
    says: Speaker, affine: np.ndarray, axis: int
) -> None:
    volume, ball = ball_volume(affine)
    index = (22, 40, 4)[axis]
    scope = Scope(axis, index, index + 1)
    _, labels = says(PRESENT).answer(volume, boxed_query(volume, ball, scope), scope, image_id="a")
    assert labels.shape == SHAPE_IJK
    elsewhere = np.delete(labels, index, axis=axis)
    assert not elsewhere.any()
    assert dice(np.take(labels, index, axis=axis) > 0, np.take(ball, index, axis=axis)) > 0.75


def test_lesions_of_a_range_are_joined_across_slices_and_measured_in_millimetres(says: Speaker) -> None:
    volume, ball = ball_volume()
    scope = Scope(2, 3, 6)
    record, labels = says(PRESENT).answer(volume, boxed_query(volume, ball, scope), scope, image_id="a")
    largest = record.lesions[0]
    assert largest.slices == (3, 4, 5)
    voxels = np.count_nonzero(labels == largest.label_value)
    assert largest.volume_mm3 == pytest.approx(voxels * 1.0 * 1.5 * 4.0)
    assert largest.box_ijk[2::3] == (3, 6)
    assert record.outcome == "present"


@pytest.mark.parametrize(
    ("reply", "outcome"), [(ABSENT, "absent"), (MISFIT, "mismatch"), (GIBBERISH, "uncertain")]
)
def test_a_volume_that_shows_nothing_has_an_empty_label_and_one_outcome(
    says: Speaker, reply: str, outcome: str
) -> None:
    volume, _ = ball_volume()
    record, labels = says(reply).answer(volume, ASKED, Scope(2, 3, 5), image_id="a")
    assert record.outcome == outcome
    assert len(record.slices) == 2
    assert record.lesions == ()
    assert not labels.any()


@given(outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=6))
def test_a_question_is_answered_with_absence_only_if_every_slice_says_so(outcomes: list) -> None:
    overall = overall_outcome(outcomes)
    assert (overall == "absent") == (set(outcomes) == {"absent"})
    assert (overall == "present") == ("present" in outcomes)
    assert overall in OUTCOMES


def test_no_slice_at_all_is_no_absence() -> None:
    assert overall_outcome([]) == "uncertain"


def test_one_uncertain_slice_among_absent_ones_makes_the_whole_uncertain() -> None:
    assert overall_outcome(["absent", "uncertain", "absent"]) == "uncertain"
    assert overall_outcome(["absent", "error"]) == "error"


@pytest.mark.parametrize(
    "scope",
    [Scope(3, 0, 1), Scope(-1, 0, 1), Scope(2, -1, 3), Scope(2, 0, 13), Scope(2, 12, 13), Scope(2, 4, 4)],
)
def test_slices_that_do_not_exist_are_refused_before_anything_is_encoded(
    says: Speaker, encoder: Heard, scope: Scope
) -> None:
    volume, _ = ball_volume()
    with pytest.raises(InputError) as caught:
        list(says(ABSENT).segment(volume, ASKED, scope))
    assert caught.value.remedy
    assert encoder.slices == 0


def test_several_questions_about_a_picture_encode_it_once(says: Speaker, encoder: Heard) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (80, 60, 3), dtype=np.uint8)
    findings = says(ABSENT).answer_picture(rgb, [ASKED, Query("liver lesion", "none")], pixel_mm=(0.5, 0.5))
    assert [finding.outcome for finding in findings] == ["absent", "absent"]
    assert findings[0].mask.shape == (80, 60)
    assert encoder.slices == 1


def test_what_stands_on_one_slice_alone_is_told_first_as_found_and_then_as_doubted(
    says: Speaker, tmp_path: Path
) -> None:
    volume, _ = ball_volume()
    shown = extract_slice(volume, 2, 4).rgb.shape[:2]
    outlined = np.zeros(shown, dtype=bool)
    outlined[4:12, 3:11] = True
    scope = Scope(2, 2, 6)
    found = [
        SliceFinding(axis=2, index=n, outcome="present" if n == 4 else "absent", mask=outlined & (n == 4))
        for n in scope.indices
    ]
    kept = FindingJournal(tmp_path / "found.jsonl")
    kept.add(found)
    told: list[tuple[int, str]] = []
    record, labels = says(PRESENT).answer(
        volume,
        ASKED,
        scope,
        image_id="a",
        kept=kept,
        on_finding=lambda finding: told.append((finding.index, finding.outcome)),
    )
    assert told == [(2, "absent"), (3, "absent"), (4, "present"), (5, "absent"), (4, "uncertain")]
    assert [finding.outcome for finding in record.slices] == ["absent", "absent", "uncertain", "absent"]
    assert record.outcome == "uncertain"
    assert record.lesions == ()
    assert not labels.any()
