from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_pictures import Oracle
from numpy.typing import NDArray

from coreseg_core.claims import measure
from coreseg_core.errors import Cancelled, InputError, ModelError
from coreseg_core.evaluation import (
    ImageBlind,
    Row,
    asks_of,
    evaluate,
    report_table,
    shifted_asks,
    shuffled_asks,
    text_blind,
)
from coreseg_core.evaluation.rows import Probe
from coreseg_core.record import SliceFinding

Make = Callable[..., tuple[Row, ...]]
MakeOracle = Callable[..., Oracle]


def test_an_answerer_that_is_always_right_scores_one_everywhere(
    make_manifest: Make, oracle: MakeOracle, tmp_path: Path
) -> None:
    asks = asks_of(make_manifest(16))
    outcome_of_word = {ask.question: next(iter(ask.accepted)) for ask in asks if ask.kind != "present"}
    report = evaluate(oracle(outcome_of_word), asks)
    assert report.mdice == report.miou == report.specificity == 1
    assert report.failure_rate == 0
    values = report.to_json()
    assert values["macro_mdice"] == 1
    assert values["negatives"]["wrong_modality"]["modality_named"]["mean"] == 1
    assert values["outcomes"]["present"] == {"present": 16} | dict.fromkeys(
        ["absent", "uncertain", "mismatch", "unsupported", "error"], 0
    )
    assert values["calibration"]["present"]["ece"] == pytest.approx(0.1)
    assert [score.ask for score in report.scores] == list(asks)
    report.write_json(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["mdice"] == 1
    lesion_free = make_manifest(6, disease="none", area_frac=0)
    assert evaluate(oracle(), asks_of(lesion_free, negatives=False)).specificity == 1


def test_an_answerer_that_outlines_whatever_is_bright_has_no_specificity(
    make_manifest: Make, oracle: MakeOracle
) -> None:
    report = evaluate(oracle(), asks_of(make_manifest(6)))
    assert report.mdice == 1
    assert report.specificity == 0
    negatives = report.to_json()["negatives"]
    assert negatives["wrong_disease"]["no_mask"]["mean"] == 0
    assert negatives["wrong_modality"]["right"]["mean"] == 0


@pytest.mark.parametrize("outcome", ["absent", "uncertain", "mismatch", "unsupported", "error"])
def test_saying_nothing_about_a_lesion_is_a_failure_whatever_it_is_called(
    make_manifest: Make, oracle: MakeOracle, outcome: str
) -> None:
    asks = asks_of(make_manifest(3), negatives=False)
    report = evaluate(oracle({"": outcome}), asks)
    assert report.mdice == 0 and report.failure_rate == 1


@pytest.mark.parametrize("outcome", ["uncertain", "unsupported", "error", "mismatch"])
def test_only_absent_may_be_read_as_absence(make_manifest: Make, oracle: MakeOracle, outcome: str) -> None:
    rows = make_manifest(3, disease="none", area_frac=0)
    report = evaluate(oracle({"": outcome}), asks_of(rows, negatives=False))
    assert report.specificity == 0
    assert report.to_json()["negatives"]["lesion_free"]["no_mask"]["mean"] == 1


def test_all_questions_about_a_picture_are_asked_together(make_manifest: Make, oracle: MakeOracle) -> None:
    asks = asks_of(make_manifest(3))
    answerer = oracle()
    seen: list[tuple[int, int]] = []
    evaluate(answerer, [*asks[::2], *asks[1::2]], progress=lambda done, total: seen.append((done, total)))
    assert answerer.calls == [4, 4, 4]
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_numbers_that_were_not_measured_are_null_and_not_zero(
    make_manifest: Make, oracle: MakeOracle
) -> None:
    values = evaluate(oracle(), asks_of(make_manifest(2), negatives=False)).to_json()
    assert values["specificity"] is None
    assert values["macro_mdice"] is None
    assert values["shifted"]["cost"]["mean"] is None
    json.dumps(values, allow_nan=False)


def test_a_report_names_no_patient_and_no_picture(make_manifest: Make, oracle: MakeOracle) -> None:
    rows = [replace(row, patient=f"anna{n}") for n, row in enumerate(make_manifest(6))]
    report = evaluate(oracle(), asks_of(rows))
    text = json.dumps(report.to_json()) + report_table(report)
    assert "anna" not in text and "row0" not in text and "images/" not in text


class Shifty:
    """Finds lesions in the left half of the picture only."""

    def answer(
        self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
    ) -> list[SliceFinding]:
        mask = rgb[..., 0] > 128
        mask[:, mask.shape[1] // 2 :] = False
        outcome = "present" if mask.any() else "absent"
        return [SliceFinding(axis=2, index=0, outcome=outcome, mask=mask)] * len(questions)


def test_a_model_that_has_learnt_the_place_loses_on_moved_copies(
    make_manifest: Make, oracle: MakeOracle
) -> None:
    asks = asks_of(make_manifest(20), negatives=False)
    asks = [ask for ask in asks if int(ask.row.id.removeprefix("row")) % 9 < 3]
    asks += shifted_asks(asks)
    honest = evaluate(oracle(), asks).to_json()["shifted"]
    assert honest["cost"]["mean"] == 0 and honest["probe"]["n"] == len(asks) // 2
    report = evaluate(Shifty(), asks)
    assert report.mdice == 1
    assert report.to_json()["shifted"]["cost"]["mean"] > 0.02


def test_claims_are_held_against_the_true_mask_beside_guess_and_shuffled_pictures(
    make_manifest: Make,
) -> None:
    class Looking:
        """Claims what is so: where in the picture the bright disc lies."""

        def answer(
            self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
        ) -> list[SliceFinding]:
            mask = rgb[..., 0] > 128
            facts = measure(mask, rgb)
            reasoning = f"There is a single lesion in the {facts.place} of the picture." if facts else ""
            finding = SliceFinding(axis=2, index=0, outcome="present", mask=mask, reasoning=reasoning)
            return [finding] * len(questions)

    asks = asks_of(make_manifest(27), negatives=False)
    claims = evaluate(Looking(), [*asks, *shuffled_asks(asks)]).to_json()["claims"]
    side = claims["side"]
    assert side["stated"] == side["asked"] == 27
    assert side["accuracy"]["mean"] == 1
    assert side["majority"] < 0.8 and side["shuffled"]["mean"] < 0.8
    assert claims["number"]["majority"] == claims["number"]["accuracy"]["mean"] == 1
    assert claims["size"]["stated"] == 0 and claims["size"]["accuracy"]["mean"] is None


def test_handwritten_questions_are_compared_with_the_others_about_the_same_pictures(
    make_manifest: Make, oracle: MakeOracle
) -> None:
    rows = make_manifest(8)
    written = [
        replace(row, id=f"{row.id}#h", query="lump?", probe=Probe("present", "handwritten"))
        for row in rows[:4]
    ]
    report = evaluate(oracle({"lump": "absent"}), asks_of([*rows, *written], negatives=False))
    assert report.mdice == 1, "handwritten wording stays out of the headline"
    cost = report.to_json()["handwritten"]["present"]
    assert (cost["probe"]["mean"], cost["primary"]["mean"], cost["cost"]["mean"]) == (0, 1, 1)
    assert cost["cost"]["n"] == 4
    assert "Handwritten, present" in report_table(report)


def test_the_text_blind_ablation_hears_one_question_and_the_image_blind_one_sees_grey(
    make_manifest: Make, oracle: MakeOracle
) -> None:
    asks = asks_of(make_manifest(5))
    words = {ask.question: "absent" for ask in asks if ask.kind != "present"}
    assert evaluate(oracle(words), text_blind(asks)).specificity == 0
    blind = evaluate(ImageBlind(oracle(), grey=60), asks)
    assert blind.mdice == 0 and blind.specificity == 1


def test_a_model_error_on_one_picture_is_a_failure_there_and_not_the_end(make_manifest: Make) -> None:
    class Fragile:
        def __init__(self, error: Exception) -> None:
            self.error, self.calls = error, 0

        def answer(
            self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
        ) -> list[SliceFinding]:
            self.calls += 1
            if self.calls == 2:
                raise self.error
            mask = rgb[..., 0] > 128
            return [SliceFinding(axis=2, index=0, outcome="present", mask=mask)] * len(questions)

    asks = asks_of(make_manifest(4), negatives=False)
    report = evaluate(Fragile(ModelError("out of memory")), asks)
    assert report.failure_rate == 0.25
    assert report.to_json()["outcomes"]["present"]["error"] == 1
    with pytest.raises(Cancelled):
        evaluate(Fragile(Cancelled("stop")), asks)


def test_findings_that_do_not_fit_are_refused(make_manifest: Make) -> None:
    class Wrong:
        def __init__(self, findings: list[SliceFinding]) -> None:
            self.findings = findings

        def answer(
            self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
        ) -> list[SliceFinding]:
            return self.findings

    asks = asks_of(make_manifest(1), negatives=False)
    small = SliceFinding(axis=2, index=0, outcome="present", mask=np.zeros((4, 4), dtype=bool))
    with pytest.raises(InputError, match="0 findings"):
        evaluate(Wrong([]), asks)
    with pytest.raises(InputError, match=r"\(4, 4\)"):
        evaluate(Wrong([small]), asks)
    with pytest.raises(InputError, match="0 questions"):
        evaluate(Wrong([]), [])


def test_written_boxes_are_measured_in_the_frame_they_are_written_in(make_manifest: Make) -> None:
    class Boxer:
        def answer(
            self, rgb: NDArray[np.uint8], questions: Sequence[str], *, pixel_mm: tuple[float, float]
        ) -> list[SliceFinding]:
            mask = rgb[..., 0] > 128
            (y0, x0), (y1, x1) = np.argwhere(mask).min(0), np.argwhere(mask).max(0) + 1
            box = (int(x0 * 2), int(y0 * 3), int(x1 * 2), int(y1 * 3))
            finding = SliceFinding(
                axis=2,
                index=0,
                outcome="present",
                mask=mask,
                boxes_xyxy_px=(box,),
                box_frame_wh=(160, 180),
                box_mask_iou=0.75,
            )
            return [finding] * len(questions)

    boxes = evaluate(Boxer(), asks_of(make_manifest(4), negatives=False)).to_json()["box_mask"]
    assert boxes["box_iou_with_truth"]["mean"] == 1
    assert boxes["agreement"]["mean"] == 0.75


def test_the_worst_wording_counts_where_a_picture_is_asked_for_its_lesion_in_several(
    make_manifest: Make, oracle: MakeOracle
) -> None:
    rows = make_manifest(6)
    asked = [
        replace(row, id=f"{row.id}#{words}", query=words, probe=Probe("present", "generated"))
        for row in rows
        for words in ("Where is the polyp?", "polyp, whereabouts")
    ]
    report = evaluate(oracle({"whereabouts": "absent"}), asks_of(asked))
    found = report.to_json()["reworded"]
    assert found["wordings"] == 2
    assert (found["mean"]["mean"], found["mean"]["n"]) == (0.5, 6)
    assert found["worst"]["mean"] == 0
    assert "worst wording 0.000" in report_table(report)
    alone = evaluate(oracle(), asks_of(rows)).to_json()["reworded"]
    assert alone["wordings"] == alone["worst"]["n"] == 0


def test_report_is_cut_by_domain_anatomy_and_disease(make_manifest: Make, oracle: MakeOracle) -> None:
    rows = make_manifest(4)
    rows = (*rows[:2], *(replace(row, domain="ood", anatomy="stomach") for row in rows[2:]))
    report = evaluate(oracle(), asks_of(rows))
    values = report.to_json()
    assert {name: group["mdice"]["n"] for name, group in values["by_domain"].items()} == {"id": 2, "ood": 2}
    assert set(values["by_anatomy"]) == {"colon", "stomach"}
    assert set(values["by_disease"]) == {"polyp"}
    table = report_table(report)
    assert "**ood**" in table and "*stomach*" in table
