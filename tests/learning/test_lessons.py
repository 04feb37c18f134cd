"""Base data that is learned beside corrections is drawn as it first was learned; the guard asks of every set alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreseg_core.evaluation.rows import Row
from training.tuning.lessons import guard_asks, spread_over_sets

SIZES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 60), min_size=1)


def rows_of(sizes: dict[str, int]) -> list[Row]:
    return [
        Row(
            id=f"{name}{number}",
            image=f"{name}{number}.png",
            split="train",
            subset=name,
            modality="CT",
            anatomy="liver",
            disease="tumor",
            target="tumor",
        )
        for name, size in sizes.items()
        for number in range(size)
    ]


@given(
    sizes=SIZES, count=st.integers(0, 500), seed=st.integers(0, 9), balance=st.sampled_from([0.0, 0.6, 1.0])
)
def test_so_many_rows_are_drawn_none_twice_and_the_same_seed_draws_the_same(
    sizes: dict[str, int], count: int, seed: int, balance: float
) -> None:
    rows = rows_of(sizes)
    drawn = spread_over_sets(rows, count=count, seed=seed, balance=balance)
    assert len(drawn) == len({row.id for row in drawn}) == min(count, len(rows))
    assert drawn == spread_over_sets(rows, count=count, seed=seed, balance=balance)


@given(sizes=SIZES, count=st.integers(1, 200))
def test_without_balance_no_set_is_two_rows_ahead_of_one_that_has_more_to_give(
    sizes: dict[str, int], count: int
) -> None:
    drawn = Counter(row.subset for row in spread_over_sets(rows_of(sizes), count=count, seed=0, balance=0.0))
    for name, size in sizes.items():
        if drawn[name] < size:
            assert drawn[name] >= max(drawn.values()) - 1


@pytest.mark.parametrize(("balance", "ratio"), [(0.0, 1.0), (0.6, 4.0**0.6), (1.0, 4.0)])
def test_a_set_four_times_as_large_gives_as_much_more_as_the_balance_says(
    balance: float, ratio: float
) -> None:
    rows = rows_of({"large": 800, "small": 200})
    drawn = Counter(row.subset for row in spread_over_sets(rows, count=150, seed=3, balance=balance))
    assert drawn["large"] / drawn["small"] == pytest.approx(ratio, rel=0.05)


def test_other_seeds_choose_other_rows_of_the_same_sets() -> None:
    rows = rows_of({"a": 50, "b": 50})
    chosen = [spread_over_sets(rows, count=20, seed=seed, balance=0.6) for seed in range(4)]
    assert all({row.id for row in one} != {row.id for row in other} for one, other in pairwise(chosen))


def test_the_guard_asks_each_picture_its_own_question_and_each_set_the_others_in_turn() -> None:
    sizes = {"a": 20, "b": 20, "c": 20}
    rows = [replace(row, mask=f"{row.id}_mask.png") for row in rows_of(sizes)]
    asks = guard_asks(spread_over_sets(rows, count=60, seed=0, balance=0.0))
    assert len({(ask.row.subset, ask.kind) for ask in asks}) == 3 * 4
    kinds = Counter(ask.kind for ask in asks)
    assert Counter(ask.row.id for ask in asks) == dict.fromkeys((row.id for row in rows), 2)
    assert kinds.pop("present") == 60
    assert max(kinds.values()) - min(kinds.values()) <= 1
    assert len(kinds) == 3
