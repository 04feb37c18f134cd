"""Confidence is scaled on patients that do not measure it, and models are compared question by question."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_pictures import row_values

from coreseg_core.errors import InputError
from coreseg_core.evaluation.answers import answered, read_answers, write_answers
from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.calibration import (
    Scaling,
    calibration,
    caught_by_review,
    fit_scaling,
    in_fitting_half,
)
from coreseg_core.evaluation.metrics import expected_calibration_error
from coreseg_core.evaluation.paired import paired_difference
from coreseg_core.evaluation.published import published_rows, published_table
from coreseg_core.evaluation.report import Report
from coreseg_core.evaluation.rows import Row
from coreseg_core.evaluation.score import Score
from training.compare import compare, comparison_table, main


def score(number: int, *, dice: float, confidence: float, present: bool = True, **changes: str) -> Score:
    """Return the score of a mask for a lesion, or of a denial of one that is not there (`dice` 1: rightly)."""
    row = Row.from_json(row_values(number, **changes), folder=Path())
    ask = Ask(row=row, shown=row, question="?", kind="present" if present else "lesion_free")
    return Score(
        ask=ask,
        outcome="present" if present else "absent",
        right=present or dice == 1,
        drew_mask=present,
        dice=dice if present else np.nan,
        iou=dice / (2 - dice) if present else np.nan,
        surface_dice=np.nan,
        instance_f1=np.nan,
        failed=present and dice == 0,
        confidence=confidence,
        box_iou=np.nan,
        box_mask_iou=np.nan,
        named_modality=False,
        claims=(),
        facts=None,
    )


def overconfident(count: int, *, seed: int) -> list[Score]:
    """Return answers that are right as often as the cube of what they claim, half of them denials."""
    rng = np.random.default_rng(seed)
    said = rng.uniform(0.3, 0.99, count)
    right = rng.random(count) < said**3
    return [
        score(number, dice=float(right[number]), confidence=float(said[number]), present=number % 2 == 0)
        if number % 2 == 0
        else replace(
            score(number, dice=1.0, confidence=float(said[number]), present=False), right=bool(right[number])
        )
        for number in range(count)
    ]


def test_scaling_mends_what_is_said_too_surely() -> None:
    scores = overconfident(3000, seed=1)
    found = calibration(scores, seed=1)["together"]
    confidence = np.array([one.confidence for one in scores])
    right = np.array([one.right if one.outcome == "absent" else one.dice == 1 for one in scores])
    before = expected_calibration_error(confidence, right)
    assert before > 0.15
    assert found["ece"]["mean"] < 0.06
    assert found["ece"]["low"] <= found["ece"]["mean"] <= found["ece"]["high"] + 0.02
    assert found["failures_caught"] > 0.1
    risks = list(found["risk_at_coverage"].values())
    assert risks[0] < risks[-1]
    assert found["n"] == sum(not in_fitting_half(one) for one in scores)


def test_scaling_keeps_the_order_and_is_nothing_where_there_is_little_to_go_by() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(200)
    scaling = fit_scaling(confidence, rng.random(200) < confidence / 2)
    assert scaling.temperature > 0
    assert (np.argsort(scaling(confidence)) == np.argsort(confidence)).all()
    assert fit_scaling(confidence[:10], np.arange(10) > 5) == Scaling()
    assert fit_scaling(confidence, np.ones(200, bool)) == Scaling()
    np.testing.assert_allclose(Scaling()(confidence), np.clip(confidence, 1e-4, 1 - 1e-4))


def test_no_answer_is_no_calibration() -> None:
    found = calibration([])
    assert found["together"]["n"] == 0
    assert found["together"]["ece"]["mean"] is None
    assert found["together"]["failures_caught"] is None


def test_a_second_look_catches_what_is_least_confident_and_counts_ties_by_their_share() -> None:
    failed = np.array([True, False, True, False, False, False, False, False, False, False])
    assert caught_by_review(np.linspace(0, 1, 10), failed, share=0.1) == pytest.approx(0.5)
    assert caught_by_review(np.linspace(1, 0, 10), failed, share=0.1) == 0
    assert caught_by_review(np.full(10, 0.5), failed, share=0.1) == pytest.approx(0.1)
    assert np.isnan(caught_by_review(np.linspace(0, 1, 10), np.zeros(10, bool), share=0.1))


def test_a_model_that_is_better_everywhere_is_found_and_one_that_is_not_is_not() -> None:
    rng = np.random.default_rng(4)
    patients = {f"q{number}": number // 2 for number in range(200)}
    first = {key: float(rng.random()) for key in patients}
    better = {key: value + 0.05 for key, value in first.items()}
    found = paired_difference([first], [better], patients)
    assert found.mean == pytest.approx(0.05)
    assert found.low == pytest.approx(0.05)
    assert found.p < 0.001
    noise = [{key: value + float(rng.normal(0, 0.3)) for key, value in first.items()} for _ in range(2)]
    other = paired_difference([first], noise, patients)
    assert other.low < 0 < other.high
    assert other.p > 0.01
    with pytest.raises(InputError, match="No question"):
        paired_difference([first], [{"else": 1.0}], patients)


def test_seeds_are_pooled_before_patients_are_drawn() -> None:
    patients = {"a": 1, "b": 2, "c": 3}
    low, high = dict.fromkeys(patients, 0.2), dict.fromkeys(patients, 0.6)
    found = paired_difference([low, high], [dict.fromkeys(patients, 0.5)], patients)
    assert (found.first, found.second, found.mean) == pytest.approx((0.4, 0.5, 0.1))


def test_answers_go_to_a_file_that_names_nobody_and_come_back(tmp_path: Path) -> None:
    scores = [
        score(1, dice=0.5, confidence=0.7, domain="ood"),
        score(2, dice=1, confidence=0.9, present=False),
    ]
    path = tmp_path / "answers.jsonl"
    write_answers(path, scores)
    text = path.read_text()
    assert not any(word in text for word in ('"p1"', "row1", "images/"))
    assert read_answers(path) == tuple(answered(one) for one in scores)
    path.write_text('{"schema": "another"}\n')
    with pytest.raises(InputError, match="cannot be read"):
        read_answers(path)


def test_comparison_tells_domains_apart_and_wants_the_same_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answers(gain: float) -> list[Score]:
        return [
            score(
                number, dice=0.4 + gain * (number % 2), confidence=0.5, domain="ood" if number % 2 else "id"
            )
            for number in range(20)
        ]

    first, second = ([[answered(one) for one in answers(gain)]] for gain in (0.0, 0.2))
    assert compare(first, second)["Dice"].mean == pytest.approx(0.1)
    assert compare(first, second, domain="ood")["Dice"].mean == pytest.approx(0.2)
    assert compare(first, second, domain="id")["Dice"].mean == pytest.approx(0)
    assert "specificity" not in compare(first, second)
    assert "ood, Dice" in comparison_table(first, second)
    for name, gain in (("a", 0.0), ("b", 0.2)):
        write_answers(tmp_path / name, answers(gain))
    assert main(["--first", str(tmp_path / "a"), "--second", str(tmp_path / "b")]) == 0
    assert "+0.1000" in capsys.readouterr().out
    assert main(["--first", str(tmp_path / "a"), "--second", str(tmp_path / "missing")]) != 0


def test_the_papers_rows_stand_beside_ours_by_the_modalities_that_both_know() -> None:
    scores = [
        score(1, dice=0.5, confidence=0.5, modality="MRI FLAIR"),
        score(2, dice=0.7, confidence=0.5, modality="MRI T1"),
        score(3, dice=0.2, confidence=0.5, modality="endoscopy"),
    ]
    lines = published_table(Report(scores=tuple(scores))).splitlines()
    assert "Dice, mri" in lines[0]
    assert "endoscopy" not in lines[0]
    (paper,) = (line for line in lines if line.startswith("| CORE-Seg "))
    assert [cell.strip() for cell in paper.split("|")[2:5]] == ["0.371", "0.278", "0.184"]
    (ours,) = (line for line in lines if "**this model**" in line)
    assert [cell.strip() for cell in ours.split("|")[2:-1]][-1] == "0.600"
    assert "not comparable" in lines[-1]


def test_the_papers_rows_are_whole() -> None:
    for system in published_rows().values():
        assert 0 < system["miou"] < system["mdice"] < 1
        assert len(system["by_anatomy"]) == 9
        assert len(system["by_modality"]) == 8
