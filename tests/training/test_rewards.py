"""Rewards: what is better earns more, what is hostile raises nothing, and every term stays in its range."""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreseg_core.answer import compose_absent, compose_mismatch, compose_present
from training.rewards import (
    DICE_SWITCH,
    MAX_MATCHED_BOXES,
    Prices,
    RewardConfig,
    Truth,
    answer_reward,
    belief_threshold,
    box_giou,
    box_ious,
    detection_reward,
    mask_reward,
)

SIDE = 32
HOSTILE = 10_000


def _mask(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y0:y1, x0:x1] = True
    return mask


LESION = Truth(right={"present"}, boxes_xyxy_px=((4, 4, 12, 14),), mask=_mask(4, 4, 12, 14))
ABSENT = Truth(right={"absent"}, boxes_xyxy_px=(), mask=_mask(0, 0, 0, 0))
MISMATCH = Truth(right={"mismatch"}, boxes_xyxy_px=(), mask=_mask(4, 4, 12, 14))
CONFIG = RewardConfig()
FOUND = compose_present("polyp", LESION.boxes_xyxy_px)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    x0, y0 = draw(st.integers(0, 30)), draw(st.integers(0, 30))
    return x0, y0, draw(st.integers(x0 + 1, 32)), draw(st.integers(y0 + 1, 32))


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    parts = draw(st.lists(boxes(), max_size=3))
    mask = np.zeros((SIDE, SIDE), bool)
    for x0, y0, x1, y1 in parts:
        mask[y0:y1, x0:x1] = True
    return mask


@given(boxes(), boxes())
def test_iou_and_giou_are_what_counting_pixels_gives(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    a, b = _mask(*first), _mask(*second)
    hull = _mask(
        min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])
    )
    iou = (a & b).sum() / (a | b).sum()
    assert box_ious([first], [second])[0, 0] == pytest.approx(iou)
    expected = iou - (hull & ~(a | b)).sum() / hull.sum()
    assert box_giou(first, second) == pytest.approx(expected)
    assert -1 < expected <= 1


@settings(max_examples=60)
@given(st.lists(boxes(), max_size=4), st.lists(boxes(), max_size=4))
def test_detection_is_the_best_of_all_matchings(predicted: list, truth: list) -> None:
    value = detection_reward(predicted, truth)
    assert 0 <= value <= 1
    if not predicted or not truth:
        assert value == float(not predicted and not truth)
        return
    ious = box_ious(predicted, truth)
    long, short = max(len(predicted), len(truth)), min(len(predicted), len(truth))
    table = ious if len(predicted) <= len(truth) else ious.T
    best = max(
        sum(table[row, column] for row, column in zip(range(short), chosen, strict=True))
        for chosen in itertools.permutations(range(long), short)
    )
    # mean IoU x F1 = (sum / M) x (2 M / (P + T)): the number of matches cancels.
    assert value == pytest.approx(2 * best / (len(predicted) + len(truth)))


def test_detection_of_the_papers_drawn_example() -> None:
    # Four predictions, three truths, two matched with IoU 0.26 and 0.13: mean IoU about 0.19 x F1 4/7 = 0.11.
    truth = [(0, 0, 10, 10), (20, 0, 30, 10), (0, 20, 10, 30)]
    predicted = [(0, 0, 10, 3), (20, 0, 30, 1), (40, 40, 50, 50), (60, 60, 61, 61)]
    assert detection_reward(predicted, truth) == pytest.approx((0.3 + 0.1) / 2 * 4 / 7)


def test_listing_boxes_everywhere_does_not_pay() -> None:
    truth = [(4, 4, 12, 14)]
    guesses = [(x, y, x + 8, y + 10) for x in range(1, 24, 3) for y in range(1, 20, 3)]
    assert any(guess == truth[0] for guess in guesses)
    assert detection_reward(guesses, truth) < 0.1 < detection_reward([(5, 6, 14, 15)], truth)
    late = [(20, 20, 21, 21)] * MAX_MATCHED_BOXES + truth
    assert detection_reward(late, truth) == 0


