"""Which of the scored pictures are hard: a power law over the errors, the knee of the Dice curve, one threshold.

CORE-Seg (arXiv 2603.05911) ranks the pictures of a set by the Dice of a U-Net, fits a power law to the errors and takes
the Kneedle knee; details are not published. Ours: errors e = 1 - Dice; p(e) ~ e^-alpha above e_min with
alpha = 1 + n / sum ln(e_i / e_min) and e_min by least Kolmogorov-Smirnov distance (Clauset, Shalizi, Newman 2009); the
knee of Dice against rank (Satopaa et al. 2011: concave, decreasing); a picture is kept whose Dice is at most
min(knee, 1 - e_min). Errors end at 1, which the law does not know: alpha describes a set, only e_min decides.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from kneed import KneeLocator
from numpy.typing import NDArray
from powerlaw import Fit

MIN_SCORED = 20
"""With fewer pictures neither a law nor a knee means anything; all are kept."""
MAX_ALPHA = 1000.0
SENSITIVITY = 1.0
"""Kneedle's S: how many steps of a straight line a knee stands out by, at least."""
MIN_ERROR = 1e-6
DIGITS = 3
"""Errors are rounded for the search of e_min, so that its cost does not grow with the square of the set."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """A fitted power law.

    Attributes:
        alpha: Its exponent.
        minimum: From where on it holds.
        distance: Largest gap between its distribution and the data's (Kolmogorov-Smirnov).
        above: How many data lie there.
    """

    alpha: float
    minimum: float
    distance: float
    above: int


@dataclass(frozen=True, kw_only=True)
class Knee:
    """Where a falling curve bends: its place in the ranking and the value there."""

    rank: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """What decides over one set.

    Attributes:
        threshold: A picture whose Dice is at most this is kept; 1 keeps all.
        why: In words.
    """

    scored: int
    threshold: float
    why: str
    law: PowerLaw | None = None
    knee: Knee | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def difficulty(dices: Floats) -> Difficulty:
    """Return what decides over a set whose pictures with a lesion scored these Dice coefficients."""
    dices = np.asarray(dices, dtype=np.float64)
    if dices.size < MIN_SCORED:
        return Difficulty(
            scored=int(dices.size),
            threshold=1.0,
            why=f"only {dices.size} scored pictures, fewer than {MIN_SCORED}: all are kept",
        )
    law, knee = fit_power_law(np.round(1.0 - dices, DIGITS)), find_knee(dices)
    limits = {}
    if knee is not None:
        limits["the knee of the Dice curve"] = knee.value
    if law is not None:
        # The errors were rounded: half a step more, so that the picture at e_min itself is kept.
        limits["the lower end of the power law"] = 1.0 - law.minimum + 0.5 * 10.0**-DIGITS
    if not limits:
        return Difficulty(
            scored=int(dices.size),
            threshold=1.0,
            why="neither a knee nor a power law was found: all are kept",
        )
    why = min(limits, key=lambda name: limits[name])
    return Difficulty(
        scored=int(dices.size), threshold=round(min(1.0, limits[why]), 6), why=why, law=law, knee=knee
    )


def fit_power_law(values: Floats) -> PowerLaw | None:
    """Return the power law of positive values, None where they do not vary enough for one."""
    positive = np.sort(values[values > MIN_ERROR])
    if np.unique(positive).size < 3:
        return None
    # The package speaks on stdout and warns of every candidate that does not fit.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        fit = Fit(
            positive,
            xmin_distribution="power_law",
            parameter_ranges={"alpha": [1.0, MAX_ALPHA]},
            verbose=False,
        )
        alpha, minimum = float(fit.power_law.alpha), float(fit.xmin)
        distance = float(fit.power_law.D)
    if not np.isfinite([alpha, minimum, distance]).all():
        return None
    above = int((positive >= minimum).sum())
    return PowerLaw(
        alpha=round(alpha, 6), minimum=round(minimum, 6), distance=round(distance, 6), above=above
    )


def find_knee(values: Floats) -> Knee | None:
    """Return the knee of the values ranked from the highest, None where the curve has none.

    It is the highest place of Kneedle's difference curve. Kneedle itself takes the first local one that it meets from
    the low end, which is the last picture of all wherever a few share the lowest Dice: of 900 only those would stay.
    """
    ranked = np.sort(values)[::-1]
    if ranked[0] == ranked[-1]:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curve = KneeLocator(np.arange(ranked.size), ranked, curve="concave", direction="decreasing")
    # It is mirrored, so that it begins with the lowest value.
    highest = int(np.argmax(curve.y_difference))
    if curve.y_difference[highest] <= SENSITIVITY / (ranked.size - 1):
        return None
    rank = ranked.size - 1 - highest
    return Knee(rank=rank, value=round(float(ranked[rank]), 6))
