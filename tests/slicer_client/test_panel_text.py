"""Text beside mask: sides, sizes and slices; what a server writes is shown as it is and never obeyed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CORESegLib.findings import Claim, SliceAnswer
from CORESegLib.geometry import Matrix, compare, measure, place_slice, plane_of, slice_shown
from CORESegLib.rich_text import for_reader, plain, read_link, slice_link, with_links
from CORESegLib.scene_text import from_tag, short_title, to_tag
from CORESegLib.text_check import in_numbers, read_sides, remarks_on

# Slicer's usual axial series: i to the patient's left, j to the back, k up.
LPS: Matrix = ((-1.0, 0, 0, 40.0), (0, -1.0, 0, 40.0), (0, 0, 2.5, 0), (0, 0, 0, 1))
SHAPE = (80, 80, 10)


def found(text: str, outcome: str = "present", **more: object) -> SliceAnswer:
    return SliceAnswer(axis=2, index=3, outcome=outcome, reasoning=text, **more)  # type: ignore[arg-type]


def lesion(i: int, *, size: int = 10) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[i : i + size, 30 : 30 + size, 3] = True
    return mask


def warnings(text: str, i: int, outcome: str = "present") -> list[str]:
    measured = measure(lesion(i), LPS, SHAPE, axis=2)
    return [remark.said for remark in remarks_on(found(text, outcome), measured) if remark.warning]


@pytest.mark.parametrize(
    ("i", "patient", "picture"), [(5, "right", "left"), (60, "left", "right"), (35, None, None)]
)
def test_the_patients_side_comes_from_the_mask(i: int, patient: str | None, picture: str | None) -> None:
    measured = measure(lesion(i), LPS, SHAPE, axis=2)
    assert measured is not None
    assert (measured.patient_side, measured.picture_side) == (patient, picture)


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_the_side_does_not_depend_on_how_voxels_are_stored(
    flips: tuple[int, ...], order: tuple[int, int, int]
) -> None:
    mask, matrix = lesion(60), np.array(LPS)
    for axis, flip in enumerate(flips):
        if flip < 0:
            mask = np.flip(mask, axis)
            matrix[:, 3] += matrix[:, axis] * (SHAPE[axis] - 1)
            matrix[:, axis] *= -1
    mask = mask.transpose(order)
    matrix = matrix[:, [*order, 3]]
    stored: Matrix = tuple(tuple(row) for row in matrix.tolist())
    measured = measure(mask, stored, mask.shape, axis=order.index(2))
    assert measured is not None
    assert (measured.patient_side, measured.picture_side) == ("left", "right")
    assert plane_of(order.index(2), stored) == "axial"
    assert measured.volume_ml == pytest.approx(100 * 2.5 / 1000)


def test_a_part_of_the_image_measures_like_the_whole() -> None:
    whole = measure(lesion(60), LPS, SHAPE, axis=2)
    part = measure(lesion(60)[50:, 20:, 2:], LPS, SHAPE, axis=2, offset_ijk=(50, 20, 2))
    assert whole == part


def test_an_empty_mask_measures_nothing() -> None:
    assert measure(np.zeros(SHAPE, dtype=bool), LPS, SHAPE, axis=2) is None
    assert in_numbers(None, axis=2) == "The mask is empty."


def test_a_flat_picture_has_no_side_of_a_patient() -> None:
    mask = lesion(60)[:, :, 3:4]
    measured = measure(mask, LPS, mask.shape, axis=2)
    assert measured is not None
    assert (measured.patient_side, measured.picture_side) == (None, None)


def test_numbers_of_the_mask_are_said_for_people() -> None:
    measured = measure(lesion(60), LPS, SHAPE, axis=2)
    assert in_numbers(measured, axis=2) == "From the mask: patient's left, 0.25 mL, 10 x 10 x 2 mm, slice 4"


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("One spot in the upper left part of the picture.", [("left", "picture")]),
        ("A mass in the patient's left lung.", [("left", "patient")]),
        ("A nodule in the right kidney.", [("right", "patient")]),
        ("It lies in the right half.", [("right", "unsaid")]),
        ("The left lobe of the liver is even.", []),
        ("The right side of the image, not the left kidney.", [("right", "picture"), ("left", "patient")]),
        ("What is left is bright.", []),
    ],
)
def test_sides_in_words_are_told_apart_by_whose_they_are(text: str, frames: list[tuple[str, str]]) -> None:
    assert [(word.side, word.frame) for word in read_sides(text)] == frames


def test_a_side_that_the_mask_does_not_bear_out_is_warned_of() -> None:
    # The lesion at i = 60 lies on the patient's left, the right of the picture.
    assert warnings("One spot in the upper left part of the picture.", 60)
    assert warnings("A mass in the patient's right lung.", 60)
    assert "may mean the picture" in warnings("It lies in the right half.", 60)[0]


def test_a_side_that_fits_is_explained_not_warned_of() -> None:
    text = "One spot in the upper right part of the picture."
    measured = measure(lesion(60), LPS, SHAPE, axis=2)
    remarks = remarks_on(found(text), measured)
    assert [remark.warning for remark in remarks] == [False]
    assert "the patient's left" in remarks[0].said
    assert not warnings("A mass in the left lung.", 60)
    assert not warnings("It lies in the right half.", 35), "near the middle nothing is said"


def test_a_length_that_the_mask_does_not_bear_out_is_warned_of() -> None:
    assert not warnings("A spot of 11 mm.", 35)
    assert not warnings("A spot of 0.9 x 1.1 cm.", 35)
    assert warnings("A spot of 3 cm.", 35)


@pytest.mark.parametrize("outcome", ["absent", "uncertain", "mismatch", "unsupported", "error"])
def test_a_mask_where_the_answer_is_not_found_is_warned_of(outcome: str) -> None:
    assert warnings("", 35, outcome)


def test_a_finding_without_a_mask_is_warned_of() -> None:
    assert remarks_on(found("A spot."), None)[0].warning


def test_what_the_server_found_contradicted_is_warned_of() -> None:
    answer = dataclasses.replace(
        found(""), claims=(Claim(text="two spots", kind="number", contradicted=True),)
    )
    measured = measure(lesion(35), LPS, SHAPE, axis=2)
    assert "two spots" in remarks_on(answer, measured)[0].said


def test_what_a_reader_changed_is_counted() -> None:
    theirs, ours = lesion(35), lesion(35)
    ours[35:37, 30:40, 3] = False
    ours[0, 0, 5] = True
    difference = compare(ours, theirs)
    assert (difference.added, difference.removed) == (1, 20)
    assert difference.slices_along[2] == (3, 5)
    assert difference.dice == pytest.approx(2 * 80 / 181)
    assert compare(~ours & False, ours & False).dice == 1.0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_laid_where_it_was_taken(axis: int) -> None:
    rng = np.random.default_rng(axis)
    volume = rng.random((4, 5, 6)) > 0.5
    labels = np.zeros_like(volume)
    for index in range(volume.shape[axis]):
        place_slice(labels, np.take(volume, index, axis), axis=axis, index=index)
    assert (labels == volume).all()


def view_at(r: float, a: float, s: float, normal: tuple[float, float, float]) -> Matrix:
    third = np.array(normal) / np.linalg.norm(normal)
    first = np.cross([0.3, 0.5, 0.8], third)
    first /= np.linalg.norm(first)
    second = np.cross(third, first)
    rows = np.column_stack([first, second, third, [r, a, s]]).tolist()
    return tuple(tuple(row) for row in [*rows, [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("view", "spot"),
    [
        (view_at(0, 0, 0, (0, 0, 1)), (2, 0, True, True)),
        (view_at(3, 9, 8.6, (0, 0, 1)), (2, 3, True, True)),
        (view_at(0, 0, 7.4, (0, 0, -1)), (2, 3, True, True)),
        (view_at(-1, 0, 0, (1, 0, 0)), (0, 41, True, True)),
        (view_at(0, 39, 0, (0, 1, 0)), (1, 1, True, True)),
        (view_at(0, 0, 90, (0, 0, 1)), (2, 36, True, False)),
        (view_at(0, 0, -2.5, (0, 0, 1)), (2, -1, True, False)),
        (view_at(0, 0, 5, (0, 0.2, 1)), (2, 2, False, True)),
    ],
)
def test_the_slice_a_view_shows_is_found_from_zero_and_tilt_is_noticed(
    view: Matrix, spot: tuple[int, int, bool, bool]
) -> None:
    shown = slice_shown(view, LPS, SHAPE)
    assert (shown.axis, shown.index, shown.aligned, shown.inside) == spot


@pytest.mark.parametrize(
    "text", ["<b>bold</b>", '<img src="http://evil">', "a & b", "slice 4 <script>", "x\x00\x1b[31my"]
)
def test_nothing_a_server_writes_is_markup(text: str) -> None:
    shown = with_links(text, axis=2, count=10)
    stripped = shown.replace('<a href="coreseg-slice:2:3">', "").replace("</a>", "").replace("<br>", "")
    assert "<" not in stripped
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (
            "The liver lesion is located at [[61,111,91,130], [1, 2,3,4]]. The mask is <seg>.",
            "The liver lesion is marked.",
        ),
        ("No liver lesion is seen.", "No liver lesion is seen."),
        (
            "The question does not fit: this is CT of liver.",
            "The question does not fit: this is CT of liver.",
        ),
        ("", ""),
    ],
)
def test_a_reader_sees_no_boxes_in_pixels_and_no_signs_for_the_machine(answer: str, shown: str) -> None:
    assert for_reader(answer) == shown


def test_slices_in_a_text_become_links_that_lead_there() -> None:
    shown = with_links("See slices 4-6 and slice 11, not slice 0.", axis=2, count=10)
    assert shown == 'See <a href="coreseg-slice:2:3">slices 4-6</a> and slice 11, not slice 0.'
    assert read_link("coreseg-slice:2:3") == (2, 3)


@pytest.mark.parametrize("href", ["http://x", "file:///etc", "coreseg-slice:3:1", "coreseg-slice:1:1:1", ""])
def test_any_other_link_leads_nowhere(href: str) -> None:
    assert read_link(href) is None


@given(st.text(max_size=60))
def test_plain_text_and_links_lose_nothing_that_can_be_seen(text: str) -> None:
    import html

    seen = "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
    assert html.unescape(plain(text).replace("<br>", "\n")) == seen
    assert read_link(slice_link(text, axis=1, index=2).split('"')[1]) == (1, 2)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=4))
def test_a_record_in_a_tag_holds_neither_bars_nor_returns_and_comes_back(values: dict[str, str]) -> None:
    tag = to_tag(values)
    assert not set("|\r\n") & set(tag)
    assert from_tag(tag) == values


@pytest.mark.parametrize("text", ["", "[1]", "{", "{" * 100_000, "nan"])
def test_what_is_no_record_is_none(text: str) -> None:
    assert from_tag(text) is None


def test_a_node_is_named_after_the_first_words() -> None:
    assert (
        short_title("Is there a lesion\nin the liver, and if so where exactly?")
        == "Is there a lesion in the liver, and if…"
    )
