"""What a question's end looks like: no outcome can be taken for another, and only absence reads as absence."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from CORESegLib.asking import Stood
from CORESegLib.findings import Findings, read_record
from CORESegLib.machine import ENDED, EVENTS, RUNNING, STATES, State, step
from CORESegLib.mask_runs import read_runs
from CORESegLib.outcomes import CHIPS, OUTCOMES, confidence_in_words, outcome_of
from CORESegLib.progress import view_of
from CORESegLib.trouble import Trouble


def runs_of(mask: np.ndarray) -> dict[str, Any]:
    """Return run lengths as the server writes them, counted one pixel at a time."""
    counts, value = [0], False
    for pixel in mask.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"shape": list(mask.shape), "counts": counts}


def slice_event(index: int, outcome: str = "present", **more: Any) -> dict[str, Any]:
    mask = np.zeros((4, 5), dtype=bool)
    mask[1, 2:4] = outcome == "present"
    finding = {"axis": "k", "index": index, "outcome": outcome, "confidence": 0.8, **more}
    return {"finding": finding, "mask_rle": runs_of(mask)}


def record_event(**more: Any) -> dict[str, Any]:
    values = {
        "schema": "coreseg.record/1",
        "id": "r1",
        "image_id": "abc",
        "query": "tumor?",
        "scope": {"axis": "k", "start": 3, "stop": 5},
        "model": {"preset": "lite", "version": "v0", "sha256": "0" * 64},
        "outcome": "present",
        "slices": [],
        "lesions": [{"id": 1, "slices": [3], "volume_mm3": 12.5, "confidence": 0.7}],
        "created": "2026-01-01T00:00:00+00:00",
    }
    return {"record": {**values, **more}}


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours as WCAG counts it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_outcome_has_a_chip_and_only_one_means_absence() -> None:
    assert set(CHIPS) == set(OUTCOMES)
    assert [outcome for outcome, chip in CHIPS.items() if chip.means_absence] == ["absent"]


@pytest.mark.parametrize("attribute", ["sign", "word", "meaning", "background", "border"])
def test_two_chips_differ_in_everything_also_without_colours(attribute: str) -> None:
    for first, second in itertools.combinations(CHIPS.values(), 2):
        assert getattr(first, attribute) != getattr(second, attribute)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_chip_can_be_read(outcome: str) -> None:
    chip = CHIPS[outcome_of(outcome)]
    assert contrast(chip.background, chip.foreground) >= 4.5


@pytest.mark.parametrize("value", ["none", "", None, 1, "PRESENT"])
def test_an_unknown_outcome_is_never_guessed(value: object) -> None:
    with pytest.raises(Trouble) as caught:
        outcome_of(value)
    assert caught.value.kind == "version"


def test_a_confidence_says_that_it_is_not_calibrated() -> None:
    assert confidence_in_words(0.814, calibrated=False) == "confidence 81% (not calibrated)"
    assert confidence_in_words(None, calibrated=False) == ""


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_mask_comes_back_pixel_for_pixel(mask: np.ndarray) -> None:
    runs = read_runs(runs_of(mask))
    assert (runs.decode() == mask).all()
    assert runs.marked == mask.sum()


@pytest.mark.parametrize(
    "values",
    [
        None,
        {},
        {"shape": [2, 2], "counts": [3]},
        {"shape": [2, 2], "counts": [5, -1]},
        {"shape": [2], "counts": [2]},
        {"shape": [1 << 20, 1 << 20], "counts": [1 << 40]},
        {"shape": [2, 2], "counts": [True, 3]},
        {"shape": [0, 0], "counts": []},
    ],
)
def test_a_mask_that_does_not_add_up_is_refused(values: object) -> None:
    with pytest.raises(Trouble):
        read_runs(values)


def test_words_grow_until_the_finding_is_there() -> None:
    findings = Findings()
    for text in ("A small", " dark spot."):
        findings = findings.with_words({"slice": 3, "text": text})
    assert findings.writing[3] == "A small dark spot."
    assert findings.outcome is None
    findings = findings.with_slice(slice_event(3))
    assert not findings.writing
    assert findings.outcome == "present"


def test_a_part_without_findings_is_never_absence() -> None:
    findings = Findings().with_slice(slice_event(3, "absent")).with_slice(slice_event(4, "absent"))
    assert findings.outcome == "uncertain"
    done = findings.with_record(record_event(outcome="absent"))
    assert done.outcome == "absent"
    view = view_of("receiving", findings)
    assert view.partial
    assert view.chip is not None
    assert not view.chip.means_absence


@pytest.mark.parametrize(
    ("outcomes", "overall"),
    [
        (["absent", "present"], "present"),
        (["absent", "error", "uncertain"], "error"),
        (["mismatch", "mismatch"], "uncertain"),
    ],
)
def test_what_has_arrived_so_far_is_summed_up_with_caution(outcomes: list[str], overall: str) -> None:
    findings = Findings()
    for index, outcome in enumerate(outcomes):
        findings = findings.with_slice(slice_event(index, outcome))
    assert findings.outcome == overall


def test_findings_are_walked_in_reading_order() -> None:
    findings = Findings()
    for index, outcome in ((9, "present"), (4, "present"), (6, "absent")):
        findings = findings.with_slice(slice_event(index, outcome))
    assert [found.index for found in findings.marked()] == [4, 9]
    assert findings.neighbour(4, 1).index == 9  # type: ignore[union-attr]
    assert findings.neighbour(9, -1).index == 4  # type: ignore[union-attr]
    assert findings.neighbour(9, 1) is None


def test_claims_that_the_mask_contradicts_are_kept_apart() -> None:
    claims = [
        {"text": "on the left", "kind": "side", "verdict": "contradicted"},
        {"text": "small", "kind": "size", "verdict": "supported"},
        "not a claim",
    ]
    findings = Findings().with_slice(slice_event(3, claims=claims))
    assert findings.marked()[0].contradictions == ("on the left",)


def test_a_record_gives_its_lesions() -> None:
    record = read_record(record_event()["record"])
    assert (record.id, record.model, record.lesions[0].volume_mm3) == ("r1", "lite v0", 12.5)
    assert record.lesions[0].axis == 2


@pytest.mark.parametrize(
    "change", [{"schema": "coreseg.record/2"}, {"id": "../x"}, {"id": 7}, {"outcome": "fine"}, {"id": "a|b"}]
)
def test_a_record_of_another_kind_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Trouble):
        read_record(record_event(**change)["record"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["finding", "mask_rle", "axis", "index", "outcome", "claims", "shape", "counts"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_the_server_sends_for_a_finding_is_read_or_refused(values: Any) -> None:
    data = values if isinstance(values, dict) else {"finding": values}
    try:
        Findings().with_slice(data)
    except Trouble as trouble:
        assert trouble.kind in ("not_our_server", "version")


def test_every_state_can_be_left_and_reached() -> None:
    reached = {target for state in STATES for event in EVENTS if (target := step(state, event))}
    assert reached >= set(STATES)
    for state in STATES:
        assert any(step(state, event) not in (None, state) for event in EVENTS)


@pytest.mark.parametrize("state", STATES)
def test_whatever_runs_can_be_cancelled_and_nothing_else_can(state: State) -> None:
    assert (step(state, "cancel") is not None) == (state in RUNNING)
    assert (step(state, "fail") is not None) == (state in RUNNING)
    assert (step(state, "target_gone") is not None) == (state in RUNNING)


@pytest.mark.parametrize("state", STATES)
def test_a_question_can_be_asked_exactly_when_none_is_on_its_way(state: State) -> None:
    assert (step(state, "ask") == "preparing") == (state not in RUNNING)
    assert (step(state, "reset") == "idle") == (state not in RUNNING)


@pytest.mark.parametrize("state", sorted(ENDED))
def test_a_late_answer_changes_nothing(state: State) -> None:
    for event in ("uploading", "waiting", "working", "slice", "record", "imported", "imported_nothing"):
        assert step(state, event) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_view_with_one_button_that_means_something(state: State) -> None:
    view = view_of(state, Findings(), trouble=Trouble("cut", "It broke.", remedy="Again."))
    assert view.button == ("Cancel" if state in RUNNING else "Ask")
    assert view.button_enabled
    assert view.bar == (state in RUNNING)
    assert view.retry == (state == "failed")


def test_what_is_missing_is_said_and_keeps_the_button_grey() -> None:
    view = view_of("idle", Findings(), ready="Choose an image.")
    assert (view.button_enabled, view.line) == (False, "Choose an image.")


def test_progress_is_told_in_words_and_as_a_share() -> None:
    uploading = view_of(
        "uploading", Findings(), stood=Stood(stage="uploading", done=34_000_000, total=86_000_000)
    )
    assert uploading.line == "Uploading 34 of 86 MB"
    assert uploading.share == pytest.approx(34 / 86)
    waiting = view_of("waiting", Findings(), stood=Stood(stage="waiting", position=2), waited_s=72.9)
    assert waiting.line == "Waiting for the server 1:12, 2 before you"
    assert waiting.share is None
    findings = Findings().with_slice(slice_event(3))
    working = view_of("receiving", findings, stood=Stood(stage="working", done=8, total=24, eta_s=40.2))
    assert working.line == "Slice 9 of 24, 1 with findings, about 0:40 left"


def test_a_failure_says_what_is_kept() -> None:
    findings = Findings().with_slice(slice_event(3))
    view = view_of("failed", findings, trouble=Trouble("cut", "It broke.", remedy="Again."))
    assert view.line.startswith("It broke. Again. What arrived before is kept: 1 slice")
    assert view.partial
    lost = view_of("failed", Findings(), trouble=Trouble("access", "No.", remedy="Token."))
    assert lost.chip == CHIPS["error"]
    assert not lost.retry
