"""Answers are read back as they were composed, and nothing a model writes can make the reader fail."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreseg_core import answer
from coreseg_core.record import Box

_words = st.text("abcdefghijklmnopqrstuvwxyz -", min_size=1, max_size=30).map(lambda t: " ".join(t.split()))
_names = _words.filter(lambda t: bool(t) and not {"is", "are", "of", "no", "the"} & set(t.split()))
_boxes = st.lists(
    st.tuples(*[st.integers(0, 200)] * 2, *[st.integers(1, 50)] * 2).map(
        lambda v: (v[0], v[1], v[0] + v[2], v[1] + v[3])
    ),
    min_size=1,
    max_size=8,
)
_FRAGMENTS = (
    *answer.TAGS,
    *("[[1,2,30,40]]", "[[NaN,1,2,3]]", "[[9,9,1,1]]", "[", "]]", "[[1e309,0,1,2]]", "[[-5,0,3,4]]"),
    *("[[99999999999,0,1,2]]", "The polyp is located at ", "No polyp is seen.", "The mask is ", "of of of"),
    *("The question does not fit: this is CT of head.", "\u202eabc\u202c", "\x00", "\ud800", " \n ", "1e6"),
    *(
        " is located at is located at",
        "\u0661\u0662",
        "No ",
        " is seen",
        "<seg",
        "<|im_end|>",
        "\u0627\u0644",
    ),
)


@settings(max_examples=50, deadline=None)
@given(name=_names, boxes=_boxes, reasoning=_words)
def test_present_answer_is_read_back_as_composed(name: str, boxes: list[Box], reasoning: str) -> None:
    parsed = answer.parse(answer.compose_present(name, boxes, reasoning))
    assert parsed == answer.ParsedAnswer(
        reasoning=reasoning,
        kind="present",
        class_name=name,
        boxes_xyxy_px=tuple(boxes),
        has_seg=True,
        n_seg=1,
        well_formed=True,
    )


@settings(max_examples=50, deadline=None)
@given(name=_names, reasoning=_words)
def test_absent_answer_is_read_back_as_composed(name: str, reasoning: str) -> None:
    parsed = answer.parse(answer.compose_absent(name, reasoning))
    assert (parsed.kind, parsed.class_name, parsed.reasoning) == ("absent", name, reasoning)
    assert parsed.well_formed and not parsed.has_seg and parsed.n_seg == 0


@settings(max_examples=50, deadline=None)
@given(modality=_names, anatomy=_names)
def test_mismatch_answer_is_read_back_as_composed(modality: str, anatomy: str) -> None:
    parsed = answer.parse(answer.compose_mismatch(modality, anatomy))
    assert (parsed.kind, parsed.modality, parsed.anatomy) == ("mismatch", modality, anatomy)
    assert parsed.well_formed and parsed.reasoning == ""


@settings(deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_is_read_without_failing(text: str) -> None:
    _check_bounds(answer.parse(text))


def test_ten_thousand_adversarial_texts_are_read_each_within_ten_milliseconds() -> None:
    rng = random.Random(20)
    slowest = 0.0
    for _ in range(10_000):
        text = "".join(rng.choices(_FRAGMENTS, k=rng.randint(1, 30)))
        started = time.thread_time()
        parsed = answer.parse(text)
        slowest = max(slowest, time.thread_time() - started)
        _check_bounds(parsed)
    assert slowest < 0.01


def _check_bounds(parsed: answer.ParsedAnswer) -> None:
    assert len(parsed.boxes_xyxy_px) <= answer.MAX_BOXES
    assert all(0 <= x0 < x1 and 0 <= y0 < y1 for x0, y0, x1, y1 in parsed.boxes_xyxy_px)
    assert not parsed.well_formed or parsed.kind is not None
    assert parsed.kind == "present" or not parsed.has_seg


@pytest.mark.parametrize(
    "text",
    [
        "<answer>The polyp is located at [" + "[1,2,3,4]," * 1_000_000,
        "<think>" * 20_000,
        "<answer>" + "a" * 100_000,
        "<answer>" + "[" * 100_000,
        "<answer>" + " is located at" * 8_000,
        "<answer>No " + "no " * 33_000,
        "<answer>" + "the " * 25_000 + "is located at",
        "<answer>question does not fit: this is " + "x of " * 20_000,
        "<answer>[[" + "1," * 50_000 + "]]",
        "\u202e<answer>No \u0627\u0644\u0648\u0631\u0645 is seen.</answer>\u202c" * 2_000,
        " " * 100_000,
    ],
    ids=range(11),
)
def test_long_text_is_read_within_ten_milliseconds(text: str) -> None:
    best = min(_seconds(text) for _ in range(3))
    assert best < 0.01


def _seconds(text: str) -> float:
    started = time.thread_time()
    answer.parse(text)
    return time.thread_time() - started


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<think>x</think><answer>The polyp is located at [[1,2,3,4]]. The mask is <seg>", "present"),
        ("<think>left open <answer>No polyp is seen.</answer>", "absent"),
        ("No polyp is seen.", "absent"),
        ("<think>No polyp is seen.", None),
        ("<answer>No polyp is seen. The mask is <seg>.</answer>", "present"),
        ("<answer></answer>", None),
        ("", None),
    ],
)
def test_half_written_answers_are_read_but_not_called_well_formed(text: str, kind: str | None) -> None:
    parsed = answer.parse(text)
    assert parsed.kind == kind
    assert not parsed.well_formed


def test_absence_is_never_read_where_a_mask_is_asked_for() -> None:
    parsed = answer.parse("<answer>No polyp is seen. The mask is <seg>.</answer>")
    assert parsed.kind == "present" and parsed.n_seg == 1


@pytest.mark.parametrize("boxes", ["[[5,5,5,9]]", "[[1,2,3]]", "[[-1,2,3,4]]", "[[1,2,3,99999]]", "[]"])
def test_unusable_boxes_are_dropped_and_spoil_the_form(boxes: str) -> None:
    parsed = answer.parse(f"<answer>The polyp is located at {boxes}. The mask is <seg>.</answer>")
    assert parsed.boxes_xyxy_px == () and not parsed.well_formed and parsed.kind == "present"


def test_names_cannot_smuggle_tags_into_an_answer() -> None:
    text = answer.compose_absent("polyp</answer><seg>", "fine <seg></think><answer>")
    assert answer.parse(text).n_seg == 0
    assert text.count("<answer>") == text.count("</answer>") == text.count("</think>") == 1


def test_decoding_may_stop_at_the_mask_token_and_be_completed() -> None:
    text = answer.compose_present("polyp", [(1, 2, 3, 4)])
    head = text[: text.index(answer.SEG) + len(answer.SEG)]
    assert head + answer.AFTER_SEG == text
