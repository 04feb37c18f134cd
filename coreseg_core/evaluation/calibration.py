"""Does a confidence mean something? Scaled on one half of the patients, measured on the other.

Masks and denials say how sure they are in different ways, so each is scaled by itself (a temperature and a shift on the
log odds); measured they are together, since a reader sees one number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from coreseg_core.evaluation.bootstrap import json_number, percentile_interval
from coreseg_core.evaluation.metrics import area_under_risk_coverage, expected_calibration_error
from coreseg_core.evaluation.score import Score
from coreseg_core.scaling import Scaling, log_odds

RIGHT_DICE = 0.5
"""From this Dice a mask counts as right when confidence is held against it."""
REVIEWED = 0.1
"""Share of the answers, the least confident ones, that a reader is thought to look at again."""
MIN_ANSWERS = 20
COVERAGES = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))
_TOWARDS_UNSCALED = 1e-2
_DRAWS = 500


def fit_scaling(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Scaling:
    """Return the scaling under which it is likeliest that these answers were right and wrong as they were.

    With fewer than `MIN_ANSWERS` answers, or with all of them right or wrong, nothing is fitted.
    """
    if len(confidence) < MIN_ANSWERS or right.all() or not right.any():
        return Scaling()
    odds, signs = log_odds(confidence), np.where(right, 1.0, -1.0)

    def surprise(values: NDArray[np.float64]) -> float:
        sharpness, shift = np.exp(values[0]), values[1]
        mean = float(np.logaddexp(0.0, -signs * (odds * sharpness + shift)).mean())
        return mean + _TOWARDS_UNSCALED * float(np.square(values).sum()) / len(odds)

    found = minimize(surprise, np.zeros(2), method="Nelder-Mead").x
    return Scaling(temperature=float(np.exp(-found[0])), shift=float(found[1]))


def in_fitting_half(score: Score) -> bool:
    """Return whether the scaling is fitted on a score's patient; the other half measures it."""
    return hashlib.sha256(f"calibration/{score.group}".encode()).digest()[0] % 2 == 0


def calibration(scores: Sequence[Score], *, seed: int = 0) -> dict[str, Any]:
    """Return what confidences are worth on the half of the patients that scaled none of them.

    Args:
        scores: Primary questions; those answered by a mask or a denial count.
        seed: Of the intervals.

    Returns:
        The scalings, and of masks, denials and both: ECE with its interval, area under risk and coverage, risk at
        each coverage, and the share of the failures among the tenth that is least confident.
    """
    said = {
        "present": [score for score in scores if score.outcome == "present"],
        "absent": [score for score in scores if score.outcome == "absent"],
    }
    scalings, measured = {}, {}
    for outcome, answers in said.items():
        scaling = fit_scaling(*_answers([score for score in answers if in_fitting_half(score)]))
        scalings[outcome] = {
            "temperature": json_number(scaling.temperature),
            "shift": json_number(scaling.shift),
        }
        others = [score for score in answers if not in_fitting_half(score)]
        measured[outcome] = (others, scaling(_answers(others)[0]))
    together = (
        [*measured["present"][0], *measured["absent"][0]],
        np.concatenate([measured["present"][1], measured["absent"][1]]),
    )
    return {
        "scalings": scalings,
        **{name: _measures(*part, seed=seed) for name, part in {**measured, "together": together}.items()},
    }


def is_right(score: Score) -> bool:
    """Return whether an answer is one to rely on: a mask that fits its lesion, or a right denial."""
    if score.outcome == "present":
        return bool(score.ask.kind == "present" and score.dice >= RIGHT_DICE)
    return score.right


def is_failed(score: Score) -> bool:
    """Return whether an answer failed: it missed the lesion altogether, outlined nothing true, or denied falsely."""
    return score.failed if score.ask.kind == "present" else not score.right


def _measures(scores: Sequence[Score], confidence: NDArray[np.float64], *, seed: int) -> dict[str, Any]:
    _, right = _answers(scores)
    failed = np.array([is_failed(score) for score in scores], dtype=bool)

    def ece(chosen: NDArray[np.int64]) -> float:
        return expected_calibration_error(confidence[chosen], right[chosen])

    low, high = percentile_interval(ece, [score.group for score in scores], seed=seed, draws=_DRAWS)
    return {
        "n": len(scores),
        "ece": {
            "mean": json_number(expected_calibration_error(confidence, right)),
            "low": json_number(low),
            "high": json_number(high),
        },
        "aurc": json_number(area_under_risk_coverage(confidence, 1.0 - right)),
        "risk_at_coverage": {
            f"{coverage:.1f}": json_number(_risk(confidence, right, coverage)) for coverage in COVERAGES
        },
        "failures": int(failed.sum()),
        "failures_caught": json_number(caught_by_review(confidence, failed, share=REVIEWED)),
    }


def caught_by_review(confidence: NDArray[np.float64], failed: NDArray[np.bool_], *, share: float) -> float:
    """Return the share of the failures among the least confident answers; NaN without any failure.

    Of answers of one confidence at the border, a share is counted: their order must not matter.
    """
    if not failed.any():
        return float("nan")
    room, caught = share * len(failed), 0.0
    for value in np.unique(confidence):
        tied = confidence == value
        taken = min(room, float(tied.sum()))
        caught += float(failed[tied].mean()) * taken
        room -= taken
        if room <= 0:
            break
    return caught / float(failed.sum())


def _risk(confidence: NDArray[np.float64], right: NDArray[np.bool_], coverage: float) -> float:
    """Return the share of wrong answers among the most confident ones."""
    if not len(confidence):
        return float("nan")
    kept = np.argsort(-confidence, kind="stable")[: max(1, round(coverage * len(confidence)))]
    return float(1.0 - right[kept].mean())


def _answers(scores: Sequence[Score]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    confidence = np.array([score.confidence for score in scores], dtype=np.float64)
    return confidence, np.array([is_right(score) for score in scores], dtype=bool)
