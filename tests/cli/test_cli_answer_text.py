"""What a person reads: the outcome first, absence only where absence was said, contradictions flagged."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from records import GEOMETRY, finding, record

from coreseg_core.cli.answer_text import answer_text
from coreseg_core.cli.ask import write_outputs
from coreseg_core.imaging import Volume, picture_geometry, read_label
from coreseg_core.record import OUTCOMES, Outcome
from coreseg_core.reports.picture import shown_finding
from coreseg_core.reports.words import HEADLINES, millilitres, spoken_slices


def _flat(text: str) -> str:
    return " ".join(text.split())


def test_a_present_answer_says_where_how_large_and_how_sure() -> None:
    made, _ = record(finding("present"))
    text = answer_text(made, GEOMETRY, width=100)
    assert text.splitlines()[0] == "PRESENT: 1 lesion on slice 3 (axial)"
    said = _flat(text)
    assert "one small bright mass" in said
    assert "Found brain tumor" in said
    assert "x 20 to 25, y 10 to 14" in said
    assert "0.40 mL within the one slice looked at, confidence 0.83" in said
    assert "0.83 (predicted IoU x agreement of boxes and mask; not calibrated)" in said
    assert "lite v0 (abababababab)" in said
    assert "not a medical device" in said


def test_a_claim_that_the_mask_contradicts_is_flagged_and_a_true_one_is_not() -> None:
    made, _ = record(finding("present"))
    warnings = [line for line in answer_text(made, GEOMETRY, width=100).splitlines() if "WARNING" in line]
    assert len(warnings) == 1
    assert "left side" in warnings[0]


def test_left_and_right_are_said_to_be_those_of_the_picture() -> None:
    made, _ = record(finding("present"))
    said = _flat(answer_text(made, GEOMETRY, width=100))
    assert "patient's right is on the left of the picture" in said


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_outcome_has_its_own_words_and_only_absence_reads_as_absence(outcome: Outcome) -> None:
    made, _ = record(finding(outcome))
    text = answer_text(made, GEOMETRY)
    assert text.startswith(HEADLINES[outcome])
    assert len(set(HEADLINES.values())) == len(OUTCOMES)
    assert ("NO LESION SEEN" in text) == (outcome == "absent")
    if outcome not in ("present", "absent"):
        assert "says nothing about" in _flat(text) or "not a 'no'" in _flat(text)


def test_slices_without_a_mask_are_put_together_by_what_was_said_of_them() -> None:
    findings = (finding("present", 1), finding("absent", 2), finding("absent", 3), finding("uncertain", 4))
    made, _ = record(*findings)
    text = answer_text(made, GEOMETRY, width=100)
    assert text.splitlines()[0] == "PRESENT: 1 lesion on slice 1; looked at slices 1 to 4 (axial)"
    said = _flat(text)
    assert "No lesion seen slices 2 to 3" in said
    assert "Could not tell slice 4" in said
    assert "Slice 1 There is one small bright mass" in said


def test_a_flat_picture_is_measured_in_pixels_not_millilitres() -> None:
    made, _ = record(finding("present", 0))
    text = answer_text(made, picture_geometry(width=40, height=48, pixel_mm=(5.0, 4.0)), width=100)
    assert text.splitlines()[0] == "PRESENT: 1 lesion"
    assert "20 pixels" in text
    assert "mL" not in text
    assert "Sides" not in text


@settings(deadline=None)
@given(st.integers(24, 160))
def test_words_are_never_lost_whatever_the_width(width: int) -> None:
    made, _ = record(finding("present"))
    narrow = answer_text(made, GEOMETRY, width=width)
    assert _flat(narrow) == _flat(answer_text(made, GEOMETRY, width=1000))


@settings(deadline=None)
@given(st.sets(st.integers(0, 300), min_size=1))
def test_spoken_slices_name_each_number_once(numbers: set[int]) -> None:
    spans = spoken_slices(numbers).removeprefix("slices").removeprefix("slice").split(",")
    read: list[int] = []
    for span in spans:
        ends = [int(number) for number in span.split("to")]
        read += range(ends[0], ends[-1] + 1)
    assert read == sorted(numbers)


@pytest.mark.parametrize(
    ("mm3", "ml"), [(12_345.0, "12.3"), (1234.0, "1.23"), (400.0, "0.40"), (12.5, "0.0125")]
)
def test_millilitres_keep_digits_that_count(mm3: float, ml: str) -> None:
    assert millilitres(mm3) == ml


def test_the_overlay_shows_the_slice_with_the_largest_mask_or_the_middle_one() -> None:
    large = np.zeros((48, 40), dtype=bool)
    large[5:30, 5:30] = True
    many, _ = record(finding("absent", 1), finding("present", 2), finding("present", 3, mask=large))
    assert shown_finding(many).index == 3
    none, _ = record(*(finding("absent", index) for index in range(5)))
    assert shown_finding(none).index == 2
    doubtful, _ = record(finding("uncertain", 1, mask=large), finding("absent", 2), finding("absent", 3))
    assert shown_finding(doubtful).index == 2


def test_a_present_answer_is_written_as_labels_record_and_overlay_that_agree(tmp_path: Path) -> None:
    made, labels = record(finding("present", 2), finding("present", 3))
    voxels = np.random.default_rng(0).normal(100, 10, labels.shape).astype(np.float32)
    chosen = argparse.Namespace(out=tmp_path / "mask.nrrd", overlay=tmp_path / "o.png")
    written = write_outputs(chosen, Volume(voxels, GEOMETRY, "MR"), made, labels)
    assert set(written) == {"Mask", "Record", "Overlay"}
    assert np.array_equal(read_label(tmp_path / "mask.nrrd", GEOMETRY), labels)
    assert int(labels.sum()) == 2 * 20
    picture = np.asarray(Image.open(tmp_path / "o.png").convert("RGB")).astype(int)
    # The mask is bluer, and the box yellower, than anything grey.
    slice_part = picture[:, :640]
    blue = np.argwhere(slice_part[..., 2] - slice_part[..., 0] > 40)
    yellow = np.argwhere(slice_part[..., 0] - slice_part[..., 2] > 120)
    assert len(blue) > 500
    assert len(yellow) > 100
    assert np.abs(blue.mean(axis=0) - yellow.mean(axis=0)).max() < 20
