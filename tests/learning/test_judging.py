"""A version is compared with its parent question by question; masks that were moved give themselves away."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from coreseg_core.evaluation.ask import Ask
from coreseg_core.evaluation.rows import Kind, Row
from training.tuning.judging import MIN_GUARD_QUESTIONS, Judgement, Marks, compare
from training.tuning.placement import MIN_MOVE, Placement, placement_of

IN_PLACE = Placement(move_xy=(0.0, 0.0), certainty=0.0, patients=9)
SIDE = 128


def row(number: int) -> Row:
    return Row(
        id=str(number),
        image=f"{number}.png",
        mask=f"{number}.mask.png",
        split="train",
        subset="s",
        modality="CT",
        anatomy="liver",
        disease="liver lesion",
        target="liver lesion",
        patient=f"p{number // 2}",
    )


def asks(count: int, kind: Kind = "present") -> list[Ask]:
    return [Ask(row=row(number), shown=row(number), question="?", kind=kind) for number in range(count)]


def judged(before: NDArray[np.float64], after: NDArray[np.float64], kind: Kind = "present") -> Judgement:
    def marks(values: NDArray[np.float64]) -> Marks:
        nothing = tuple([float("nan")] * len(values))
        return Marks(dice=tuple(values) if kind == "present" else nothing, right=tuple(values))

    guard = compare(asks(len(before), kind), marks(before), marks(after))
    return Judgement(guard=guard, held=(), placement=IN_PLACE)


def noise(count: int = 60, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(0.4, 0.9, count)


def test_a_version_that_answers_as_its_parent_passes() -> None:
    assert judged(noise(), noise()).passed
    assert judged(noise(), np.clip(noise() + 0.05, 0, 1)).passed


def test_a_fall_that_is_small_but_everywhere_is_worse() -> None:
    judgement = judged(noise(), noise() - 0.01)
    assert not judgement.passed
    assert "Dice on the guard went from" in judgement.reasons[0]


def test_a_fall_beyond_the_margin_is_worse_however_uncertain() -> None:
    after = noise()
    after[:4] = 0.0
    assert not judged(noise(), after).passed


def test_differences_that_even_out_are_not_worse() -> None:
    wobble = np.random.default_rng(1).normal(0, 0.02, 60)
    assert judged(noise(), noise() + wobble - wobble.mean()).passed


def test_denials_count_beside_masks() -> None:
    right = np.ones(40)
    wrong = right.copy()
    wrong[::8] = 0.0
    judgement = judged(right, wrong, kind="lesion_free")
    assert "right denials on the guard went from 1.000 to 0.875" in judgement.reasons[0]


def test_a_guard_that_asks_too_little_lets_nothing_pass() -> None:
    few = MIN_GUARD_QUESTIONS - 1
    assert "fewer than" in judged(noise(few), noise(few)).reasons[0]


def test_scores_stand_side_by_side_with_the_parents_and_the_verdict_says_why() -> None:
    judgement = judged(noise(), noise() - 0.1)
    told = judgement.scores()["guard"]["Dice"]
    assert told["parent"] == pytest.approx(told["version"] + 0.1)
    assert told["n"] == 60
    verdict = judgement.verdict()
    assert not verdict["passed"] and "Dice on the guard" in verdict["reason"]


def picture(row: Row, move: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a dim textured picture with a brighter disc, and its outline moved by (x, y) pixels."""
    rng = np.random.default_rng(int(row.id))
    ys, xs = np.mgrid[:SIDE, :SIDE]
    centre, radius = rng.uniform(40, 88, 2), rng.uniform(6, 14)
    disc = np.hypot(ys - centre[0], xs - centre[1]) < radius
    grey = 90 + rng.normal(0, 12, (SIDE, SIDE)) + 25 * np.sin(xs / 17 + rng.uniform(0, 6)) + 40 * disc
    mask = np.hypot(ys - centre[0] - move[1], xs - centre[1] - move[0]) < radius * rng.uniform(0.9, 1.1)
    rgb = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    return rgb, mask


@pytest.mark.parametrize("move", [(0, 0), (2, -1)])
def test_outlines_as_readers_draw_them_are_in_place(move: tuple[int, int]) -> None:
    assert not placement_of([row(number) for number in range(14)], lambda one: picture(one, move)).astray


@pytest.mark.parametrize("move", [(14, 0), (-12, 9), (0, 12)])
def test_outlines_that_were_moved_are_noticed_and_so_is_the_way_back(move: tuple[int, int]) -> None:
    placement = placement_of([row(number) for number in range(14)], lambda one: picture(one, move))
    assert placement.astray
    back = np.array(placement.move_xy) * SIDE
    assert np.hypot(*(back + move)) < MIN_MOVE * SIDE
    judgement = Judgement(
        guard=compare(asks(30), *[Marks(dice=(1.0,) * 30, right=(1.0,) * 30)] * 2),
        held=(),
        placement=placement,
    )
    assert judgement.reasons and "lie beside what they outline" in judgement.reasons[0]


def test_outlines_of_two_patients_prove_nothing() -> None:
    assert not placement_of([row(number) for number in range(4)], lambda one: picture(one, (14, 0))).astray


def test_a_picture_without_contrast_or_a_mask_without_room_says_nothing() -> None:
    flat = np.full((SIDE, SIDE, 3), 80, np.uint8)
    whole = np.ones((SIDE, SIDE), bool)
    rows = [row(number) for number in range(14)]
    assert placement_of(rows, lambda one: (flat, picture(one, (0, 0))[1])).patients == 0
    assert placement_of(rows, lambda one: (picture(one, (0, 0))[0], whole)).patients == 0
