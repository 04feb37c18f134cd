"""What an evaluation found: headline numbers, one row a set and modality, negatives, claims, calibration.

Headline numbers leave out probes (moved copies, shuffled pictures, handwritten wording); each of these is
reported beside the primary questions about the same pictures. Shares are 0..1; what was not measured is null.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from coreseg_core.evaluation.ask import KINDS, NEGATIVES
from coreseg_core.evaluation.bootstrap import Interval, json_number, macro_mean_interval, mean_interval
from coreseg_core.evaluation.calibration import RIGHT_DICE, calibration
from coreseg_core.evaluation.claim_accuracy import claim_accuracy
from coreseg_core.evaluation.files import write_whole
from coreseg_core.evaluation.metrics import area_under_risk_coverage, expected_calibration_error
from coreseg_core.evaluation.score import Score
from coreseg_core.record import OUTCOMES

SCHEMA = "coreseg.report/1"
MIN_SET_POSITIVES = 15


@dataclass(frozen=True, kw_only=True)
class Report:
    """All scores of one run, and what follows from them."""

    scores: tuple[Score, ...]
    seed: int = 0

    @cached_property
    def primary(self) -> tuple[Score, ...]:
        """Scores that count for the headline."""
        return tuple(score for score in self.scores if score.ask.primary)

    @cached_property
    def positives(self) -> tuple[Score, ...]:
        """Primary questions that a mask answers."""
        return tuple(score for score in self.primary if score.ask.kind == "present")

    @property
    def mdice(self) -> float:
        """Mean Dice over answerable questions."""
        return self._mean(self.positives, _dice).mean

    @property
    def miou(self) -> float:
        """Mean intersection over union over answerable questions."""
        return self._mean(self.positives, lambda score: score.iou).mean

    @property
    def failure_rate(self) -> float:
        """Share of answerable questions with Dice 0 or an answer that cannot be read."""
        return self._mean(self.positives, lambda score: score.failed).mean

    @property
    def specificity(self) -> float:
        """Share of rightly denied questions among lesion-free pictures, wrong diseases and wrong organs."""
        return self._specificity(self.primary).mean

    @cached_property
    def macro_mdice(self) -> Interval:
        """Mean of the mean Dice of the sets with at least `MIN_SET_POSITIVES` answerable questions."""
        large = [group for group in by(self.positives, _subset).values() if len(group) >= MIN_SET_POSITIVES]
        return macro_mean_interval(
            [[score.dice for score in group] for group in large],
            [[score.group for score in group] for group in large],
            seed=self.seed,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values; holds no identifiers of pictures or patients."""
        negatives = {kind: self._denied(kind) for kind in KINDS if kind != "present"}
        return {
            "schema": SCHEMA,
            "mdice": json_number(self.mdice),
            "miou": json_number(self.miou),
            "failure_rate": json_number(self.failure_rate),
            "specificity": json_number(self.specificity),
            "macro_mdice": json_number(self.macro_mdice.mean),
            "questions": len(self.scores),
            "answerable": len(self.positives),
            "intervals": {**self._summary(self.primary), "macro_mdice": self.macro_mdice.to_json()},
            **{
                f"by_{name}": {value: self._summary(group) for value, group in by(self.primary, of).items()}
                for name, of in _GROUPINGS.items()
            },
            "negatives": {kind: values for kind, values in negatives.items() if values["n"]},
            "outcomes": self._confusion(),
            "shifted": self._cost([score for score in self.scores if score.ask.variant == "shifted"]),
            "handwritten": self._handwritten(),
            "reworded": self._reworded(),
            "claims": claim_accuracy(self.scores, seed=self.seed),
            "box_mask": self._boxes(),
            "calibration": {
                "present": self._calibration_of_masks(),
                "absent": self._calibration_of_denials(),
                "scaled": calibration(self.primary, seed=self.seed),
            },
        }

    def write_json(self, path: Path) -> None:
        """Write the report; the file appears whole or not at all.

        Raises:
            InputError: The place cannot be written.
        """
        write_whole(path, json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n", what="report")

    def _summary(self, scores: Sequence[Score]) -> dict[str, Any]:
        positives = [score for score in scores if score.ask.kind == "present"]
        values: dict[str, Callable[[Score], float]] = {
            "mdice": _dice,
            "miou": lambda score: score.iou,
            "failure_rate": lambda score: score.failed,
            "surface_dice": lambda score: score.surface_dice,
            "instance_f1": lambda score: score.instance_f1,
        }
        hits = [score for score in positives if not score.failed]
        return {
            **{name: self._mean(positives, value).to_json() for name, value in values.items()},
            "dice_on_hits": self._mean(hits, _dice).to_json(),
            "specificity": self._specificity(scores).to_json(),
        }

    def _denied(self, kind: str) -> dict[str, Any]:
        asked = [score for score in self.primary if score.ask.kind == kind]
        return {
            "n": len(asked),
            "right": self._mean(asked, _right).to_json(),
            "no_mask": self._mean(asked, lambda score: not score.drew_mask).to_json(),
            "mismatch": self._mean(asked, lambda score: score.outcome == "mismatch").to_json(),
            "modality_named": self._mean(asked, lambda score: score.named_modality).to_json(),
            "by_subset": {
                name: self._mean(group, _right).to_json() for name, group in by(asked, _subset).items()
            },
        }

    def _specificity(self, scores: Sequence[Score]) -> Interval:
        return self._mean([score for score in scores if score.ask.kind in NEGATIVES], _right)

    def _confusion(self) -> dict[str, dict[str, int]]:
        confusion: dict[str, dict[str, int]] = {}
        for kind, group in by(self.primary, lambda score: score.ask.kind).items():
            counts = Counter(score.outcome for score in group)
            confusion[kind] = {outcome: counts[outcome] for outcome in OUTCOMES}
        return confusion

    def _handwritten(self) -> dict[str, Any]:
        written = [
            score
            for score in self.scores
            if score.ask.wording == "handwritten" and score.ask.variant == "plain"
        ]
        groups = {"all": written, **by(written, lambda score: score.ask.kind)} if written else {}
        return {kind: self._cost(group) for kind, group in groups.items()}

    def _reworded(self) -> dict[str, Any]:
        """Return mean and worst Dice of the pictures that were asked for their lesion in several wordings."""
        groups = [
            group for group in by(self.positives, lambda score: repr(_pair(score))).values() if len(group) > 1
        ]
        patients = [group[0].group for group in groups]

        def over_pictures(value: Callable[[list[float]], float]) -> dict[str, Any]:
            values = [value([score.dice for score in group]) for group in groups]
            return mean_interval(values, patients, seed=self.seed).to_json()

        return {
            "wordings": max((len(group) for group in groups), default=0),
            "mean": over_pictures(lambda dices: float(np.mean(dices))),
            "worst": over_pictures(min),
        }

    def _cost(self, probes: Sequence[Score]) -> dict[str, Any]:
        """Return how much worse probes are than the primary questions of their kind about these pictures."""
        primary = {_pair(score): _worth(score) for score in self.primary}
        paired = [score for score in probes if _pair(score) in primary]
        return {
            "probe": self._mean(probes, _worth).to_json(),
            "primary": self._mean(paired, lambda score: primary[_pair(score)]).to_json(),
            "cost": self._mean(paired, lambda score: primary[_pair(score)] - _worth(score)).to_json(),
        }

    def _boxes(self) -> dict[str, Any]:
        agreeing = [score for score in self.positives if not np.isnan(score.box_mask_iou)]
        written = [score for score in self.positives if not np.isnan(score.box_iou)]
        return {
            "agreement": self._mean(agreeing, lambda score: score.box_mask_iou).to_json(),
            "box_iou_with_truth": self._mean(written, lambda score: score.box_iou).to_json(),
        }

    def _calibration_of_masks(self) -> dict[str, Any]:
        said = [score for score in self.primary if score.outcome == "present"]
        confidence = np.array([score.confidence for score in said])
        overlap = np.array([score.dice if score.ask.kind == "present" else 0.0 for score in said])
        return {
            "n": len(said),
            "ece": json_number(expected_calibration_error(confidence, overlap >= RIGHT_DICE)),
            "aurc": json_number(area_under_risk_coverage(confidence, 1.0 - overlap)),
        }

    def _calibration_of_denials(self) -> dict[str, Any]:
        said = [score for score in self.primary if score.outcome == "absent"]
        confidence = np.array([score.confidence for score in said])
        right = np.array([score.right for score in said], dtype=bool)
        return {
            "n": len(said),
            "ece": json_number(expected_calibration_error(confidence, right)),
            "aurc": json_number(area_under_risk_coverage(confidence, 1.0 - right)),
        }

    def _mean(self, scores: Sequence[Score], value: Callable[[Score], float]) -> Interval:
        return mean_interval(
            [float(value(score)) for score in scores], [score.group for score in scores], seed=self.seed
        )


def by(scores: Iterable[Score], key: Callable[[Score], str]) -> dict[str, list[Score]]:
    """Return the scores in groups, in the order the groups first appear."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(key(score), []).append(score)
    return groups


def _pair(score: Score) -> tuple[object, ...]:
    return (score.ask.row.folder, *score.ask.row.picture, score.ask.kind)


def _worth(score: Score) -> float:
    return score.dice if score.ask.kind == "present" else float(score.right)


def _dice(score: Score) -> float:
    return score.dice


def _right(score: Score) -> float:
    return float(score.right)


def _subset(score: Score) -> str:
    return score.ask.row.subset


def _modality(score: Score) -> str:
    return score.ask.row.modality


_GROUPINGS: Mapping[str, Callable[[Score], str]] = {
    "subset": _subset,
    "modality": _modality,
    "anatomy": lambda score: score.ask.row.anatomy,
    "disease": lambda score: score.ask.row.disease,
    "domain": lambda score: score.ask.row.domain,
}
