"""95 % intervals by resampling patients, seeded so that a report can be made again to the last digit."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
MIN_PATIENTS = 5


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its bootstrap interval and what was resampled to get it.

    Attributes:
        unit: "patient", or "picture" where fewer than five patients would make the interval a fiction.
    """

    mean: float
    low: float
    high: float
    count: int
    unit: Literal["patient", "picture"]

    def to_json(self) -> dict[str, float | int | str | None]:
        """Return the interval as JSON values; an unmeasured number is null."""
        return {
            "mean": json_number(self.mean),
            "low": json_number(self.low),
            "high": json_number(self.high),
            "n": self.count,
            "unit": self.unit,
        }


def json_number(value: float) -> float | None:
    """Return the number rounded for JSON, None where it was not measured."""
    return None if np.isnan(value) else round(float(value), 6)


def mean_interval(
    values: Sequence[float], patients: Sequence[Hashable], *, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Return the mean of `values` with its 95 % interval over patients drawn with replacement."""
    return macro_mean_interval([values], [patients], seed=seed, draws=draws)


def macro_mean_interval(
    values_by_set: Sequence[Sequence[float]],
    patients_by_set: Sequence[Sequence[Hashable]],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """Return the mean of the sets' means with its 95 % interval, each set drawn on its own.

    Args:
        values_by_set: One score per picture, set by set.
        patients_by_set: The patient of each of those pictures.
    """
    filled = [
        (np.asarray(values, dtype=np.float64), patients)
        for values, patients in zip(values_by_set, patients_by_set, strict=True)
        if len(values)
    ]
    if not filled:
        return Interval(mean=np.nan, low=np.nan, high=np.nan, count=0, unit="picture")
    rng = np.random.default_rng(seed)
    drawn = np.zeros(draws)
    by_patient = True
    for values, patients in filled:
        groups = _group_numbers(patients)
        if groups.max() + 1 < MIN_PATIENTS:
            groups, by_patient = np.arange(values.size), False
        drawn += _drawn_means(values, groups, rng=rng, draws=draws) / len(filled)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(
        mean=float(np.mean([values.mean() for values, _ in filled])),
        low=float(low),
        high=float(high),
        count=sum(values.size for values, _ in filled),
        unit="patient" if by_patient else "picture",
    )


def _group_numbers(patients: Sequence[Hashable]) -> NDArray[np.int64]:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(patient, len(numbers)) for patient in patients], dtype=np.int64)


def _drawn_means(
    values: NDArray[np.float64], groups: NDArray[np.int64], *, rng: np.random.Generator, draws: int
) -> NDArray[np.float64]:
    group_count = int(groups.max()) + 1
    sums = np.bincount(groups, weights=values, minlength=group_count)
    sizes = np.bincount(groups, minlength=group_count).astype(np.float64)
    times_drawn = rng.multinomial(group_count, np.full(group_count, 1.0 / group_count), size=draws)
    return np.asarray((times_drawn @ sums) / (times_drawn @ sizes))


def drawn_means(
    values: NDArray[np.float64], patients: Sequence[Hashable], *, seed: int = 0, draws: int = DRAWS
) -> NDArray[np.float64]:
    """Return the means (draws,) of values whose patients are drawn with replacement."""
    return _drawn_means(values, _group_numbers(patients), rng=np.random.default_rng(seed), draws=draws)


def percentile_interval(
    statistic: Callable[[NDArray[np.int64]], float],
    patients: Sequence[Hashable],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[float, float]:
    """Return the 95 % interval of any statistic of the answers, patients drawn with replacement; NaN without answers.

    Args:
        statistic: From the numbers of the drawn answers to a value.
        patients: The patient of each answer.
    """
    if not patients:
        return float("nan"), float("nan")
    groups = _group_numbers(patients)
    members = [np.flatnonzero(groups == number) for number in range(int(groups.max()) + 1)]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        chosen = rng.integers(len(members), size=len(members))
        values.append(statistic(np.concatenate([members[number] for number in chosen])))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
