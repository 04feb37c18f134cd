"""From a confidence as a model says it to one that holds: as often right as it says.

Fitted by `python -m training.calibrate` on answers whose truth is known, and kept in the manifest of the weights that
gave them: other weights need a scaling of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coreseg_core.errors import CheckpointError
from coreseg_core.record import Outcome, SliceFinding

FACT = "confidence"
"""Where a manifest of weights says how their confidences are to be scaled."""
SCALED: tuple[Outcome, ...] = ("present", "absent")
"""Outcomes with a truth that a confidence can be held against."""
_EDGE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """One confidence for another of the same order: sigmoid(log odds / temperature + shift).

    Attributes:
        temperature: Above 0; above 1 it brings confidences together.
        shift: On the log odds.
    """

    temperature: float = 1.0
    shift: float = 0.0

    def __call__(self, confidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scaled confidences in 0..1."""
        scaled: NDArray[np.float64] = 1 / (
            1 + np.exp(-(log_odds(confidence) / self.temperature + self.shift))
        )
        return scaled


def log_odds(confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log odds of confidences in 0..1, finite at both ends."""
    inside = np.clip(confidence, _EDGE, 1 - _EDGE)
    odds: NDArray[np.float64] = np.log(inside / (1 - inside))
    return odds


def scaled(finding: SliceFinding, scalings: Mapping[Outcome, Scaling]) -> SliceFinding:
    """Return a finding with a confidence that holds, as it is where none was fitted for its outcome."""
    scaling = scalings.get(finding.outcome)
    if scaling is None:
        return finding
    confidence = float(scaling(np.array([finding.confidence]))[0])
    return replace(
        finding,
        confidence=confidence,
        confidence_kind=f"calibrated chance of being right, from {finding.confidence_kind}",
    )


def read_scalings(manifest: Mapping[str, Any]) -> dict[Outcome, Scaling]:
    """Return how the confidences of some weights are scaled, nothing where that was never fitted.

    Raises:
        CheckpointError: The manifest says it in a way that cannot be read.
    """
    stated = manifest.get(FACT)
    if stated is None:
        return {}
    try:
        found = {outcome: Scaling(**stated["scalings"][outcome]) for outcome in SCALED}
        for scaling in found.values():
            if not (scaling.temperature > 0 and math.isfinite(scaling.temperature + scaling.shift)):
                raise ValueError("no such scaling")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            "The manifest of the weights has a scaling of confidences that cannot be read.",
            remedy="Fit it again with `python -m training.calibrate`, or take it out of the manifest.",
        ) from error
    return found
