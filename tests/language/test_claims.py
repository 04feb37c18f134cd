"""Facts are what the mask shows, claims are found again in every caption, and verdicts follow the mask."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreseg_core import claims
from coreseg_core.claims import Facts, boxes, check_claims, measure, read_claims
from training.wording.captions import write_reasoning


def _disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    return (xs - centre[0]) ** 2 + (ys - centre[1]) ** 2 <= radius**2


def _facts(mask: np.ndarray, grey: np.ndarray | None = None) -> Facts:
    facts = measure(mask, np.zeros(mask.shape, np.uint8) if grey is None else grey)
    assert facts is not None
    return facts


@pytest.mark.parametrize(
    ("centre", "place", "side"),
    [
        ((30, 30), "upper left", "left"),
        ((100, 30), "upper centre", "centre"),
        ((170, 30), "upper right", "right"),
        ((30, 100), "middle left", "left"),
        ((100, 100), "centre", "centre"),
        ((170, 100), "middle right", "right"),
        ((30, 170), "lower left", "left"),
        ((100, 170), "lower centre", "centre"),
        ((170, 170), "lower right", "right"),
    ],
)
def test_place_and_side_are_those_of_the_picture(centre: tuple[int, int], place: str, side: str) -> None:
    facts = _facts(_disc((200, 200), centre, 15))
    assert (facts.place, facts.side) == (place, side)


@pytest.mark.parametrize(("radius", "size"), [(10, "small"), (30, "medium"), (60, "large")])
def test_size_follows_the_share_of_the_picture(radius: float, size: str) -> None:
    assert _facts(_disc((200, 200), (100, 100), radius)).size == size


@pytest.mark.parametrize(("inside", "contrast"), [(40, "darker"), (200, "brighter"), (120, "similar")])
def test_contrast_is_measured_against_a_ring_around_the_lesion(inside: int, contrast: str) -> None:
    mask = _disc((200, 200), (90, 110), 30)
    noise = np.random.default_rng(0).normal(0, 10, mask.shape)
    assert _facts(mask, np.where(mask, inside, 120) + noise).contrast == contrast


def test_outline_of_a_disc_is_smooth_and_of_a_star_irregular() -> None:
    ys, xs = np.mgrid[:200, :200] - 100
    star = np.hypot(xs, ys) <= 50 + 25 * np.cos(7 * np.arctan2(ys, xs))
    assert _facts(_disc((200, 200), (100, 100), 50)).outline == "smooth"
    assert _facts(star).outline == "irregular"


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_words_do_not_change_with_the_size_of_the_picture(factor: int) -> None:
    mask = _disc((120, 120), (40, 70), 20) & ~_disc((120, 120), (52, 70), 9)
    grey = np.where(mask, 40, 160).astype(np.uint8)
    large = np.ones((factor, factor), np.uint8)
    small_words = _words(_facts(mask, grey))
    assert _words(_facts(np.kron(mask, large) > 0, np.kron(grey, large))) == small_words


def _words(facts: Facts) -> dict[str, str | None]:
    return {kind: getattr(facts, kind) for kind in claims.KINDS}


def test_number_counts_components_without_specks() -> None:
    mask = _disc((200, 200), (50, 50), 20)
    mask[150, 150] = True
    assert _facts(mask).number == "one"
    mask |= _disc((200, 200), (150, 150), 10)
    assert _facts(mask).number == "two"
    mask |= _disc((200, 200), (150, 40), 10)
    assert _facts(mask).number == "several"


def test_empty_mask_has_no_facts_and_no_boxes() -> None:
    empty = np.zeros((50, 60), bool)
    assert measure(empty, np.zeros((50, 60))) is None
    assert boxes(empty) == ()


def test_mask_that_fills_the_picture_has_no_ring_and_no_contrast() -> None:
    facts = _facts(np.ones((64, 64), bool))
    assert facts.contrast is None and facts.size == "large"


def test_boxes_are_half_open_and_largest_first() -> None:
    mask = np.zeros((100, 120), bool)
    mask[10:20, 30:35] = True
    mask[40:80, 60:120] = True
    mask[90, 5] = True
    assert boxes(mask) == ((60, 40, 120, 80), (30, 10, 35, 20))


def test_a_lesion_of_a_few_pixels_keeps_its_box() -> None:
    mask = np.zeros((100, 120), bool)
    mask[5:7, 8:10] = True
    assert boxes(mask) == ((8, 5, 10, 7),)


def test_many_tiny_components_leave_the_eight_largest() -> None:
    mask = np.zeros((200, 200), bool)
    for k in range(15):
        mask[12 * k : 12 * k + 4, 10 : 14 + k] = True
    found = boxes(mask)
    assert len(found) == 8
    assert found[0] == (10, 168, 28, 172)


_facts_drawn = st.builds(
    Facts,
    number=st.sampled_from(sorted(claims.NUMBER)),
    side=st.just(""),
    place=st.sampled_from(sorted(claims.PLACE)),
    size=st.sampled_from(sorted(claims.SIZE)),
    contrast=st.sampled_from([*claims.CONTRAST, None]),
    outline=st.sampled_from([*claims.OUTLINE, None]),
    area_fraction=st.just(0.05),
    centre_xy=st.just((0.5, 0.5)),
    effect=st.none(),
    solidity=st.none(),
).map(lambda facts: replace(facts, side=facts.place.split()[-1]))


@settings(max_examples=200, deadline=None)
@given(facts=_facts_drawn, seed=st.integers(0, 10**6))
def test_claims_are_found_again_in_every_full_caption(facts: Facts, seed: int) -> None:
    text = write_reasoning(
        random.Random(seed), facts, "MRI T1", "brain", "white matter lesion", "full", "present"
    )
    found = {claim.kind: claim.value for claim in read_claims(text)}
    assert found == {kind: value for kind, value in _words(facts).items() if value is not None}


@settings(max_examples=100, deadline=None)
@given(facts=_facts_drawn, seed=st.integers(0, 10**6))
def test_claims_are_found_again_in_every_brief_caption(facts: Facts, seed: int) -> None:
    text = write_reasoning(random.Random(seed), facts, "CT", "head", "brain tumor", "brief", "present")
    found = {claim.kind: claim.value for claim in read_claims(text)}
    expected = {kind: getattr(facts, kind) for kind in ("number", "side", "place", "size")}
    assert {kind: found.get(kind) for kind in expected} == expected
    assert found.get("contrast") in (None, facts.contrast)
    assert "outline" not in found


@pytest.mark.parametrize("kind", ["lesion_free", "wrong_disease", "wrong_organ", "wrong_modality"])
@pytest.mark.parametrize("mode", ["full", "brief"])
def test_captions_without_a_lesion_claim_nothing_about_one(kind: str, mode: str) -> None:
    for seed in range(100):
        text = write_reasoning(random.Random(seed), None, "CT", "head", "brain tumor", mode, kind)  # type: ignore[arg-type]
        assert read_claims(text) == (), text


@settings(deadline=None)
@given(text=st.text(max_size=300))
def test_unknown_text_is_passed_over(text: str) -> None:
    read_claims(text)


def test_claims_that_the_mask_denies_are_contradicted() -> None:
    facts = _facts(_disc((200, 200), (30, 30), 10))
    text = "Two large areas in the lower right part of the picture; it has a smooth outline."
    verdicts = {claim.kind: claim.verdict for claim in check_claims(read_claims(text), facts)}
    assert verdicts == {
        "number": "contradicted",
        "side": "contradicted",
        "place": "contradicted",
        "size": "contradicted",
        "outline": "supported",
    }


def test_near_a_threshold_both_words_are_supported() -> None:
    facts = replace(_facts(_disc((200, 200), (30, 30), 10)), centre_xy=(claims.GRID[0] + 0.01, 0.2))
    found = read_claims(
        "One area in the upper left part of the picture. One in the upper centre of the picture."
    )
    assert {claim.verdict for claim in check_claims(found, facts) if claim.kind == "side"} == {"supported"}


def test_without_a_mask_claims_stay_unchecked() -> None:
    found = check_claims(read_claims("One small area in the centre of the picture."), None)
    assert found and {claim.verdict for claim in found} == {"unchecked"}