@given(masks(), masks())
def test_mask_reward_keeps_its_two_ranges_apart(predicted: np.ndarray, truth: np.ndarray) -> None:
    if not truth.any():
        return
    value = mask_reward(predicted, truth)
    dice = 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum())
    if dice >= DICE_SWITCH:
        assert value == pytest.approx(1 + 2 * dice)
        assert 1.1 <= value <= 3
    else:
        assert -1 <= value <= 1
    assert mask_reward(predicted, truth, kind="dice") == pytest.approx(3 * dice)


def test_a_mask_that_misses_is_worth_more_the_nearer_it_lies() -> None:
    truth = _mask(24, 24, 30, 30)
    values = [mask_reward(_mask(x, x, x + 6, x + 6), truth) for x in (0, 6, 12, 18)]
    assert values == sorted(values)
    assert values[0] > mask_reward(_mask(0, 0, 0, 0), truth) == -1
    assert len({mask_reward(_mask(x, x, x + 6, x + 6), truth, kind="dice") for x in (0, 6, 12, 18)}) == 1


def test_answers_about_a_lesion_are_ranked_as_a_reader_would() -> None:
    def total(text: str, mask: np.ndarray | None) -> float:
        return answer_reward(text, mask, LESION, reasoning="none", config=CONFIG).total

    right = total(FOUND, LESION.mask)
    loose = total(compose_present("polyp", [(2, 2, 14, 16)]), _mask(2, 2, 14, 16))
    astray = total(compose_present("polyp", [(20, 20, 30, 30)]), _mask(20, 20, 30, 30))
    denied = total(compose_absent("polyp"), None)
    gibberish = total("the the the", None)
    assert right == pytest.approx(5)
    assert right > loose > astray > denied > gibberish


@pytest.mark.parametrize("truth", [ABSENT, MISMATCH], ids=["absent", "mismatch"])
def test_answers_where_no_mask_is_right(truth: Truth) -> None:
    def terms(text: str, mask: np.ndarray | None = None) -> float:
        return answer_reward(text, mask, truth, reasoning="none", config=CONFIG).total

    denial, other = compose_absent("polyp"), compose_mismatch("CT", "head")
    if truth is MISMATCH:
        denial, other = other, denial
    assert terms(denial) == 2 > terms(other) == 1.25 > terms("") == 0 == terms(FOUND, LESION.mask)
    # A mask in bad form is the worst: the alarm is counted, the form is not paid.
    assert terms("<seg>", LESION.mask) == -1
    scored = answer_reward(denial, None, truth, reasoning="none", config=CONFIG)
    assert scored.mask is scored.detection is scored.dice is None


def test_an_organ_that_is_not_there_may_be_denied_in_both_ways() -> None:
    truth = Truth(right={"absent", "mismatch"}, boxes_xyxy_px=(), mask=ABSENT.mask)
    for text in (compose_absent("polyp"), compose_mismatch("CT", "head")):
        assert answer_reward(text, None, truth, reasoning="none", config=CONFIG).absence == 1


@pytest.mark.parametrize(
    "text",
    [
        FOUND.replace("<answer>", ""),
        FOUND.replace("</answer>", ""),
        FOUND.replace("<seg>", ""),
        FOUND.replace("<seg>", "<seg><seg>"),
        FOUND.replace("[[4,4,12,14]]", "[[12,4,4,14]]"),
        FOUND.replace("[[4,4,12,14]]", "[]"),
        FOUND + " and more",
        "<think>a<think>b</think>" + FOUND,
    ],
)
def test_format_can_fail(text: str) -> None:
    assert answer_reward(text, None, LESION, reasoning="none", config=CONFIG).format == 0
    assert answer_reward(FOUND, None, LESION, reasoning="none", config=CONFIG).format == 1


def test_format_wants_reasoning_if_and_only_if_it_was_asked_for() -> None:
    thought = compose_present("polyp", LESION.boxes_xyxy_px, "A small dark polyp.")
    for text, mode, value in (
        (thought, "brief", 1),
        (thought, "none", 0),
        (FOUND, "full", 0),
        (FOUND, "none", 1),
    ):
        assert answer_reward(text, None, LESION, reasoning=mode, config=CONFIG).format == value  # type: ignore[arg-type]


