"""Is one model better than another on the same questions? Differences question by question, patients drawn."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coreseg_core.errors import InputError
from coreseg_core.evaluation.bootstrap import drawn_means

_DRAWS = 5000


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Second minus first.

    Attributes:
        first: Mean of the first model.
        second: Mean of the second.
        mean: Their difference over the questions both were asked.
        low: Of its 95 % interval over patients.
        high: Likewise.
        p: Two-sided, from the share of draws on the other side of zero; at least 1 / draws.
        count: Questions.
    """

    first: float
    second: float
    mean: float
    low: float
    high: float
    p: float
    count: int


def paired_difference(
    first: Sequence[Mapping[str, float]],
    second: Sequence[Mapping[str, float]],
    patients: Mapping[str, Hashable],
    *,
    seed: int = 0,
    draws: int = _DRAWS,
) -> Difference:
    """Return how much better the second model is, its seeds pooled: a question's value is the mean over them.

    Args:
        first: One mapping a seed, from question to value.
        second: Likewise; the number of seeds may differ.
        patients: From question to patient, the unit that is drawn.
        seed: Of the draws.
        draws: How many.

    Raises:
        InputError: No question was asked of both.
    """
    keys = sorted(set.intersection(*(set(values) for values in (*first, *second))))
    if not keys:
        raise InputError(
            "No question was put to all of these runs.", remedy="Evaluate them with the same questions."
        )
    means = [
        np.array([np.mean([values[key] for values in runs]) for key in keys]) for runs in (first, second)
    ]
    gained = means[1] - means[0]
    drawn = drawn_means(gained, [patients[key] for key in keys], seed=seed, draws=draws)
    low, high = np.percentile(drawn, [2.5, 97.5])
    against = min(float((drawn <= 0).mean()), float((drawn >= 0).mean()))
    return Difference(
        first=float(means[0].mean()),
        second=float(means[1].mean()),
        mean=float(gained.mean()),
        low=float(low),
        high=float(high),
        p=min(1.0, max(2 * against, 1 / draws)),
        count=len(keys),
    )
