from __future__ import annotations

import json
import math

import numpy as np
import pytest

from coreseg_core.evaluation.bootstrap import macro_mean_interval, mean_interval


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(1).random(40).tolist()
    patients = list(range(40))
    assert mean_interval(values, patients, seed=3) == mean_interval(values, patients, seed=3)
    assert mean_interval(values, patients, seed=3) != mean_interval(values, patients, seed=4)


def test_the_interval_is_as_wide_as_theory_says_and_holds_the_mean() -> None:
    values = np.random.default_rng(2).normal(0.6, 0.2, 200)
    interval = mean_interval(values.tolist(), list(range(200)))
    half_width = 1.96 * values.std() / math.sqrt(200)
    assert interval.low < interval.mean < interval.high
    assert (interval.high - interval.low) / 2 == pytest.approx(half_width, rel=0.1)


def test_pictures_of_one_patient_do_not_count_as_independent() -> None:
    of_patient = np.random.default_rng(3).random(10)
    values = np.repeat(of_patient, 20).tolist()
    by_patient = mean_interval(values, np.repeat(np.arange(10), 20).tolist())
    by_picture = mean_interval(values, list(range(200)))
    assert by_patient.unit == "patient"
    assert by_patient.high - by_patient.low > 3 * (by_picture.high - by_picture.low)


def test_fewer_than_five_patients_fall_back_to_pictures_and_say_so() -> None:
    interval = mean_interval([0.1, 0.9, 0.5, 0.4], ["a", "a", "a", "b"])
    assert interval.unit == "picture"
    assert interval.low < interval.high


def test_the_macro_mean_weighs_a_small_set_like_a_large_one() -> None:
    interval = macro_mean_interval([[1.0] * 90, [0.0] * 10], [list(range(90)), list(range(10))])
    assert interval.mean == pytest.approx(0.5)
    assert interval.count == 100
    assert interval.low == interval.high == pytest.approx(0.5)


def test_nothing_measured_is_null_in_json_and_never_zero() -> None:
    values = mean_interval([], []).to_json()
    assert values["mean"] is None and values["low"] is None and values["n"] == 0
    json.dumps(values, allow_nan=False)