@given(st.floats(0, 5), st.floats(0, 5), st.floats(0, 5), st.floats(0.01, 4), st.floats(0, 1))
def test_above_the_threshold_drawing_pays_and_below_it_denying(
    bonus: float, penalty: float, abstention: float, hit: float, belief: float
) -> None:
    prices = Prices(bonus=bonus, penalty=penalty, abstention=abstention)
    draw = belief * hit - (1 - belief) * penalty
    deny = (1 - belief) * bonus - belief * abstention
    threshold = belief_threshold(prices, expected_hit=hit)
    if abs(belief - threshold) > 1e-6:
        assert (draw > deny) == (belief > threshold)


def test_the_documented_thresholds_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")
    header, *lines = text[text.index("| b | r =") :].partition("\n\n")[0].splitlines()
    hits = [float(value) for value in re.findall(r"r = ([\d.]+)", header)]
    table = [[float(cell) for cell in line.strip("|").split("|")] for line in lines[1:]]
    assert len(table) == 4
    for bonus, *thresholds in table:
        for hit, threshold in zip(hits, thresholds, strict=True):
            assert round(belief_threshold(Prices(bonus=bonus), expected_hit=hit), 2) == threshold


PIECES = (
    "<think>", "</think>", "<answer>", "</answer>", "<seg>", "The ", "polyp", " is located at ", "[[", "]]", "[", "]",
    "1,2,30,31", "0,0,0,0", "-5,3,9,9", "99999999999999999999,0,1,2", "1e9,nan,inf,0", ",", ".", " The mask is ", "No ",
    " is seen.", "The question does not fit: this is CT of head.", "\x00", "\ud800", "\u202e", "🫀", "٣,٤,٥,٦",
    "\n" * 50, "[" * 400, "9" * 5000, "<", ">", "%s%n", "../../etc/passwd", "{}", "are located at", "is seen",
)  # fmt: skip


def _hostile(rng: random.Random) -> str:
    shape = rng.random()
    if shape < 0.55:
        return "".join(rng.choice(PIECES) for _ in range(rng.randrange(0, 30)))
    if shape < 0.8:
        # A right answer with one thing wrong.
        text = rng.choice((FOUND, compose_absent("polyp", "why"), compose_mismatch("CT", "head")))
        at, until = sorted(rng.choices(range(len(text) + 1), k=2))
        return text[:at] + rng.choice(PIECES) + text[until:]
    if shape < 0.9:
        many = [[rng.randrange(-9, 70_000) for _ in range(4)] for _ in range(rng.randrange(0, 120))]
        return f"<answer>The polyp is located at {many}. The mask is <seg>.</answer>"
    return "".join(chr(rng.randrange(1, 0x11000)) for _ in range(rng.randrange(0, 200)))


def test_ten_thousand_hostile_completions_never_raise_and_stay_in_range() -> None:
    rng = random.Random(13)
    masks = [None, _mask(0, 0, 0, 0), LESION.mask, ~LESION.mask, _mask(31, 31, 32, 32)]
    configs = [CONFIG, RewardConfig(mask_kind="dice", prices=Prices(bonus=3, penalty=2, abstention=0.5))]
    formed = 0
    for number in range(HOSTILE):
        text, truth = _hostile(rng), (LESION, ABSENT, MISMATCH)[number % 3]
        config = configs[number % 2]
        terms = answer_reward(
            text, rng.choice(masks), truth, reasoning=rng.choice(("none", "brief", "full")), config=config
        )
        low, high = config.bounds
        assert low <= terms.total <= high, text
        assert terms.format in (0, 1)
        assert terms.detection is None or 0 <= terms.detection <= 1
        assert terms.mask is None or -1 <= terms.mask <= 3
        assert -2 <= terms.absence <= 3
        formed += int(terms.format)
    # Hostile is not all: some are in order, or nothing above would have been reached.
    assert 10 < formed < HOSTILE / 2


@given(st.text(max_size=300), st.sampled_from([LESION, ABSENT, MISMATCH]))
def test_any_text_is_worth_something_within_bounds(text: str, truth: Truth) -> None:
    low, high = CONFIG.bounds
    assert low <= answer_reward(text, LESION.mask, truth, reasoning="brief", config=CONFIG).total <= high


def test_bounds_are_reached() -> None:
    low, high = CONFIG.bounds
    assert answer_reward(FOUND, LESION.mask, LESION, reasoning="none", config=CONFIG).total == high
    assert answer_reward("", None, LESION, reasoning="none", config=CONFIG).total == low
